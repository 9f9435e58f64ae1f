-- realism.speed_30_over_limit: share of cars above the limit on free-flowing 30-mph roads
-- kind:    calibrated
-- target:  0.44 to 0.54
-- unit:    share
-- source:  DfT, vehicle speed compliance statistics, Great Britain 2019 to 2023
-- least:   200 cars
SELECT sum(weight) FILTER (mph > 30) / sum(weight) AS measured, count(DISTINCT device_id) AS n
FROM free_speed
WHERE limit_mph BETWEEN 29.5 AND 30.5
