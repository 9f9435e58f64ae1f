-- realism.flow_density_city: R² of two lines through flow and density of motorways in five minutes
-- kind:    emergent
-- target:  0.95 to 1
-- unit:    R²
-- source:  HCM and Newell: flow rises with density to capacity, then falls; Edie 1963 for the definitions
-- least:   1000 windows of roads
WITH cell AS (
    SELECT e.spent_s / (r.length_m * r.lanes * 300) * 1000 AS k, e.driven_m / (r.length_m * r.lanes * 300) * 3600 AS q
    FROM edie AS e
    JOIN road AS r USING (road_id)
    WHERE r.road_class = 'motorway'
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
-- Where the flow is always the same there is nothing to explain.
SELECT
    CASE WHEN stddev_pop(q) > 0.01 * avg(q) THEN 1 - (SELECT min(sse) FROM fit) / (var_pop(q) * count(*)) END AS measured,
    count(*) AS n
FROM cell
