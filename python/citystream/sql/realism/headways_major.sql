-- realism.headways_major: share of headways of at least 2 s in a lane of free-flowing major roads
-- kind:    emergent
-- target:  0.7 to 0.8
-- unit:    share
-- source:  DfT, Great Britain 2019: about three in four
-- least:   1000 headways
WITH entry AS (
    SELECT
        c.road_id,
        c.t_in_ms // 3600000 AS hour,
        r.lanes,
        c.t_in_ms - lag(c.t_in_ms) OVER (PARTITION BY c.road_id, c.lane ORDER BY c.t_in_ms) AS headway_ms,
        r.length_m / (c.t_out_ms - c.t_in_ms) * 3600 / r.limit_kmh AS pace
    FROM crossing AS c
    JOIN road AS r USING (road_id)
    WHERE r.road_class IN ('motorway', 'arterial')
),
-- Free-flowing, and as busy as main roads are, from quiet A roads to motorways: 100 to 900 vehicles an hour and lane
-- (assumed).
free AS (
    SELECT road_id, hour
    FROM entry
    GROUP BY road_id, hour, lanes
    HAVING count(*) BETWEEN 100 * lanes AND 900 * lanes AND avg(pace) > 0.6
)
SELECT avg((headway_ms >= 2000)::INT) AS measured, count(*) AS n
FROM entry
JOIN free USING (road_id, hour)
WHERE headway_ms IS NOT NULL
