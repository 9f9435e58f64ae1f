-- realism.incident_shock_speed: speed of a queue's tail over (q1 - q2) / (k1 - k2) of the measured flows and densities
-- kind:    emergent
-- target:  0.95 to 1.05
-- unit:    ratio
-- source:  Lighthill and Whitham 1955, Richards 1956
-- least:   5 roads
WITH plan AS (SELECT * FROM corridor_study WHERE study = 'incident'),
tail AS (
    SELECT road, min(t_out_ms) AS t_ms
    FROM passage JOIN plan USING (study)
    WHERE ms > free_ms + 500 AND road < roads - 1 AND t_out_ms < until_ms
    GROUP BY road
),
seen AS (
    SELECT regr_slope((road + 1) * length_m / 1000, t_ms / 3600000) AS kmh, count(*) AS n
    FROM tail, plan
),
queue AS (
    SELECT avg(q_vehh) AS q, avg(k_vehkm) AS k
    FROM state JOIN plan USING (study)
    WHERE (minute + 1) * 60000 <= until_ms AND minute * 60000 >= until_ms - 300000 AND road = roads - 2
)
SELECT s.kmh / ((u.q - z.q) / (u.k - z.k)) AS measured, s.n
FROM upstream AS u JOIN plan USING (study), seen AS s, queue AS z
