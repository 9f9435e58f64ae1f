-- What several checks read, made of the tables that the module citystream.realism lists.

-- US EPA index of a concentration; `ends` are the upper ends of the classes 50, 100, 150, 200, 300 and 500.
CREATE MACRO epa_index(c, ends) AS round(CASE
    WHEN c <= ends[1] THEN 50 * c / ends[1]
    WHEN c <= ends[2] THEN 50 + 50 * (c - ends[1]) / (ends[2] - ends[1])
    WHEN c <= ends[3] THEN 100 + 50 * (c - ends[2]) / (ends[3] - ends[2])
    WHEN c <= ends[4] THEN 150 + 50 * (c - ends[3]) / (ends[4] - ends[3])
    WHEN c <= ends[5] THEN 200 + 100 * (c - ends[4]) / (ends[5] - ends[4])
    ELSE least(500, 300 + 200 * (c - ends[5]) / (ends[6] - ends[5]))
END);

-- The middle of all roads, and half the city's width.
CREATE TABLE centre AS
SELECT
    (min(least(lat0, lat1)) + max(greatest(lat0, lat1))) / 2 AS lat,
    (min(least(lon0, lon1)) + max(greatest(lon0, lon1))) / 2 AS lon,
    (max(greatest(lat0, lat1)) - min(least(lat0, lat1))) / 2 * 111320 AS half_m
FROM road;

-- Roads with the place of their middle; `reach` is its distance from the centre as a share of half the width.
CREATE TABLE place AS
SELECT
    r.*,
    ((r.lon0 + r.lon1) / 2 - c.lon) * 111320 * cos(radians(c.lat)) AS x_m,
    ((r.lat0 + r.lat1) / 2 - c.lat) * 111320 AS y_m,
    sqrt(x_m * x_m + y_m * y_m) / c.half_m AS reach
FROM road AS r, centre AS c;

-- Fixes with the truth: true and measured place in metres, the error, and `reach` of the true place.
CREATE TABLE fix AS
SELECT
    g.device_id,
    t.t_ms,
    (t.lon - c.lon) * 111320 * cos(radians(c.lat)) AS x_m,
    (t.lat - c.lat) * 111320 AS y_m,
    (g.lon - t.lon) * 111320 * cos(radians(c.lat)) AS east_m,
    (g.lat - t.lat) * 111320 AS north_m,
    sqrt(x_m * x_m + y_m * y_m) / c.half_m AS reach
FROM gps AS g
JOIN truth AS t USING (id), centre AS c;

-- Fixes a second apart: true and measured metres between them.
CREATE TABLE leg AS
WITH pair AS (
    SELECT
        *,
        lead(t_ms) OVER w - t_ms AS dt_ms,
        lead(x_m) OVER w - x_m AS dx_m,
        lead(y_m) OVER w - y_m AS dy_m,
        lead(east_m) OVER w AS next_east_m,
        lead(north_m) OVER w AS next_north_m
    FROM fix
    WINDOW w AS (PARTITION BY device_id ORDER BY t_ms)
)
SELECT
    *,
    sqrt(dx_m * dx_m + dy_m * dy_m) AS true_m,
    sqrt(pow(dx_m + next_east_m - east_m, 2) + pow(dy_m + next_north_m - north_m, 2)) AS measured_m
FROM pair
WHERE dt_ms BETWEEN 900 AND 1100;

-- Speeds of cars half-way along roads with at most ten vehicles an hour, so that nobody is held up, in dry hours. `weight` makes what is seen
-- at even times into what a detector at the roadside sees: it sees the fast ones more often.
CREATE TABLE free_speed AS
WITH flow AS (
    SELECT road_id, t_in_ms // 3600000 AS hour, count(*) AS vehicles
    FROM light_crossing
    GROUP BY ALL
),
dry AS (
    SELECT t_ms // 3600000 AS hour
    FROM light_weather
    GROUP BY hour
    HAVING max(precipitation_mmh) = 0 AND bool_and(condition IN ('Clear', 'Cloudy'))
)
SELECT
    v.device_id,
    r.limit_kmh / 1.609344 AS limit_mph,
    v.speed_kmh / 1.609344 AS mph,
    v.speed_kmh AS weight
FROM light_vehicle AS v
JOIN light_road AS r USING (road_id)
LEFT JOIN flow AS f ON f.road_id = v.road_id AND f.hour = v.t_ms // 3600000
WHERE v.vehicle_type = 'Car'
    AND v.speed_kmh > 0
    AND coalesce(f.vehicles, 0) <= 10
    AND (v.t_ms // 3600000) IN (SELECT hour FROM dry)
    AND sqrt(pow((v.lon - r.lon0) * cos(radians(r.lat0)), 2) + pow(v.lat - r.lat0, 2)) * 111320 / r.length_m
        BETWEEN 0.35 AND 0.65;

-- Edie's definitions over each road and five minutes: metres driven and seconds spent by all vehicles.
CREATE TABLE edie AS
WITH piece AS (
    SELECT
        road_id,
        unnest(generate_series(t_in_ms // 300000, t_out_ms // 300000)) AS slot,
        t_in_ms,
        t_out_ms
    FROM crossing
    WHERE t_out_ms > t_in_ms
),
cut AS (
    SELECT
        p.road_id,
        p.slot,
        (least(p.t_out_ms, (p.slot + 1) * 300000) - greatest(p.t_in_ms, p.slot * 300000)) / 1000.0 AS s,
        r.length_m * s * 1000.0 / (p.t_out_ms - p.t_in_ms) AS m
    FROM piece AS p
    JOIN road AS r USING (road_id)
)
SELECT road_id, slot, sum(m) AS driven_m, sum(s) AS spent_s
FROM cut
WHERE s > 0
GROUP BY ALL;

-- The same over each road and minute of the corridors: vehicles an hour, and vehicles a kilometre.
CREATE TABLE state AS
WITH piece AS (
    SELECT study, road, unnest(generate_series(t_in_ms // 60000, t_out_ms // 60000)) AS minute, t_in_ms, t_out_ms
    FROM corridor
),
cut AS (
    SELECT
        *,
        least(t_out_ms, (minute + 1) * 60000) - greatest(t_in_ms, minute * 60000) AS ms,
        ms / (t_out_ms - t_in_ms) AS share
    FROM piece
)
SELECT
    c.study,
    c.road,
    c.minute,
    sum(c.share) * 60 AS q_vehh,
    sum(c.ms) / 60000.0 / any_value(s.length_m) * 1000 AS k_vehkm
FROM cut AS c
JOIN corridor_study AS s USING (study)
WHERE c.ms > 0
GROUP BY ALL;

-- Passages over the corridors, with how long they took and how long the quickest of the study took.
CREATE TABLE passage AS
SELECT *, t_out_ms - t_in_ms AS ms, min(t_out_ms - t_in_ms) OVER (PARTITION BY study) AS free_ms
FROM corridor;

-- What the last road of each corridor that loses lanes lets out while they are blocked, over what it let out before; a queue
-- takes a quarter of a minute to settle.
CREATE TABLE blocked AS
WITH exits AS (
    SELECT
        s.study,
        count(*) FILTER (c.t_out_ms BETWEEN s.from_ms // 2 AND s.from_ms - 1) / (s.from_ms - s.from_ms // 2) AS before,
        count(*) FILTER (c.t_out_ms BETWEEN s.from_ms + 15000 AND s.until_ms - 1)
            / (s.until_ms - s.from_ms - 15000) AS during,
        count(*) FILTER (c.t_out_ms BETWEEN s.from_ms AND s.until_ms) AS n
    FROM corridor_study AS s
    JOIN corridor AS c USING (study)
    WHERE c.road = s.roads - 1 AND s.until_ms > s.from_ms
    GROUP BY s.study, s.from_ms, s.until_ms
)
SELECT study, during / before AS ratio, n
FROM exits;

-- Flow and density of the corridors in the five minutes before lanes are lost.
CREATE TABLE upstream AS
SELECT study, avg(q_vehh) AS q, avg(k_vehkm) AS k
FROM state JOIN corridor_study AS s USING (study)
WHERE (minute + 1) * 60000 <= s.from_ms AND minute * 60000 >= s.from_ms - 300000
GROUP BY study;

-- Flow and density where lines are fitted to them: of a lane of a city's motorways in five minutes by Edie's definitions, and
-- of a lane of the corridors in steady minutes.
CREATE TABLE flow_density AS
SELECT
    'city' AS place,
    e.spent_s / (r.length_m * r.lanes * 300) * 1000 AS k,
    e.driven_m / (r.length_m * r.lanes * 300) * 3600 AS q
FROM edie AS e
JOIN road AS r USING (road_id)
WHERE r.road_class = 'motorway';

INSERT INTO flow_density
WITH next AS (
    SELECT *, minute * 60000 AS t_ms, lag(k_vehkm) OVER w AS before_k, lead(k_vehkm) OVER w AS after_k
    FROM state
    WINDOW w AS (PARTITION BY study, road ORDER BY minute)
)
SELECT 'corridor', n.k_vehkm / s.lanes, n.q_vehh / s.lanes
FROM next AS n
JOIN corridor_study AS s USING (study)
-- Who is still under way at the end is in no passage.
WHERE s.limit_kmh BETWEEN 49 AND 51 AND n.t_ms < s.duration_ms - 900000
    AND abs(n.before_k / n.k_vehkm - 1) < 0.1 AND abs(n.after_k / n.k_vehkm - 1) < 0.1;

-- R² of the best two lines that meet at one of forty densities; none where the flow is always the same, since there is nothing
-- to explain then.
CREATE TABLE two_lines AS
WITH split AS (
    SELECT place, unnest(quantile_cont(k, [i / 40 FOR i IN range(1, 40)])) AS knee
    FROM flow_density
    GROUP BY place
),
error AS (
    SELECT
        place,
        knee,
        k < knee AS below,
        regr_syy(q, k) - coalesce(pow(regr_sxy(q, k), 2) / nullif(regr_sxx(q, k), 0), 0) AS sse
    FROM flow_density JOIN split USING (place)
    GROUP BY place, knee, below
),
fit AS (SELECT place, knee, sum(sse) AS sse FROM error GROUP BY place, knee),
best AS (SELECT place, min(sse) AS sse FROM fit GROUP BY place)
SELECT
    place,
    CASE WHEN stddev_pop(q) > 0.01 * avg(q) THEN 1 - any_value(sse) / (var_pop(q) * count(*)) END AS r2,
    count(*) AS n
FROM flow_density JOIN best USING (place)
GROUP BY place;
