#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Messages per second between two guests (wasm/wasm_ping_pong.c). The peers are the reference, and
# Wasmtime of our version with next to nothing around it (wasmtime): a queue for each mailbox, one
# queue of those that are ready, and threads that never meet.
#   ./dev bench wasm-ping-pong [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
# shellcheck disable=SC2034 # read by lib/core.sh
core_rivals="rusm wasmtime"
wasm_bench wasm-ping-pong "1 64" "ball.wasm" "$@"
