"""Figures of citystream beside those of named peers: `make bench` runs them and writes RESULTS.md and results.json.

`figures/` has a file for each figure, `peers/` the exact command of each peer, `ours/` the programs of ours that are no
command of `citystream`. Standard library only, so that the measuring process stays small.
"""
