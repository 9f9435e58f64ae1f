-- gold.vehicle_hourly: what each vehicle did in an hour
-- grain:    one row for each vehicle and hour with at least one report
-- key:      device_id, window_start
-- window:   1 hour
-- sources:  silver.vehicle by event_time
-- lookback: 60 seconds
-- columns:
--   device_id        text       -     the vehicle's device
--   window_start     timestamp  -     start of the hour
--   window_end       timestamp  -     end of the hour, exclusive
--   vehicle_type     text       -     Car, Van, Goods or Emergency
--   fuel_type        text       -     Petrol, Diesel, Hybrid or Electric
--   reports          bigint     -     reports
--   probe_reports    bigint     -     reports under way
--   under_way_s      double     s     time that those stand for
--   stopped_s        double     s     time of it below 5 km/h
--   speed_kmh        double     km/h  mean speed under way
--   max_speed_kmh    double     km/h  greatest speed
--   odometer_min_km  double     km    lowest odometer reading
--   odometer_max_km  double     km    greatest odometer reading
--   window_date      date       -     UTC date of window_start

with report as (
    select
        device_id,
        event_time,
        speed_kmh,
        odometer_km,
        vehicle_type,
        fuel_type,
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

-- stands_for_s is null where the vehicle is not under way, as road_5min has it.
timed as (
    select
        *,
        case
            when
                previous_time >= event_time - interval '15' second and next_time <= event_time + interval '15' second
                then round(cast(extract(epoch from next_time) - extract(epoch from previous_time) as double), 6) / 2
        end as stands_for_s
    from report
    where event_time >= $from and event_time < $to
),

hourly as (
    select
        device_id,
        time_bucket(interval '1' hour, event_time) as window_start,
        max(vehicle_type) as vehicle_type,
        max(fuel_type) as fuel_type,
        count(*) as reports,
        count(stands_for_s) as probe_reports,
        coalesce(sum(stands_for_s), 0.0) as under_way_s,
        coalesce(sum(case when speed_kmh < 5 then stands_for_s end), 0.0) as stopped_s,
        avg(case when stands_for_s is not null then speed_kmh end) as speed_kmh,
        max(speed_kmh) as max_speed_kmh,
        min(odometer_km) as odometer_min_km,
        max(odometer_km) as odometer_max_km
    from timed
    group by 1, 2
)

select
    device_id,
    window_start,
    window_start + interval '1' hour as window_end,
    vehicle_type,
    fuel_type,
    reports,
    probe_reports,
    under_way_s,
    stopped_s,
    speed_kmh,
    max_speed_kmh,
    odometer_min_km,
    odometer_max_km,
    cast(window_start as date) as window_date
from hourly
