#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# System calls per request in the steady state: `strace -f -c` attached to a served app under load.
#
#   ./dev bench syscalls [--json] [--seconds N] [--path /] [--app app-rust]
#
# Prints the table of strace, then one line per system call that could map memory or talk to the
# pool, as calls per request. Being traced makes the server slow; the counts are what matters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/server.sh
source lib/server.sh

seconds=5 path=/ app=app-rust
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2 && shift ;;
    --path) path=$2 && shift ;;
    --app) app=$2 && shift ;;
    --json) json=yes ;;
    --peers) echo "bench syscalls: counts of ours only" >&2 ;;
    *) echo "bench syscalls: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done

app_copy ours "$RUSM_GUESTS/$app"
serve ours "$RUSM_BIN"
wrk -t1 -c32 -d2s "$server_url$path" >/dev/null # warm slots
strace -f -c -q -p "$server_pid" -o "$bench_dir/table" &
tracer=$!
bench_pids+=("$tracer")
sleep 1
total=$(wrk -t1 -c32 -d"${seconds}s" "$server_url$path" |
    sed -n 's/^ *\([0-9]*\) requests in.*/\1/p')
kill -INT "$tracer"
wait "$tracer" 2>/dev/null || true
[ "$json" = yes ] || cat "$bench_dir/table"
for call in mmap munmap mprotect madvise ioctl; do
    count=$(awk -v call=$call '$NF == call { print $4 }' "$bench_dir/table")
    each=$(awk -v n="${count:-0}" -v t="$total" 'BEGIN { printf "%.4f", n / t }')
    report "syscalls-$call" "$each" calls/request "$(nproc)" "requests=$total"
done
