-- realism.core_speed: mean speed on the roads of the core in the busiest hour over that of the night
-- kind:    emergent
-- target:  0.4 to 0.97
-- unit:    ratio
-- source:  I Quant NY: taxis in New York make 11.5 mph by day and 13.3 over all hours
-- least:   200 passages
WITH passage AS (
    SELECT c.road_id, c.t_in_ms // 3600000 % 24 AS hour, (c.t_out_ms - c.t_in_ms) / 1000.0 AS s, p.length_m
    FROM crossing AS c
    JOIN place AS p USING (road_id)
    WHERE p.reach < 0.25
),
peak AS (SELECT hour FROM passage GROUP BY hour ORDER BY count(*) DESC, hour LIMIT 1),
speed AS (
    SELECT
        sum(length_m) FILTER (hour = (SELECT hour FROM peak)) / sum(s) FILTER (hour = (SELECT hour FROM peak)) AS by_day,
        sum(length_m) FILTER (hour < 5 OR hour >= 22) / sum(s) FILTER (hour < 5 OR hour >= 22) AS by_night,
        count(*) AS n
    FROM passage
)
SELECT by_day / by_night AS measured, n
FROM speed
