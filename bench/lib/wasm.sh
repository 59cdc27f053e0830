# SPDX-License-Identifier: MIT
# For the benches of guests: as core.sh, with guests in place of bodies and the reference as the one
# peer. Source it, then: wasm_bench NAME SIZES "GUEST..." "$@", guests below $RUSM_GUESTS/bench.
#
# Each bench runs with two ceilings of linear memory, 16 and 64 MiB (body=wasm-16m, body=wasm-64m):
# the second is what a profile has unless the manifest says otherwise.

# shellcheck source=bench/lib/core.sh
source "$(dirname "${BASH_SOURCE[0]}")/core.sh"
core_rivals=rusm core_bodies="16 64"

core_run() { # core_run MEMORY_MB OPTIONS
    "$RUSM_BUILD/bench/$core_name" --memory-mb "$@" "${wasm_guests[@]}"
}

core_peer() { # core_peer rusm|wasmtime OPTIONS
    local peer=$1
    shift
    "$RUSM_PEERS/bin/peer-$peer" "$core_name" "$@" "${wasm_guests[@]}"
}

wasm_bench() { # wasm_bench NAME SIZES GUESTS OPTIONS...
    local name=$1 sizes=$2 guest
    wasm_guests=()
    for guest in $3; do
        wasm_guests+=(--guest "$RUSM_GUESTS/bench/$guest")
    done
    shift 3
    core_bench "$name" "$sizes" "$@"
}
