-- realism.flow_density_corridor: R² of two lines through flow and density of a lane in steady states of the corridors
-- kind:    calibrated
-- target:  0.95 to 1
-- unit:    R²
-- source:  Newell 1993: flow rises with density to capacity, then falls; Cassidy 1998 for steady states
-- least:   200 minutes of roads
SELECT r2 AS measured, n
FROM two_lines
WHERE place = 'corridor'
