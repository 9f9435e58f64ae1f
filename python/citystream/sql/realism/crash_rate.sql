-- realism.crash_rate: reported crashes per million vehicle-kilometres in dry weather
-- kind:    calibrated
-- target:  1.08 to 1.22
-- unit:    crashes per million km
-- source:  NHTSA, DOT HS 813 560: 5.93 million in 3,196 billion vehicle-miles, 2022
-- least:   1000 crashes
SELECT sum(crashes) / sum(vehicle_km) * 1e6 AS measured, sum(crashes) AS n
FROM exposure
WHERE condition = 'Clear'
