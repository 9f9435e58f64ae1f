-- realism.trip_length: share of trips between 1 and 10 miles long
-- kind:    calibrated
-- target:  0.5 to 0.95
-- unit:    share
-- source:  FHWA, Our Nation's Highways 2008, figure 4-5: more than half
-- least:   500 trips
WITH trip AS (
    SELECT device_id, trip, sum(length_m) / 1609.344 AS miles
    FROM crossing
    JOIN road USING (road_id)
    GROUP BY ALL
)
SELECT avg((miles BETWEEN 1 AND 10)::INT) AS measured, count(*) AS n
FROM trip
