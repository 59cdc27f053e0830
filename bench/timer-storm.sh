#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Timers per second, armed and cancelled, beside none and a million others (core/timer_storm.c).
#   ./dev bench timer-storm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench timer-storm "0 1000000" "$@"
