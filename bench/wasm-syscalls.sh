#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# System calls per spawn in the steady state: strace -f -c looks at component-storm for two seconds
# of five, for an empty component, for one that grows its memory by 1 MiB, and for two in turn.
#
#   ./dev bench wasm-syscalls [--json] [--threads N]
#
# The guests that are counted are those of the seconds before and after strace, at their rate; what
# strace itself slows down makes the calls per spawn look smaller by as much.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/report.sh
source lib/report.sh

threads=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=yes ;;
    --peers) echo "bench wasm-syscalls: counts of ours only" >&2 ;;
    --threads)
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || {
            echo "bench wasm-syscalls: --threads takes a number" >&2
            exit 2
        }
        threads=$2 && shift
        ;;
    *) echo "bench wasm-syscalls: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

look() { # look TITLE MEMORY_MB GUEST...
    local title=$1 memory=$2 guest guests=() bench
    shift 2
    for guest in "$@"; do
        guests+=(--guest "$RUSM_GUESTS/bench/$guest")
    done
    "$RUSM_BUILD/bench/component-storm" --threads "$threads" --seconds 5 --memory-mb "$memory" \
        "${guests[@]}" >"$work/figure" &
    bench=$!
    sleep 2.5 # past the warm-up
    timeout -s INT 2 strace -f -c -o "$work/calls" -p "$bench" 2>/dev/null || true
    wait "$bench"
    local spawns call count each
    spawns=$(sed -n 's/.* value=\([0-9]*\).*/\1/p' "$work/figure" | awk '{ print 2 * $1; exit }')
    for call in mmap munmap mprotect madvise ioctl getrusage; do
        count=$(awk -v call=$call '$NF == call { n = $4 } END { print n + 0 }' "$work/calls")
        each=$(awk -v n="$count" -v t="$spawns" 'BEGIN { printf "%.4f", n / t }')
        report "wasm-syscalls-$call" "$each" calls/spawn "$threads" "guest=$title" \
            "memory_mb=$memory" "calls=$count" "spawns=$spawns"
    done
}

for memory in 16 64; do
    look empty "$memory" empty.wat
    look grow-1-mib "$memory" grow.wat
    look two-components "$memory" empty.wat four-pages.wat
done
