#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Rust guests per second that are spawned, receive, send and end (wasm/guest_storm.c).
#   ./dev bench guest-storm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
wasm_bench guest-storm "64" "echo.wasm" "$@"
