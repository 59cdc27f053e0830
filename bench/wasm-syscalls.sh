#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# System calls per spawn in the steady state: strace -f -c looks at component-storm for two seconds
# of five, for an empty component, for one that grows its memory by 1 MiB, and for two in turn.
#   ./dev bench wasm-syscalls [--threads N]
# The guests that are counted are those of the seconds before and after strace, at their rate; what
# strace itself slows down makes the calls per spawn look smaller by as much.
set -euo pipefail
threads=$(nproc)
case $# in
0) ;;
*)
    [ "$1" = --threads ] && [[ ${2:-} =~ ^[1-9][0-9]*$ ]] && [ $# = 2 ] || {
        echo "usage: ./dev bench wasm-syscalls [--threads N]" >&2
        exit 2
    }
    threads=$2
    ;;
esac

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
    awk -v title="$title" -v memory="$memory" '
        FILENAME ~ /figure$/ { split($2, value, "="); rate = value[2]; next }
        $NF ~ /^(mmap|munmap|mprotect|madvise|ioctl|getrusage)$/ { calls[$NF] = $4 }
        END {
            printf "%s memory_mb=%d spawns=%d", title, memory, 2 * rate
            n = split("mmap munmap mprotect madvise ioctl getrusage", names, " ")
            for (i = 1; i <= n; i++)
                printf " %s=%d (%.4f per spawn)", names[i], calls[names[i]],
                    calls[names[i]] / (2 * rate)
            print ""
        }' "$work/figure" "$work/calls"
}

for memory in 16 64; do
    look empty "$memory" empty.wat
    look grow-1-mib "$memory" grow.wat
    look two-components "$memory" empty.wat four-pages.wat
done
