-- realism.peak_travel_time: travel time in the busiest hour over that of the night, on the same roads
-- kind:    emergent
-- target:  1.03 to 2
-- unit:    ratio
-- source:  FHWA, Urban Congestion Reports: travel time indices of 1.1 to 1.7; assumed for this size
-- least:   1000 passages
WITH passage AS (
    SELECT road_id, t_in_ms // 3600000 % 24 AS hour, (t_out_ms - t_in_ms) / 1000.0 AS s
    FROM crossing
),
peak AS (SELECT hour FROM passage GROUP BY hour ORDER BY count(*) DESC, hour LIMIT 1),
night AS (
    SELECT road_id, avg(s) AS s
    FROM passage
    WHERE hour < 5 OR hour >= 22
    GROUP BY road_id
    HAVING count(*) >= 3
)
SELECT sum(p.s) / sum(n.s) AS measured, count(*) AS n
FROM passage AS p
JOIN night AS n USING (road_id)
WHERE p.hour = (SELECT hour FROM peak)
