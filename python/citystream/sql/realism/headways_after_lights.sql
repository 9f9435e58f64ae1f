-- realism.headways_after_lights: share of gaps below 3 s on roads with lights over that of vehicles that come at random
-- kind:    emergent
-- target:  1.3 to 10
-- unit:    ratio
-- source:  Robertson 1969: lights send platoons, which disperse; random is 1
-- least:   1000 gaps
WITH entry AS (
    SELECT
        c.road_id,
        c.t_in_ms // 3600000 AS hour,
        c.t_in_ms - lag(c.t_in_ms) OVER (PARTITION BY c.road_id ORDER BY c.t_in_ms) AS gap_ms
    FROM crossing AS c
    JOIN road AS r USING (road_id)
    WHERE r.road_class = 'arterial'
),
hourly AS (
    SELECT road_id, hour, count(*) AS n, count(*) FILTER (gap_ms < 3000) AS short
    FROM entry
    GROUP BY ALL
    HAVING count(*) BETWEEN 60 AND 600
)
SELECT sum(short) / sum(n * (1 - exp(-n / 3600.0 * 3))) AS measured, sum(n) AS n
FROM hourly
