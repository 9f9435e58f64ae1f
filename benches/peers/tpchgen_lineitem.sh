#!/bin/sh
# TPC-H lineitem as one Parquet file, zstd level 1: tpchgen_lineitem.sh SCALE THREADS FOLDER
# Needs tpchgen-cli (benches/requirements.txt), in .venv or on the path.
set -eu
PATH="$(dirname "$0")/../../.venv/bin:$PATH"
exec tpchgen-cli parquet --scale-factor "$1" --tables lineitem --compression 'ZSTD(1)' --num-threads "$2" \
  --output-dir "$3" --quiet
