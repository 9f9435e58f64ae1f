"""The gate: lakes that are killed, refused, raced and starved, and then audited by readers that are not ours.

`make test` runs a fixed choice of kills, `make chaos` the whole matrix (CHAOS_SEEDS for each point and store).
"""
