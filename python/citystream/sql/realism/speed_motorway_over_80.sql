-- realism.speed_motorway_over_80: share of cars above 80 mph on free-flowing motorways
-- kind:    calibrated
-- target:  0.06 to 0.10
-- unit:    share
-- source:  DfT, vehicle speed compliance statistics, Great Britain 2022: 8 %
-- least:   200 cars
SELECT coalesce(sum(weight) FILTER (mph > 80), 0) / sum(weight) AS measured, count(DISTINCT device_id) AS n
FROM free_speed
WHERE limit_mph BETWEEN 69.5 AND 70.5
