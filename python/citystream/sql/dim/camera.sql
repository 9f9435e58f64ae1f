-- dim.camera: the traffic cameras
-- grain:    one row for each camera, as last sent
-- key:      camera_id
-- window:   whole
-- sources:  bronze.reference
-- lookback: none
-- columns:
--   camera_id   text       -    the camera
--   road_id     text       -    the road that it watches
--   offset_m    double     m    distance from the road's start
--   lat         double     deg  where it looks
--   lon         double     deg  where it looks
--   updated_at  timestamp  -    when that row was taken in

with latest as (
    select
        camera,
        ingested_at,
        row_number() over (partition by id order by ingested_at desc, kafka_offset desc) as nth
    from bronze.reference
    where kind = 'camera'
)

select
    latest.camera.cameraId as camera_id,
    latest.camera.roadId as road_id,
    latest.camera.offsetM as offset_m,
    latest.camera.location[1] as lat,
    latest.camera.location[2] as lon,
    ingested_at as updated_at
from latest
where nth = 1
