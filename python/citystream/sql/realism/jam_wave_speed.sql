-- realism.jam_wave_speed: speed at which the start of a standing queue travels along the road
-- kind:    calibrated
-- target:  -20 to -15
-- unit:    km/h
-- source:  Stipdonk et al.: -18 ± 1 km/h
-- least:   5 roads
WITH start AS (
    SELECT
        c.road,
        s.length_m,
        min(c.t_out_ms) FILTER (c.t_out_ms >= s.until_ms) AS t_ms,
        count(*) FILTER (c.t_out_ms BETWEEN s.until_ms - 120000 AND s.until_ms - 1) AS moving
    FROM corridor_study AS s
    JOIN corridor AS c USING (study)
    WHERE s.study = 'closed'
    GROUP BY ALL
)
SELECT regr_slope((road + 1) * length_m / 1000, t_ms / 3600000) AS measured, count(*) AS n
FROM start
WHERE moving = 0
