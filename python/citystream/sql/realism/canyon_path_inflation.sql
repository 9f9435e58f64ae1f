-- realism.canyon_path_inflation: by how much fixes lengthen a way among high buildings, over the same under open sky
-- kind:    emergent
-- target:  3 to 100
-- unit:    ratio
-- source:  PMID 26890178: ways are 97 % too long among high buildings, 14 % among low ones, on foot
-- least:   1000 legs
-- The core's streets stand among high buildings; legs of vehicles that move, so that both are compared at like speed.
WITH longer AS (
    SELECT
        sum(measured_m) FILTER (reach < 0.15) / sum(true_m) FILTER (reach < 0.15) - 1 AS canyon,
        sum(measured_m) FILTER (reach > 0.4) / sum(true_m) FILTER (reach > 0.4) - 1 AS open,
        least(count(*) FILTER (reach < 0.15), count(*) FILTER (reach > 0.4)) AS n
    FROM leg
    WHERE true_m >= 5
)
SELECT canyon / nullif(open, 0) AS measured, n
FROM longer
