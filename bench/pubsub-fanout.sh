#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Deliveries per second from one publisher to 10,000 subscribers (core/pubsub_fanout.c).
#   ./dev bench pubsub-fanout [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_bench pubsub-fanout "10000" "$@"
