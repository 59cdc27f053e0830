#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Rust guests per second that are spawned, receive, send and end (wasm/guest_storm.c); also with
# cpu-ms and deadline-ms of a second (body=wasm-64m-limited), which no guest comes near.
#   ./dev bench guest-storm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
core_bodies="16 64 limited"
core_run() { # core_run MEMORY_MB|limited OPTIONS
    local ceiling=("$1")
    [ "$1" != limited ] || ceiling=(64 --limit-ms 1000)
    shift
    "$RUSM_BUILD/bench/$core_name" --memory-mb "${ceiling[@]}" "$@" "${wasm_guests[@]}"
}
wasm_bench guest-storm "64" "echo.wasm" "$@"
