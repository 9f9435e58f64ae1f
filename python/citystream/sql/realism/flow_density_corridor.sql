-- realism.flow_density_corridor: R² of two lines through flow and density of a lane in steady states of the corridors
-- kind:    calibrated
-- target:  0.95 to 1
-- unit:    R²
-- source:  Newell 1993: flow rises with density to capacity, then falls; Cassidy 1998 for steady states
-- least:   200 minutes of roads
WITH next AS (
    SELECT
        *,
        minute * 60000 AS t_ms,
        lag(k_vehkm) OVER w AS before_k,
        lead(k_vehkm) OVER w AS after_k
    FROM state
    WINDOW w AS (PARTITION BY study, road ORDER BY minute)
),
cell AS (
    SELECT n.k_vehkm / s.lanes AS k, n.q_vehh / s.lanes AS q
    FROM next AS n
    JOIN corridor_study AS s USING (study)
    -- Who is still under way at the end is in no passage.
    WHERE s.limit_kmh BETWEEN 49 AND 51 AND n.t_ms < s.duration_ms - 900000
        AND abs(n.before_k / n.k_vehkm - 1) < 0.1 AND abs(n.after_k / n.k_vehkm - 1) < 0.1
),
split AS (SELECT unnest(quantile_cont(k, [i / 40 FOR i IN range(1, 40)])) AS knee FROM cell),
error AS (
    SELECT
        knee,
        k < knee AS below,
        regr_syy(q, k) - coalesce(pow(regr_sxy(q, k), 2) / nullif(regr_sxx(q, k), 0), 0) AS sse
    FROM cell, split
    GROUP BY ALL
),
fit AS (SELECT knee, sum(sse) AS sse FROM error GROUP BY knee)
SELECT 1 - (SELECT min(sse) FROM fit) / nullif(var_pop(q) * count(*), 0) AS measured, count(*) AS n
FROM cell
