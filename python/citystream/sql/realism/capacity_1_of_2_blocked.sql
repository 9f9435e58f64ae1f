-- realism.capacity_1_of_2_blocked: discharge with one of 2 lanes blocked over that before
-- kind:    calibrated
-- target:  0.3395 to 0.3605
-- unit:    ratio
-- source:  HCM 2010, exhibit 10-17: 0.35, within 3 %
-- least:   200 vehicles
SELECT ratio AS measured, n
FROM blocked
WHERE study = 'blocked_2'
