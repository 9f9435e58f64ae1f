-- gold.weather_impact: how traffic moves in the weather that there is
-- grain:    one row for each district, road class and hour in which such a road was measured
-- key:      district, road_class, window_start
-- window:   1 hour
-- sources:  gold.road_5min by window_start, silver.weather by event_time, silver.emergency by event_time, dim.road, dim.station
-- lookback: none
-- columns:
--   district           text       -     the district of the roads' starts
--   road_class         text       -     motorway, arterial or street
--   window_start       timestamp  -     start of the hour
--   window_end         timestamp  -     end of the hour, exclusive
--   weather_readings   bigint     -     readings that the weather is of
--   weather_local      boolean    -     whether they are of the district's own stations
--   weather_condition  text       -     the most frequent: Clear, Cloudy, Fog, Rain or Snow
--   temperature_c      double     °C    mean air temperature
--   precipitation_mmh  double     mm/h  mean rain or melted snow
--   wind_speed_kmh     double     km/h  mean wind
--   visibility_m       double     m     mean visibility
--   intensity          text       -     none, light, moderate, heavy or very heavy
--   capacity_factor    double     -     capacity that such weather leaves on a freeway
--   roads              bigint     -     roads with vehicles under way
--   probe_reports      bigint     -     reports of vehicles under way
--   speed_kmh          double     km/h  space-mean speed of those reports
--   free_flow_kmh      double     km/h  speed limit, weighted alike
--   speed_ratio        double     -     speed as a share of free flow
--   travel_time_index  double     -     travel time as a multiple of that at free flow
--   camera_intervals   bigint     -     camera intervals counted
--   vehicle_count      bigint     -     vehicles that passed the cameras
--   incidents          bigint     -     incidents reported on these roads
--   accidents          bigint     -     accidents among them
--   window_date        date       -     UTC date of window_start

with traffic as (
    select
        district,
        road_class,
        time_bucket(interval '1' hour, window_start) as hour_start,
        count(distinct case when probe_reports > 0 then road_id end) as roads,
        cast(sum(probe_reports) as bigint) as probe_reports,
        sum(probe_reports * speed_kmh) / nullif(sum(probe_reports), 0) as speed_kmh,
        sum(probe_reports * free_flow_kmh) / nullif(sum(probe_reports), 0) as free_flow_kmh,
        cast(sum(camera_intervals) as bigint) as camera_intervals,
        cast(sum(vehicle_count) as bigint) as vehicle_count
    from gold.road_5min
    where window_start >= $from and window_start < $to and district is not null and road_class is not null
    group by 1, 2, 3
),

reading as (
    select
        station.district,
        time_bucket(interval '1' hour, weather.event_time) as hour_start,
        weather.weather_condition,
        weather.temperature_c,
        weather.precipitation_mmh,
        weather.wind_speed_kmh,
        weather.visibility_m
    from silver.weather as weather
    left join dim.station as station on weather.device_id = station.station_id
    where weather.event_time >= $from and weather.event_time < $to
),

-- Each place of traffic with the readings that hold for it: its own, else all of the hour.
own as (
    select
        district,
        hour_start,
        count(*) as readings
    from reading
    where district is not null
    group by 1, 2
),

place as (
    select distinct
        traffic.district,
        traffic.hour_start,
        own.readings is not null as is_local
    from traffic
    left join own on traffic.district = own.district and traffic.hour_start = own.hour_start
),

held as (
    select
        place.district,
        place.hour_start,
        place.is_local,
        reading.weather_condition,
        reading.temperature_c,
        reading.precipitation_mmh,
        reading.wind_speed_kmh,
        reading.visibility_m
    from place
    inner join reading
        on
            place.hour_start = reading.hour_start
            and (not place.is_local or place.district = reading.district)
),

weather as (
    select
        district,
        hour_start,
        is_local,
        count(*) as readings,
        count(case when weather_condition = 'Snow' then 1 end) as snow,
        count(case when weather_condition = 'Rain' then 1 end) as rain,
        count(case when weather_condition = 'Fog' then 1 end) as fog,
        count(case when weather_condition = 'Cloudy' then 1 end) as cloudy,
        count(case when weather_condition = 'Clear' then 1 end) as clear,
        avg(temperature_c) as temperature_c,
        avg(precipitation_mmh) as precipitation_mmh,
        avg(wind_speed_kmh) as wind_speed_kmh,
        avg(visibility_m) as visibility_m
    from held
    group by 1, 2, 3
),

named as (
    select
        *,
        case greatest(snow, rain, fog, cloudy, clear)
            when snow then 'Snow'
            when rain then 'Rain'
            when fog then 'Fog'
            when cloudy then 'Cloudy'
            else 'Clear'
        end as weather_condition
    from weather
),

incident as (
    select
        road.district,
        road.road_class,
        time_bucket(interval '1' hour, step.event_time) as hour_start,
        count(distinct step.incident_id) as incidents,
        count(distinct case when step.incident_type = 'Accident' then step.incident_id end) as accidents
    from silver.emergency as step
    inner join dim.road as road on step.road_id = road.road_id
    where step.event_time >= $from and step.event_time < $to and step.status = 'Reported'
    group by 1, 2, 3
)

select
    traffic.district,
    traffic.road_class,
    traffic.hour_start as window_start,
    traffic.hour_start + interval '1' hour as window_end,
    coalesce(named.readings, 0) as weather_readings,
    named.is_local as weather_local,
    named.weather_condition,
    named.temperature_c,
    named.precipitation_mmh,
    named.wind_speed_kmh,
    named.visibility_m,
    -- Highway Capacity Manual 2010, exhibit 10-15.
    case
        when named.weather_condition = 'Rain' and named.precipitation_mmh <= 2.54 then 'light'
        when named.weather_condition = 'Rain' and named.precipitation_mmh <= 6.35 then 'moderate'
        when named.weather_condition = 'Rain' then 'heavy'
        when named.weather_condition = 'Snow' and named.precipitation_mmh <= 1.27 then 'light'
        when named.weather_condition = 'Snow' and named.precipitation_mmh <= 2.54 then 'moderate'
        when named.weather_condition = 'Snow' and named.precipitation_mmh <= 12.7 then 'heavy'
        when named.weather_condition = 'Snow' then 'very heavy'
        when named.weather_condition is not null then 'none'
    end as intensity,
    cast(
        case
            when named.weather_condition = 'Rain' and named.precipitation_mmh <= 2.54 then 0.9799
            when named.weather_condition = 'Rain' and named.precipitation_mmh <= 6.35 then 0.9276
            when named.weather_condition = 'Rain' then 0.8587
            when named.weather_condition = 'Snow' and named.precipitation_mmh <= 1.27 then 0.9571
            when named.weather_condition = 'Snow' and named.precipitation_mmh <= 2.54 then 0.9134
            when named.weather_condition = 'Snow' and named.precipitation_mmh <= 12.7 then 0.8896
            when named.weather_condition = 'Snow' then 0.7757
            when named.weather_condition is not null then 1.0
        end as double
    ) as capacity_factor,
    traffic.roads,
    traffic.probe_reports,
    traffic.speed_kmh,
    traffic.free_flow_kmh,
    traffic.speed_kmh / traffic.free_flow_kmh as speed_ratio,
    case
        when traffic.speed_kmh >= 1 then greatest(1.0, traffic.free_flow_kmh / traffic.speed_kmh)
    end as travel_time_index,
    traffic.camera_intervals,
    traffic.vehicle_count,
    coalesce(incident.incidents, 0) as incidents,
    coalesce(incident.accidents, 0) as accidents,
    cast(traffic.hour_start as date) as window_date
from traffic
left join named on traffic.district = named.district and traffic.hour_start = named.hour_start
left join incident
    on
        traffic.district = incident.district
        and traffic.road_class = incident.road_class
        and traffic.hour_start = incident.hour_start
