#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Processes per second that are spawned, run, end and are reaped (core/spawn_storm.c).
#   ./dev bench spawn-storm [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench spawn-storm "-" "$@"
