#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Resident bytes per small guest that waits (wasm/idle_wasm.c).
#   ./dev bench idle-wasm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
wasm_bench idle-wasm "3000" "parked.wat" "$@"
