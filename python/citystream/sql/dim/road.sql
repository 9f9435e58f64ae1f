-- dim.road: the directed roads of the city
-- grain:    one row for each road, as last sent
-- key:      road_id
-- window:   whole
-- sources:  bronze.reference
-- lookback: none
-- columns:
--   road_id        text       -     the road
--   road_name      text       -     street name
--   road_class     text       -     motorway, arterial or street
--   district       text       -     the district of its start
--   length_m       double     m     length
--   lanes          int        -     lanes in its direction
--   free_flow_kmh  double     km/h  speed limit, the free-flow speed
--   geometry       points     deg   its course as [lat, lon] pairs
--   updated_at     timestamp  -     when that row was taken in

with latest as (
    select
        road,
        ingested_at,
        row_number() over (partition by id order by ingested_at desc, kafka_offset desc) as nth
    from bronze.reference
    where kind = 'road'
)

select
    latest.road.roadId as road_id,
    latest.road.name as road_name,
    latest.road.roadClass as road_class,
    latest.road.district as district,
    latest.road.lengthM as length_m,
    latest.road.lanes as lanes,
    latest.road.freeFlowKmh as free_flow_kmh,
    latest.road.geometry as geometry,
    ingested_at as updated_at
from latest
where nth = 1
