-- realism.aqi_from_pollutants: share of readings whose index is that of their own pollutants, within 1
-- kind:    calibrated
-- target:  0.999 to 1
-- unit:    share
-- source:  US EPA, EPA-454/B-24-002 (2024)
-- least:   100 readings
WITH computed AS (
    SELECT
        aqi,
        greatest(
            epa_index(pm25, [9.0, 35.4, 55.4, 125.4, 225.4, 325.4]),
            epa_index(floor(pm10), [54.0, 154.0, 254.0, 354.0, 424.0, 604.0]),
            epa_index(floor(no2), [53.0, 100.0, 360.0, 649.0, 1249.0, 2049.0]),
            epa_index(floor(o3), [54.0, 70.0, 85.0, 105.0, 200.0, 604.0])
        ) AS expected
    FROM climate
)
SELECT avg((abs(aqi - expected) <= 1)::INT) AS measured, count(*) AS n
FROM computed
