#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Supervised restarts per second (core/fault_recovery.c).
#   ./dev bench fault-recovery [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench fault-recovery "64" "$@"
