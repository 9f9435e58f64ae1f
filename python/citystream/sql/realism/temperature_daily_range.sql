-- realism.temperature_daily_range: median difference between a day's highest and lowest temperature
-- kind:    calibrated
-- target:  5 to 10
-- unit:    °C
-- source:  assumed, for southern England
-- least:   20 days
WITH daily AS (
    SELECT station_id, t_ms // 86400000 AS day, max(temperature_c) - min(temperature_c) AS c
    FROM climate
    GROUP BY ALL
)
SELECT median(c) AS measured, count(*) AS n
FROM daily
