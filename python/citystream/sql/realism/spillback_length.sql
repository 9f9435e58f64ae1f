-- realism.spillback_length: how far a closed road's queue reaches at most, over s·w·T / (w - s) of the measured waves
-- kind:    emergent
-- target:  0.9 to 1.1
-- unit:    ratio
-- source:  Newell 1993: where the wave of the start meets the queue's tail
-- least:   5 roads
WITH plan AS (SELECT * FROM corridor_study WHERE study = 'closed'),
reached AS (
    -- The tail ends somewhere within the last road that it reaches.
    SELECT (any_value(p.roads) - min(road) - 0.5) * any_value(p.length_m) / 1000 AS km, count(DISTINCT road) AS n
    FROM passage JOIN plan AS p USING (study)
    WHERE ms > free_ms + 1000
),
jam AS (
    SELECT avg(k_vehkm) AS k
    FROM state JOIN plan USING (study)
    WHERE (minute + 1) * 60000 <= until_ms AND minute * 60000 >= until_ms - 300000 AND road = roads - 2
),
discharge AS (
    SELECT avg(q_vehh) AS q, avg(k_vehkm) AS k
    FROM state JOIN plan USING (study)
    WHERE minute * 60000 >= until_ms + 60000 AND (minute + 1) * 60000 <= until_ms + 360000 AND road = roads - 2
),
wave AS (
    SELECT u.q / (j.k - u.k) AS s, d.q / (j.k - d.k) AS w, (p.until_ms - p.from_ms) / 3600000 AS h
    FROM upstream AS u JOIN plan AS p USING (study), jam AS j, discharge AS d
)
SELECT r.km / (s * w * h / (w - s)) AS measured, r.n
FROM reached AS r, wave
