-- realism.peak_hour: share of a day's road entries in its busiest hour
-- kind:    calibrated
-- target:  0.08 to 0.12
-- unit:    share
-- source:  FHWA, Travel Model Validation Manual, chapter 6
-- least:   24 hours
WITH hourly AS (
    SELECT t_in_ms // 86400000 AS day, t_in_ms // 3600000 AS hour, count(*) AS entries
    FROM crossing
    GROUP BY ALL
),
daily AS (
    SELECT day, max(entries) / sum(entries) AS share, count(*) AS hours
    FROM hourly
    GROUP BY day
)
SELECT avg(share) AS measured, sum(hours) AS n
FROM daily
WHERE hours = 24
