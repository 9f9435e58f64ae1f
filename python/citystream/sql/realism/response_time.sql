-- realism.response_time: median time from the report of an incident to somebody at the scene
-- kind:    emergent
-- target:  5 to 10
-- unit:    min
-- source:  medians of 6 (cardiac calls) and 9 minutes (crashes, PubMed 30725080), within a minute
-- least:   20 incidents
WITH life AS (
    SELECT
        incident_id,
        min(t_ms) FILTER (status = 'Reported') AS reported,
        min(t_ms) FILTER (status = 'OnScene') AS on_scene
    FROM emergency
    GROUP BY incident_id
)
SELECT median(on_scene - reported) / 60000 AS measured, count(*) AS n
FROM life
WHERE reported IS NOT NULL AND on_scene IS NOT NULL
