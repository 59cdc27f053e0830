#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Bytes per second through byte streams, 4 KiB chunks, one pair and eight; what copying alone comes
# to, and the share of that (core/stream_pipe.c). The BEAM has nothing like it between processes.
#   ./dev bench stream-pipe [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/core.sh
source lib/core.sh
core_peer() {
    [ "$1" = rusm ] || return 0
    shift
    "$RUSM_PEERS/bin/peer-rusm" "$core_name" "$@"
}
core_bench stream-pipe "1 8" "$@"
