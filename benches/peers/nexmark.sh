#!/bin/sh
# Events by the generator of the nexmark crate, as structs in memory that are dropped at once: nexmark.sh EVENTS
# The program is benches/peers/nexmark, a cargo project of its own; built here where `make bench` has not done it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$root/target/nexmark/release/nexmark-peer
[ -x "$program" ] || cargo build --quiet --locked --release --manifest-path "$root/benches/peers/nexmark/Cargo.toml" \
  --target-dir "$root/target/nexmark"
exec "$program" "$1"
