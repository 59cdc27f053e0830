#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Messages per second between 64 pairs of processes, and between one pair (core/ping_pong.c).
#   ./dev bench ping-pong [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench ping-pong "64 1" "$@"
