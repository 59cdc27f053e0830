#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Messages per second between two guests (wasm/wasm_ping_pong.c).
#   ./dev bench wasm-ping-pong [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
wasm_bench wasm-ping-pong "1 64" "ball.wasm" "$@"
