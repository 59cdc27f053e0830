#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Resident bytes per process that waits (core/idle_native.c).
#   ./dev bench idle-native [--peers] [--json] [--rounds N]
# A million state machines; 20,000 fibers, for each takes two of the system's mappings, of which
# there are 65,530 by default; 200,000 processes of the peers, which are ten times as large.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh

core_run() {
    case $1 in
    state) "$RUSM_BUILD/bench/$core_name" --body "$@" --size 1000000 ;;
    fiber) "$RUSM_BUILD/bench/$core_name" --body "$@" --size 20000 ;;
    esac
}
core_bench idle-native 200000 "$@"
