-- realism.fleet_age: mean age of a car
-- kind:    calibrated
-- target:  9 to 10
-- unit:    years
-- source:  SMMT, British cars on the road at the end of 2024: 9.5 years
-- least:   500 cars
WITH today AS (SELECT 1970 + max(t_out_ms) / 31556952000.0 AS year FROM crossing)
-- A car of a model year was registered half-way through it, taken over all.
SELECT avg(t.year - f.model_year - 0.5) AS measured, count(*) AS n
FROM fleet AS f, today AS t
WHERE f.vehicle_type = 'Car'
