-- realism.speed_30_over_40: share of cars above 40 mph on free-flowing 30-mph roads
-- kind:    calibrated
-- target:  0.035 to 0.065
-- unit:    share
-- source:  DfT, vehicle speed compliance statistics, Great Britain 2022: 5 %
-- least:   200 cars
SELECT coalesce(sum(weight) FILTER (mph > 40), 0) / sum(weight) AS measured, count(DISTINCT device_id) AS n
FROM free_speed
WHERE limit_mph BETWEEN 29.5 AND 30.5
