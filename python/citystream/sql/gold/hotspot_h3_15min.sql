-- gold.hotspot_h3_15min: where in the city traffic is slow
-- grain:    one row for each H3 cell and window in which a vehicle under way reported from the cell
-- key:      h3_cell, window_start
-- window:   15 minutes
-- sources:  silver.vehicle by event_time, silver.emergency by event_time, dim.road
-- lookback: 60 seconds
-- columns:
--   h3_cell         text       -     the cell, of resolution 9
--   window_start    timestamp  -     start of the window
--   window_end      timestamp  -     end of the window, exclusive
--   lat             double     deg   mean place of the reports
--   lon             double     deg   mean place of the reports
--   probe_reports   bigint     -     reports of vehicles under way
--   probe_vehicles  bigint     -     different vehicles among them
--   speed_kmh       double     km/h  mean speed of those reports
--   free_flow_kmh   double     km/h  mean speed limit of the roads that they are on
--   speed_ratio     double     -     speed as a share of free flow
--   rated_reports   bigint     -     reports on roads whose speed limit is known
--   slow_reports    bigint     -     reports at no more than 0.40 of the speed limit
--   slow_share      double     -     slow reports as a share of the rated ones
--   delay_s         double     s     vehicle-seconds lost against free flow
--   incidents       bigint     -     incidents with a step in the cell
--   hotspot         boolean    -     three vehicles or more, and at least half of the rated reports slow
--   hotspot_rank    bigint     -     place in the window, from 1: most slow reports first
--   window_date     date       -     UTC date of window_start

with report as (
    select
        device_id,
        road_id,
        h3_cell,
        event_time,
        lat,
        lon,
        speed_kmh,
        lag(event_time) over (
            partition by device_id
            order by event_time, odometer_km, speed_kmh
        ) as previous_time,
        lead(event_time) over (
            partition by device_id
            order by event_time, odometer_km, speed_kmh
        ) as next_time
    from silver.vehicle
    where event_time >= $from - interval '60' second and event_time < $to + interval '60' second
),

-- As in road_5min.
probe as (
    select
        report.device_id,
        report.h3_cell,
        report.lat,
        report.lon,
        report.speed_kmh,
        road.free_flow_kmh,
        time_bucket(interval '15' minute, report.event_time) as window_start,
        round(cast(extract(epoch from report.next_time) - extract(epoch from report.previous_time) as double), 6) / 2 as stands_for_s
    from report
    left join dim.road as road on report.road_id = road.road_id
    where
        report.event_time >= $from and report.event_time < $to
        and report.previous_time >= report.event_time - interval '15' second
        and report.next_time <= report.event_time + interval '15' second
),

cell as (
    select
        h3_cell,
        window_start,
        avg(lat) as lat,
        avg(lon) as lon,
        count(*) as probe_reports,
        count(distinct device_id) as probe_vehicles,
        avg(speed_kmh) as speed_kmh,
        avg(free_flow_kmh) as free_flow_kmh,
        sum(case when free_flow_kmh is not null then speed_kmh end) / nullif(sum(free_flow_kmh), 0) as speed_ratio,
        count(free_flow_kmh) as rated_reports,
        count(case when speed_kmh <= 0.40 * free_flow_kmh then 1 end) as slow_reports,
        sum(
            case when free_flow_kmh is not null then stands_for_s * greatest(0.0, 1 - speed_kmh / free_flow_kmh) end
        ) as delay_s
    from probe
    group by 1, 2
),

incident as (
    select
        h3_cell,
        time_bucket(interval '15' minute, event_time) as window_start,
        count(distinct incident_id) as incidents
    from silver.emergency
    where event_time >= $from and event_time < $to
    group by 1, 2
)

select
    cell.h3_cell,
    cell.window_start,
    cell.window_start + interval '15' minute as window_end,
    cell.lat,
    cell.lon,
    cell.probe_reports,
    cell.probe_vehicles,
    cell.speed_kmh,
    cell.free_flow_kmh,
    cell.speed_ratio,
    cell.rated_reports,
    cell.slow_reports,
    cast(cell.slow_reports as double) / nullif(cell.rated_reports, 0) as slow_share,
    cell.delay_s,
    coalesce(incident.incidents, 0) as incidents,
    cell.probe_vehicles >= 3 and cell.rated_reports > 0 and 2 * cell.slow_reports >= cell.rated_reports as hotspot,
    row_number() over (
        partition by cell.window_start
        order by cell.slow_reports desc, cell.probe_reports desc, cell.h3_cell
    ) as hotspot_rank,
    cast(cell.window_start as date) as window_date
from cell
left join incident on cell.h3_cell = incident.h3_cell and cell.window_start = incident.window_start
