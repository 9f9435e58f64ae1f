-- realism.intermediate_clearance: share of intermediate incidents whose lanes are clear within two hours of the report
-- kind:    calibrated
-- target:  0.9 to 1
-- unit:    share
-- source:  MUTCD's class of 30 to 120 minutes; WisDOT: nine in ten within two hours
-- least:   20 incidents
WITH life AS (
    SELECT
        incident_id,
        min(t_ms) FILTER (status = 'Reported') AS reported,
        min(t_ms) FILTER (status = 'LanesCleared') AS cleared
    FROM emergency
    WHERE severity = 2
    GROUP BY incident_id
)
SELECT avg((cleared - reported < 7200000)::INT) AS measured, count(*) AS n
FROM life
WHERE reported IS NOT NULL AND cleared IS NOT NULL
