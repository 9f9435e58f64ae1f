-- realism.crash_snow_ratio: crashes per kilometre in snow over those in dry weather
-- kind:    calibrated
-- target:  1.68 to 1.99
-- unit:    ratio
-- source:  Qiu and Nixon 2008, a synthesis: 1.84, 95 % from 1.68 to 1.99
-- least:   1000 crashes
WITH rate AS (
    SELECT condition, sum(crashes) AS crashes, sum(crashes) / sum(vehicle_km) AS per_km
    FROM exposure
    GROUP BY condition
)
SELECT s.per_km / d.per_km AS measured, s.crashes + d.crashes AS n
FROM rate AS s, rate AS d
WHERE s.condition = 'Snow' AND d.condition = 'Clear'
