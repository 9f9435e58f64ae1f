-- realism.fuel_petrol: share of petrol cars in the fleet
-- kind:    calibrated
-- target:  0.56 to 0.60
-- unit:    share
-- source:  SMMT, British cars on the road at the end of 2024: 58 %
-- least:   500 cars
SELECT avg((fuel_type = 'Petrol')::INT) AS measured, count(*) AS n
FROM fleet
WHERE vehicle_type = 'Car'
