-- realism.fuel_diesel: share of diesel cars in the fleet
-- kind:    calibrated
-- target:  0.30 to 0.34
-- unit:    share
-- source:  SMMT, British cars on the road at the end of 2024: 32 %
-- least:   500 cars
SELECT avg((fuel_type = 'Diesel')::INT) AS measured, count(*) AS n
FROM fleet
WHERE vehicle_type = 'Car'
