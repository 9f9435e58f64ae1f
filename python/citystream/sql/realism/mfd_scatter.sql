-- realism.mfd_scatter: scatter of the whole network's flow at a density over that of single roads
-- kind:    emergent
-- target:  0 to 0.333
-- unit:    ratio
-- source:  Geroliminis and Daganzo 2008: scatter nearly disappears when roads are added up
-- least:   200 windows of the network
WITH cell AS (
    SELECT r.road_class, e.slot, r.length_m * r.lanes AS lane_m, e.spent_s, e.driven_m
    FROM edie AS e
    JOIN road AS r USING (road_id)
    WHERE r.road_class <> 'motorway'
),
road_point AS (
    SELECT spent_s / lane_m AS k, driven_m / lane_m AS q, ntile(20) OVER (PARTITION BY road_class ORDER BY k) AS bin, road_class
    FROM cell
),
network_point AS (
    SELECT *, ntile(20) OVER (ORDER BY k) AS bin
    FROM (
        SELECT slot, sum(spent_s) / (SELECT sum(length_m * lanes) FROM road WHERE road_class <> 'motorway') AS k,
            sum(driven_m) / (SELECT sum(length_m * lanes) FROM road WHERE road_class <> 'motorway') AS q
        FROM cell
        GROUP BY slot
    )
),
-- What is left of the flow once the density is known, as a share of the mean flow.
road_left AS (
    SELECT sqrt(avg(pow(q - mean, 2))) / avg(q) AS cv
    FROM (SELECT q, avg(q) OVER (PARTITION BY road_class, bin) AS mean FROM road_point)
),
network_left AS (
    SELECT sqrt(avg(pow(q - mean, 2))) / avg(q) AS cv, count(*) AS n
    FROM (SELECT q, avg(q) OVER (PARTITION BY bin) AS mean FROM network_point)
)
SELECT w.cv / nullif(r.cv, 0) AS measured, w.n
FROM network_left AS w, road_left AS r
