#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Empty components per second that guests start by spawn-from, hot, and see end (guest_storm.c).
#   ./dev bench dynamic-wasm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
wasm_bench dynamic-wasm "16" "forker.wat" "$@"
