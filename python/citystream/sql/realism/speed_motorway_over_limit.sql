-- realism.speed_motorway_over_limit: share of cars above 70 mph on free-flowing motorways
-- kind:    calibrated
-- target:  0.41 to 0.49
-- unit:    share
-- source:  DfT, vehicle speed compliance statistics, Great Britain 2022: 45 %
-- least:   200 cars
SELECT sum(weight) FILTER (mph > 70) / sum(weight) AS measured, count(DISTINCT device_id) AS n
FROM free_speed
WHERE limit_mph BETWEEN 69.5 AND 70.5
