#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Cost of a spawn and of a message beside 1,000 to 1,000,000 processes (core/spawn_scale.c).
#   ./dev bench spawn-scale [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench spawn-scale "1000 10000 100000 1000000" "$@"
