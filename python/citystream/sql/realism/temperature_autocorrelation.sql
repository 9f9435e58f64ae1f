-- realism.temperature_autocorrelation: correlation of a station's hourly temperature with that of the hour before
-- kind:    calibrated
-- target:  0.95 to 1
-- unit:    r
-- source:  assumed; hourly temperatures drift over a day, they don't jump
-- least:   500 hours
WITH hourly AS (
    -- Stations' clocks are some seconds off.
    SELECT station_id, (t_ms + 60000) // 3600000 AS hour, avg(temperature_c) AS c
    FROM climate
    GROUP BY ALL
)
SELECT corr(a.c, b.c) AS measured, count(*) AS n
FROM hourly AS a
JOIN hourly AS b ON a.station_id = b.station_id AND b.hour = a.hour + 1
