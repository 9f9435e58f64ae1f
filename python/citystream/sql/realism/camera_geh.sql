-- realism.camera_geh: share of camera hours whose count and the true entries into the road have a GEH below 5
-- kind:    calibrated
-- target:  0.85 to 1
-- unit:    share
-- source:  TxDOT, 13.5.2.3: GEH below 5 on at least 85 % of segments
-- least:   100 camera hours
WITH counted AS (
    SELECT road_id, (t_ms - interval_s * 500) // 3600000 AS hour, sum(vehicles) AS m
    FROM traffic
    GROUP BY ALL
),
entered AS (
    SELECT road_id, t_in_ms // 3600000 AS hour, count(*) AS c
    FROM crossing
    GROUP BY ALL
)
SELECT avg((sqrt(2 * pow(m - c, 2) / (m + c)) < 5)::INT) AS measured, count(*) AS n
FROM counted
JOIN entered USING (road_id, hour)
WHERE m + c > 0
