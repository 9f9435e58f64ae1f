-- realism.pollutant_traffic: correlation of a station's hourly NO2 with the vehicles on the roads nearest to it
-- kind:    emergent
-- target:  0.5 to 1
-- unit:    r
-- source:  Carslaw 2006: 22 to 34 ppb above the background beside a busy road
-- least:   100 station hours
WITH here AS (
    SELECT device_id AS station_id, any_value(lat) AS lat, any_value(lon) AS lon
    FROM (SELECT station_id AS device_id, lat, lon FROM weather)
    GROUP BY ALL
),
nearest AS (
    SELECT
        r.road_id,
        arg_min(
            h.station_id, pow((r.lon0 + r.lon1) / 2 - h.lon, 2) * 0.37 + pow((r.lat0 + r.lat1) / 2 - h.lat, 2)
        ) AS station_id
    FROM road AS r, here AS h
    GROUP BY r.road_id
),
busy AS (
    SELECT n.station_id, c.t_in_ms // 3600000 AS hour, count(*) AS vehicles
    FROM crossing AS c
    JOIN nearest AS n USING (road_id)
    GROUP BY ALL
),
air AS (
    SELECT station_id, t_ms // 3600000 AS hour, avg(no2) AS no2
    FROM weather
    GROUP BY ALL
)
SELECT corr(a.no2, b.vehicles) AS measured, count(*) AS n
FROM air AS a
JOIN busy AS b USING (station_id, hour)
