-- realism.capacity_1_of_3_blocked: discharge with one of 3 lanes blocked over that before
-- kind:    calibrated
-- target:  0.4753 to 0.5047
-- unit:    ratio
-- source:  HCM 2010, exhibit 10-17: 0.49, within 3 %
-- least:   200 vehicles
SELECT ratio AS measured, n
FROM blocked
WHERE study = 'blocked_3'
