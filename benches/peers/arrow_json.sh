#!/bin/sh
# JSON encode and decode of gps batches by citystream and by arrow-json, in turn: arrow_json.sh [PROFILE [SECONDS]]
# Criterion writes its estimates to CRITERION_HOME, or to target/criterion. One side alone: add its name.
set -eu
cd "$(dirname "$0")/../.."
profile=${1:-release} seconds=${2:-3}
shift $(($# > 2 ? 2 : $#))
exec cargo bench --quiet --profile "$profile" --bench codec -- --noplot --warm-up-time 1 --measurement-time "$seconds" "$@"
