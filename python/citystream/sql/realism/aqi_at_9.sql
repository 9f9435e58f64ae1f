-- realism.aqi_at_9: air quality index where PM2.5 stands at 9.0 µg/m³ and sets it
-- kind:    calibrated
-- target:  49.5 to 50.5
-- unit:    index
-- source:  US EPA, EPA-454/B-24-002 (2024)
-- least:   5 readings
SELECT avg(aqi) AS measured, count(*) AS n
FROM climate
WHERE round(pm25, 1) = 9.0
    AND floor(pm10) <= 54 AND floor(no2) <= 53 AND floor(o3) <= 54
