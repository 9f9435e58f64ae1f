-- gold.road_5min: how fast and how full each road is
-- grain:    one row for each road and window in which a vehicle under way reported from it or a camera on it counted
-- key:      road_id, window_start
-- window:   5 minutes
-- sources:  silver.vehicle by event_time, silver.traffic by event_time, dim.road
-- lookback: 60 seconds
-- columns:
--   road_id            text       -      the road
--   window_start       timestamp  -      start of the window
--   window_end         timestamp  -      end of the window, exclusive
--   road_name          text       -      street name
--   road_class         text       -      motorway, arterial or street
--   district           text       -      the district of its start
--   free_flow_kmh      double     km/h   speed limit
--   probe_reports      bigint     -      reports of vehicles under way
--   probe_vehicles     bigint     -      different vehicles among them
--   speed_kmh          double     km/h   space-mean speed of those reports
--   speed_ratio        double     -      speed as a share of free flow
--   travel_time_index  double     -      travel time as a multiple of that at free flow
--   level_of_service   text       -      A (free) to F (breakdown)
--   camera_intervals   bigint     -      camera intervals counted
--   vehicle_count      bigint     -      vehicles that passed the road's cameras
--   flow_vehh          double     veh/h  flow past one camera
--   camera_speed_kmh   double     km/h   time-mean speed at the cameras
--   window_date        date       -      UTC date of window_start

with report as (
    select
        device_id,
        road_id,
        event_time,
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

-- A vehicle reports every 10 s under way, and at ignition and hourly when parked: only a report between two others is
-- a sample of traffic.
probe as (
    select
        road_id,
        time_bucket(interval '5' minute, event_time) as window_start,
        count(*) as probe_reports,
        count(distinct device_id) as probe_vehicles,
        avg(speed_kmh) as speed_kmh
    from report
    where
        event_time >= $from and event_time < $to
        and previous_time >= event_time - interval '15' second
        and next_time <= event_time + interval '15' second
    group by 1, 2
),

-- An interval belongs to the window that holds its middle, so that a camera's clock can be off by seconds.
camera_interval as (
    select
        road_id,
        event_time - interval '500' millisecond * interval_s as middle,
        interval_s,
        vehicle_count,
        mean_speed_kmh
    from silver.traffic
    where event_time >= $from - interval '60' second and event_time < $to + interval '60' second
),

camera as (
    select
        road_id,
        time_bucket(interval '5' minute, middle) as window_start,
        count(*) as camera_intervals,
        cast(sum(vehicle_count) as bigint) as vehicle_count,
        3600.0 * sum(vehicle_count) / sum(interval_s) as flow_vehh,
        sum(vehicle_count * mean_speed_kmh)
        / nullif(sum(case when mean_speed_kmh is not null then vehicle_count end), 0) as camera_speed_kmh
    from camera_interval
    where middle >= $from and middle < $to
    group by 1, 2
),

measured as (
    select
        coalesce(probe.road_id, camera.road_id) as road_id,
        coalesce(probe.window_start, camera.window_start) as window_start,
        coalesce(probe.probe_reports, 0) as probe_reports,
        coalesce(probe.probe_vehicles, 0) as probe_vehicles,
        probe.speed_kmh,
        coalesce(camera.camera_intervals, 0) as camera_intervals,
        camera.vehicle_count,
        camera.flow_vehh,
        camera.camera_speed_kmh
    from probe
    full outer join camera on probe.road_id = camera.road_id and probe.window_start = camera.window_start
)

select
    measured.road_id,
    measured.window_start,
    measured.window_start + interval '5' minute as window_end,
    road.road_name,
    road.road_class,
    road.district,
    road.free_flow_kmh,
    measured.probe_reports,
    measured.probe_vehicles,
    measured.speed_kmh,
    measured.speed_kmh / road.free_flow_kmh as speed_ratio,
    case
        when measured.speed_kmh >= 1 then greatest(1.0, road.free_flow_kmh / measured.speed_kmh)
    end as travel_time_index,
    -- Highway Capacity Manual 2010, exhibit 16-4: urban streets, by travel speed as a share of base free-flow speed.
    case
        when measured.speed_kmh / road.free_flow_kmh > 0.85 then 'A'
        when measured.speed_kmh / road.free_flow_kmh > 0.67 then 'B'
        when measured.speed_kmh / road.free_flow_kmh > 0.50 then 'C'
        when measured.speed_kmh / road.free_flow_kmh > 0.40 then 'D'
        when measured.speed_kmh / road.free_flow_kmh > 0.30 then 'E'
        when measured.speed_kmh / road.free_flow_kmh <= 0.30 then 'F'
    end as level_of_service,
    measured.camera_intervals,
    measured.vehicle_count,
    measured.flow_vehh,
    measured.camera_speed_kmh,
    cast(measured.window_start as date) as window_date
from measured
left join dim.road as road on measured.road_id = road.road_id
