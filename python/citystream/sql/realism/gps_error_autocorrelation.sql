-- realism.gps_error_autocorrelation: correlation of a fix's error with that of the fix a second later, under open sky
-- kind:    calibrated
-- target:  0.9 to 1
-- unit:    r
-- source:  Ranacher et al. 2016, IJGI 5(1):1: errors of floating-car data last
-- least:   1000 pairs
SELECT (corr(east_m, next_east_m) + corr(north_m, next_north_m)) / 2 AS measured, count(*) AS n
FROM leg
WHERE reach > 0.4
