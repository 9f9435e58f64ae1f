-- gold.air_quality_hourly: the air and the weather at each station
-- grain:    one row for each station and hour with at least one reading
-- key:      station_id, window_start
-- window:   1 hour
-- sources:  silver.weather by event_time, dim.station
-- lookback: none
-- columns:
--   station_id          text       -      the station, which is its device
--   window_start        timestamp  -      start of the window
--   window_end          timestamp  -      end of the window, exclusive
--   district            text       -      the district that it stands in
--   lat                 double     deg    its place
--   lon                 double     deg    its place
--   readings            bigint     -      readings in the hour
--   aqi_mean            double     -      mean US EPA air quality index
--   aqi_max             int        -      highest index
--   aqi_category        text       -      the EPA's name for aqi_max
--   dominant_pollutant  text       -      the pollutant that set aqi_max
--   pm25_ugm3           double     µg/m³  mean fine particles
--   pm10_ugm3           double     µg/m³  mean particles
--   no2_ppb             double     ppb    mean nitrogen dioxide
--   o3_ppb              double     ppb    mean ozone
--   temperature_c       double     °C     mean air temperature
--   humidity_pct        double     %      mean relative humidity
--   wind_speed_kmh      double     km/h   mean wind
--   precipitation_mm    double     mm     rain or melted snow: mean rate times one hour
--   window_date         date       -      UTC date of window_start

with reading as (
    select
        *,
        time_bucket(interval '1' hour, event_time) as window_start
    from silver.weather
    where event_time >= $from and event_time < $to
),

ranked as (
    select
        *,
        row_number() over (partition by device_id, window_start order by aqi desc, event_time, id) as worst
    from reading
),

hourly as (
    select
        device_id as station_id,
        window_start,
        max(lat) as lat,
        max(lon) as lon,
        count(*) as readings,
        avg(aqi) as aqi_mean,
        max(aqi) as aqi_max,
        max(case when worst = 1 then dominant_pollutant end) as dominant_pollutant,
        avg(pm25_ugm3) as pm25_ugm3,
        avg(pm10_ugm3) as pm10_ugm3,
        avg(no2_ppb) as no2_ppb,
        avg(o3_ppb) as o3_ppb,
        avg(temperature_c) as temperature_c,
        avg(humidity_pct) as humidity_pct,
        avg(wind_speed_kmh) as wind_speed_kmh,
        avg(precipitation_mmh) as precipitation_mm
    from ranked
    group by 1, 2
)

select
    hourly.station_id,
    hourly.window_start,
    hourly.window_start + interval '1' hour as window_end,
    station.district,
    coalesce(station.lat, hourly.lat) as lat,
    coalesce(station.lon, hourly.lon) as lon,
    hourly.readings,
    hourly.aqi_mean,
    hourly.aqi_max,
    case
        when hourly.aqi_max <= 50 then 'Good'
        when hourly.aqi_max <= 100 then 'Moderate'
        when hourly.aqi_max <= 150 then 'Unhealthy for sensitive groups'
        when hourly.aqi_max <= 200 then 'Unhealthy'
        when hourly.aqi_max <= 300 then 'Very unhealthy'
        when hourly.aqi_max > 300 then 'Hazardous'
    end as aqi_category,
    hourly.dominant_pollutant,
    hourly.pm25_ugm3,
    hourly.pm10_ugm3,
    hourly.no2_ppb,
    hourly.o3_ppb,
    hourly.temperature_c,
    hourly.humidity_pct,
    hourly.wind_speed_kmh,
    hourly.precipitation_mm,
    cast(hourly.window_start as date) as window_date
from hourly
left join dim.station as station on hourly.station_id = station.station_id
