-- gold.fleet_daily: how the fleet is used
-- grain:    one row for each vehicle type, fuel type and day with at least one report
-- key:      vehicle_type, fuel_type, window_start
-- window:   1 day
-- sources:  gold.vehicle_hourly by window_start
-- lookback: none
-- columns:
--   vehicle_type             text       -     Car, Van, Goods or Emergency
--   fuel_type                text       -     Petrol, Diesel, Hybrid or Electric
--   window_start             timestamp  -     start of the day
--   window_end               timestamp  -     end of the day, exclusive
--   vehicles                 bigint     -     vehicles heard from
--   vehicles_used            bigint     -     those that were under way
--   reports                  bigint     -     reports
--   probe_reports            bigint     -     reports under way
--   distance_km              double     km    distance driven
--   distance_per_vehicle_km  double     km    distance for each vehicle used
--   under_way_h              double     h     time under way, over all vehicles
--   stopped_share            double     -     share of that time below 5 km/h
--   speed_kmh                double     km/h  mean speed under way
--   max_speed_kmh            double     km/h  greatest speed
--   peak_vehicles            bigint     -     most vehicles under way in one hour
--   utilisation              double     -     share of the day that a vehicle is under way
--   window_date              date       -     UTC date of window_start

with vehicle_day as (
    select
        device_id,
        time_bucket(interval '24' hour, window_start) as day_start,
        max(vehicle_type) as type_of_day,
        max(fuel_type) as fuel_of_day,
        sum(reports) as reports,
        sum(probe_reports) as probe_reports,
        max(odometer_max_km) - min(odometer_min_km) as distance_km,
        sum(under_way_s) as under_way_s,
        sum(stopped_s) as stopped_s,
        sum(probe_reports * speed_kmh) as speed_sum,
        max(max_speed_kmh) as max_speed_kmh
    from gold.vehicle_hourly
    where window_start >= $from and window_start < $to
    group by 1, 2
),

hourly as (
    select
        vehicle_day.type_of_day,
        vehicle_day.fuel_of_day,
        vehicle_day.day_start,
        under_way.window_start,
        count(*) as vehicles
    from gold.vehicle_hourly as under_way
    inner join vehicle_day
        on
            under_way.device_id = vehicle_day.device_id
            and time_bucket(interval '24' hour, under_way.window_start) = vehicle_day.day_start
    where
        under_way.window_start >= $from and under_way.window_start < $to
        and under_way.probe_reports > 0
    group by 1, 2, 3, 4
),

peak as (
    select
        type_of_day,
        fuel_of_day,
        day_start,
        max(vehicles) as peak_vehicles
    from hourly
    group by 1, 2, 3
),

daily as (
    select
        type_of_day,
        fuel_of_day,
        day_start,
        count(*) as vehicles,
        count(case when probe_reports > 0 then 1 end) as vehicles_used,
        cast(sum(reports) as bigint) as reports,
        cast(sum(probe_reports) as bigint) as probe_reports,
        sum(distance_km) as distance_km,
        sum(under_way_s) as under_way_s,
        sum(stopped_s) as stopped_s,
        sum(speed_sum) as speed_sum,
        max(max_speed_kmh) as max_speed_kmh
    from vehicle_day
    group by 1, 2, 3
)

select
    daily.type_of_day as vehicle_type,
    daily.fuel_of_day as fuel_type,
    daily.day_start as window_start,
    daily.day_start + interval '24' hour as window_end,
    daily.vehicles,
    daily.vehicles_used,
    daily.reports,
    daily.probe_reports,
    daily.distance_km,
    daily.distance_km / nullif(daily.vehicles_used, 0) as distance_per_vehicle_km,
    daily.under_way_s / 3600 as under_way_h,
    daily.stopped_s / nullif(daily.under_way_s, 0) as stopped_share,
    daily.speed_sum / nullif(daily.probe_reports, 0) as speed_kmh,
    daily.max_speed_kmh,
    coalesce(peak.peak_vehicles, 0) as peak_vehicles,
    daily.under_way_s / (86400.0 * daily.vehicles) as utilisation,
    cast(daily.day_start as date) as window_date
from daily
left join peak
    on
        daily.type_of_day = peak.type_of_day
        and daily.fuel_of_day = peak.fuel_of_day
        and daily.day_start = peak.day_start
