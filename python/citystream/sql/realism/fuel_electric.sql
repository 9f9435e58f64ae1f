-- realism.fuel_electric: share of electric cars in the fleet
-- kind:    calibrated
-- target:  0.030 to 0.044
-- unit:    share
-- source:  SMMT, British cars on the road at the end of 2024: 3.7 %
-- least:   500 cars
SELECT avg((fuel_type = 'Electric')::INT) AS measured, count(*) AS n
FROM fleet
WHERE vehicle_type = 'Car'
