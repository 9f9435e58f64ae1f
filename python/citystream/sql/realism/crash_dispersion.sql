-- realism.crash_dispersion: variance over mean of the crashes in blocks of equal distance driven
-- kind:    calibrated
-- target:  0.9 to 1.1
-- unit:    ratio
-- source:  a Poisson process given exposure has 1
-- least:   1000 blocks
SELECT var_samp(crashes) / avg(crashes) AS measured, count(*) AS n
FROM exposure
WHERE condition = 'Clear'
