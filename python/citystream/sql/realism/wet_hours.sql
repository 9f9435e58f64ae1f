-- realism.wet_hours: share of hours with at least 0.2 mm of rain or melted snow
-- kind:    calibrated
-- target:  0.086 to 0.102
-- unit:    share
-- source:  weather-banter.co.uk, a station in southern England, 1994 to 2003
-- least:   500 hours
WITH hourly AS (
    -- Stations' clocks are some seconds off.
    SELECT station_id, (t_ms + 60000) // 3600000 AS hour, avg(precipitation_mmh) AS mm
    FROM climate
    GROUP BY ALL
)
-- The mean of six times 0.2 may be a little less.
SELECT avg((mm > 0.2 - 1e-9)::INT) AS measured, count(*) AS n
FROM hourly
