-- realism.capacity_1_of_4_blocked: discharge with one of 4 lanes blocked over that before
-- kind:    calibrated
-- target:  0.5626 to 0.5974
-- unit:    ratio
-- source:  HCM 2010, exhibit 10-17: 0.58, within 3 %
-- least:   200 vehicles
WITH exits AS (
    SELECT
        count(*) FILTER (c.t_out_ms BETWEEN s.from_ms // 2 AND s.from_ms - 1) / (s.from_ms - s.from_ms // 2) AS before,
        count(*) FILTER (c.t_out_ms BETWEEN s.from_ms + 15000 AND s.until_ms - 1)
            / (s.until_ms - s.from_ms - 15000) AS during,
        count(*) FILTER (c.t_out_ms BETWEEN s.from_ms AND s.until_ms) AS n
    FROM corridor_study AS s
    JOIN corridor AS c USING (study)
    WHERE s.study = 'blocked_4' AND c.road = s.roads - 1
    GROUP BY s.from_ms, s.until_ms
)
SELECT during / before AS measured, n
FROM exits
