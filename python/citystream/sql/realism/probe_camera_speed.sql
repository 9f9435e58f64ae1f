-- realism.probe_camera_speed: speed of gps fixes near a camera over the camera's mean speed in the same five minutes
-- kind:    emergent
-- target:  0.95 to 1.05
-- unit:    ratio
-- source:  two sensors of one truth
-- least:   200 windows
WITH spot AS (
    SELECT
        c.road_id,
        c.lat,
        c.lon,
        degrees(atan2((r.lon1 - r.lon0) * cos(radians(r.lat0)), r.lat1 - r.lat0)) AS bearing,
        floor(c.lat / 0.005) + dy AS cell_y,
        floor(c.lon / 0.005) + dx AS cell_x
    FROM camera AS c
    JOIN road AS r USING (road_id), unnest([-1, 0, 1]) AS a(dx), unnest([-1, 0, 1]) AS b(dy)
),
probe AS (
    -- Fixes come at even times, a camera counts passages: weighted by speed, fixes show what it sees.
    SELECT s.road_id, g.t_ms // 300000 AS slot, sum(g.speed_kmh * g.speed_kmh) / sum(g.speed_kmh) AS kmh
    FROM gps AS g
    JOIN spot AS s ON floor(g.lat / 0.005) = s.cell_y AND floor(g.lon / 0.005) = s.cell_x
    WHERE g.speed_kmh > 0
        AND sqrt(pow((g.lon - s.lon) * cos(radians(s.lat)), 2) + pow(g.lat - s.lat, 2)) * 111320 < 100
        AND abs((g.heading_deg - s.bearing + 540) % 360 - 180) < 30
    GROUP BY ALL
),
seen AS (
    SELECT
        road_id,
        (t_ms - interval_s * 500) // 300000 AS slot,
        sum(vehicles * mean_speed_kmh) / sum(vehicles) AS kmh
    FROM traffic
    WHERE vehicles > 0
    GROUP BY ALL
)
SELECT sum(p.kmh) / sum(s.kmh) AS measured, count(*) AS n
FROM probe AS p
JOIN seen AS s USING (road_id, slot)
