-- realism.acceleration: share of seconds with less than 3 m/s² of true acceleration along a straight
-- kind:    calibrated
-- target:  0.999 to 1
-- unit:    share
-- source:  assumed: what drivers use, braking included
-- least:   1000 seconds
WITH three AS (
    SELECT
        true_m AS first_m,
        lead(true_m) OVER w AS second_m,
        lead(t_ms) OVER w - t_ms AS apart_ms,
        sqrt(pow(dx_m + lead(dx_m) OVER w, 2) + pow(dy_m + lead(dy_m) OVER w, 2)) AS both_m
    FROM leg
    WINDOW w AS (PARTITION BY device_id ORDER BY t_ms)
)
-- Places are rounded to a decimetre, which adds up to 0.25 m/s² to a difference of differences.
SELECT avg((abs(second_m - first_m) < 3.25)::INT) AS measured, count(*) AS n
FROM three
WHERE apart_ms BETWEEN 900 AND 1100 AND first_m + second_m - both_m < 0.1
