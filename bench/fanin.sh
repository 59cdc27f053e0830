#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Messages per second from 64 senders to one receiver, memory bounded (core/fanin.c).
#   ./dev bench fanin [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench fanin "64" "$@"
