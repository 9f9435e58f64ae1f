-- realism.queue_discharge_time: time until a closed road's queue is gone, over q1·T / (q2 - q1) of the measured flows
-- kind:    emergent
-- target:  0.95 to 1.05
-- unit:    ratio
-- source:  queueing: what came while it was closed goes at capacity while more comes
-- least:   100 vehicles
WITH plan AS (SELECT * FROM corridor_study WHERE study = 'closed'),
journey AS (
    SELECT vehicle, min(t_in_ms) AS t_in_ms, max(t_out_ms) AS t_out_ms, max(t_out_ms) - min(t_in_ms) AS ms
    FROM corridor
    WHERE study = 'closed'
    GROUP BY vehicle
    HAVING count(*) = (SELECT roads FROM plan)
),
held AS (
    SELECT max(t_out_ms) AS last_ms, count(*) AS n
    FROM journey
    WHERE ms > (SELECT min(ms) FROM journey) + 2000
),
flow AS (
    SELECT
        count(*) FILTER (road = 0 AND t_out_ms < from_ms) * 3600000.0
            / (any_value(from_ms) - min(t_out_ms) FILTER (road = 0)) AS q1,
        count(*) FILTER (road = roads - 1 AND t_out_ms >= until_ms + 60000 AND t_out_ms < until_ms + 360000)
            * 12 AS q2
    FROM corridor JOIN plan USING (study)
)
SELECT (h.last_ms - p.until_ms) / ((p.until_ms - p.from_ms) * f.q1 / (f.q2 - f.q1)) AS measured, h.n
FROM held AS h, plan AS p, flow AS f
