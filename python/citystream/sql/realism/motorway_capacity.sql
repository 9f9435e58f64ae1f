-- realism.motorway_capacity: 99th percentile of a motorway lane's flow in five minutes
-- kind:    calibrated
-- target:  1900 to 2400
-- unit:    vehicles per hour and lane
-- source:  HCM, level of service E: 2,300 to 2,400 passenger cars at best
-- least:   5 windows
WITH five AS (
    SELECT c.road, c.t_out_ms // 300000 AS slot, count(*) * 12 / any_value(s.lanes) AS flow
    FROM corridor_study AS s
    JOIN corridor AS c USING (study)
    WHERE s.study = 'motorway' AND c.t_out_ms >= 600000 AND c.t_out_ms < s.duration_ms // 300000 * 300000
    GROUP BY ALL
)
SELECT quantile_cont(flow, 0.99) AS measured, count(*) AS n
FROM five
