#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Round trips beside processes that only compute, 99th percentile (core/mixed_latency.c).
#   ./dev bench mixed-latency [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench mixed-latency "8" "$@"
