-- realism.capacity_1_of_4_blocked: discharge with one of 4 lanes blocked over that before
-- kind:    calibrated
-- target:  0.5626 to 0.5974
-- unit:    ratio
-- source:  HCM 2010, exhibit 10-17: 0.58, within 3 %
-- least:   200 vehicles
SELECT ratio AS measured, n
FROM blocked
WHERE study = 'blocked_4'
