-- realism.gps_error_95: 95th percentile of the distance between a fix under open sky and the truth
-- kind:    calibrated
-- target:  4 to 9
-- unit:    m
-- source:  GPS.gov: 4.9 m for phones under open sky; SPS performance standard: at most 9 m
-- least:   1000 fixes
SELECT quantile_cont(sqrt(east_m * east_m + north_m * north_m), 0.95) AS measured, count(*) AS n
FROM fix
WHERE reach > 0.4
