#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Empty components per second that are spawned, run and end (wasm/guest_storm.c).
#   ./dev bench component-storm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
wasm_bench component-storm "256" "empty.wat" "$@"
