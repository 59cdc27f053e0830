#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Round trips to guests while other guests loop on every core (wasm/fairness.c).
#   ./dev bench fairness [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
wasm_bench fairness "1" "ball.wasm loop.wat" "$@"
