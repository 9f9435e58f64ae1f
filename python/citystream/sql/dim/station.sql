-- dim.station: the weather stations
-- grain:    one row for each station, as last sent
-- key:      station_id
-- window:   whole
-- sources:  bronze.reference
-- lookback: none
-- columns:
--   station_id  text       -    the station
--   district    text       -    the district that it stands in
--   lat         double     deg  its place
--   lon         double     deg  its place
--   updated_at  timestamp  -    when that row was taken in

with latest as (
    select
        station,
        ingested_at,
        row_number() over (partition by id order by ingested_at desc, kafka_offset desc) as nth
    from bronze.reference
    where kind = 'station'
)

select
    latest.station.stationId as station_id,
    latest.station.district as district,
    latest.station.location[1] as lat,
    latest.station.location[2] as lon,
    ingested_at as updated_at
from latest
where nth = 1
