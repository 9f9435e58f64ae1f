-- dim.vehicle: the vehicles of the fleet
-- grain:    one row for each vehicle, as last sent
-- key:      device_id
-- window:   whole
-- sources:  bronze.reference
-- lookback: none
-- columns:
--   device_id     text       -  the vehicle's device
--   vehicle_type  text       -  Car, Van, Goods or Emergency
--   make          text       -  manufacturer
--   model         text       -  model of that manufacturer
--   model_year    int        -  model year
--   fuel_type     text       -  Petrol, Diesel, Hybrid or Electric
--   updated_at    timestamp  -  when that row was taken in

with latest as (
    select
        vehicle,
        ingested_at,
        row_number() over (partition by id order by ingested_at desc, kafka_offset desc) as nth
    from bronze.reference
    where kind = 'vehicle'
)

select
    latest.vehicle.deviceId as device_id,
    latest.vehicle.vehicleType as vehicle_type,
    latest.vehicle.make as make,
    latest.vehicle.model as model,
    latest.vehicle.year as model_year,
    latest.vehicle.fuelType as fuel_type,
    ingested_at as updated_at
from latest
where nth = 1
