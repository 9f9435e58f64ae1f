-- realism.flow_density_city: R² of two lines through flow and density of motorways in five minutes
-- kind:    emergent
-- target:  0.95 to 1
-- unit:    R²
-- source:  HCM and Newell: flow rises with density to capacity, then falls; Edie 1963 for the definitions
-- least:   1000 windows of roads
SELECT r2 AS measured, n
FROM two_lines
WHERE place = 'city'
