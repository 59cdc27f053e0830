#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Routed HTTP, requests per second, one process per request.
#
#   ./dev bench http [--peers] [--json] [--rounds N] [--seconds N]
#
# Scenarios: http-kv      the example app's GET / (Rust guest, JSON, one store look-up)
#            http-kv-c    the same handler written in C
#            http-hello   the smallest Rust handler
#            http-404     no route: what the front end alone can do
# The load is wrk with one thread and 32 connections on the same machine. With --peers the
# reference serves the same artefacts with the same manifests; rounds are interleaved and every
# figure is the median of its rounds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/server.sh
source lib/server.sh

rounds=5 seconds=3 peers=no
while [ $# -gt 0 ]; do
    case $1 in
    --peers) peers=yes ;;
    --json) json=yes ;;
    --rounds) rounds=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    *) echo "bench http: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done

reference=$RUSM_PEERS/bin/rusm
app_copy ours-app "$RUSM_GUESTS/app-rust"
app_copy ours-c "$RUSM_GUESTS/app-c"
app_copy ours-hello "$RUSM_GUESTS/hello"
serve ours-app "$RUSM_BIN" && ours_app=$server_url
serve ours-c "$RUSM_BIN" && ours_c=$server_url
serve ours-hello "$RUSM_BIN" && ours_hello=$server_url
if [ $peers = yes ]; then
    app_copy rusm-app "$RUSM_GUESTS/app-rust"
    app_copy rusm-hello "$RUSM_GUESTS/hello"
    serve rusm-app "$reference" && rusm_app=$server_url
    serve rusm-hello "$reference" && rusm_hello=$server_url
fi

# Sets rate p50 p99 (microseconds) and fails if an answer was not what it should be.
load() { # load URL STATUS
    local out
    out=$(wrk -t1 -c32 -d"${seconds}s" --latency "$1")
    rate=$(sed -n 's/^Requests\/sec: *//p' <<<"$out")
    p50=$(sed -n 's/^ *50% *//p' <<<"$out" | to_us)
    p99=$(sed -n 's/^ *99% *//p' <<<"$out" | to_us)
    if [ "$2" = 200 ] && grep -q 'Non-2xx' <<<"$out"; then
        echo "bench http: $1: $(grep 'Non-2xx' <<<"$out")" >&2
        exit 1
    fi
}

to_us() {
    awk '{ v = $1 + 0
           if ($1 ~ /us$/) print v; else if ($1 ~ /ms$/) print v * 1000; else print v * 1000000 }'
}

declare -A rates p50s p99s
measure() { # measure KEY URL STATUS
    load "$2" "$3"
    rates[$1]+=" $rate" p50s[$1]+=" $p50" p99s[$1]+=" $p99"
}

# One uncounted round warms everything up.
for round in $(seq 0 "$rounds"); do
    [ "$round" != 1 ] || rates=() p50s=() p99s=()
    measure http-kv "$ours_app/" 200
    [ $peers = no ] || measure rusm-http-kv "$rusm_app/" 200
    measure http-kv-c "$ours_c/" 200
    measure http-hello "$ours_hello/" 200
    [ $peers = no ] || measure rusm-http-hello "$rusm_hello/" 200
    measure http-404 "$ours_app/nowhere" 404
    [ $peers = no ] || measure rusm-http-404 "$rusm_app/nowhere" 404
done

# shellcheck disable=SC2086 # lists of numbers
for name in http-kv http-kv-c http-hello http-404; do
    ours=$(median ${rates[$name]})
    report "$name" "$ours" req/s "$(nproc)" "p50_us=$(median ${p50s[$name]})" \
        "p99_us=$(median ${p99s[$name]})"
    if [ $peers = yes ] && [ -n "${rates[rusm-$name]:-}" ]; then
        report_peer "$name" rusm "$(median ${rates[rusm-$name]})" "$ours"
    fi
done
