#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Durable read-modify-writes per second of 64 guests, each with a key of its own: get, add one, set.
#
#   ./dev bench kv-storm [--peers] [--json] [--rounds N] [--seconds N] [--guests N]
#
# The guests (test/guest/rust/kv-storm, kv-writer) are built with the published crate. With --peers
# the reference runs the same artefacts under the same manifest; rounds are interleaved and every
# figure is the median of its rounds. The stores are on the disk of $TMPDIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/server.sh
source lib/server.sh

rounds=5 seconds=2 guests=64 peers=no
while [ $# -gt 0 ]; do
    case $1 in
    --peers) peers=yes ;;
    --json) json=yes ;;
    --rounds) rounds=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    --guests) guests=$2 && shift ;;
    *) echo "bench kv-storm: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done

app() { # app NAME BINARY: sets server_url
    mkdir -p "$bench_dir/kv-storm-app/wasm"
    cp apps/kv-storm/rusm.toml "$bench_dir/kv-storm-app/"
    cp "$RUSM_GUESTS/test/kv-storm.wasm" "$RUSM_GUESTS/test/kv-writer.wasm" \
        "$bench_dir/kv-storm-app/wasm/"
    app_copy "$1" "$bench_dir/kv-storm-app"
    serve "$1" "$2"
}

# Sets rate, p50 and p99 (microseconds).
storm() { # storm URL
    local answer
    answer=$(curl -sS --fail-with-body --max-time $((seconds + 60)) \
        "$1/storm/$guests/$((seconds * 1000))") || {
        echo "bench kv-storm: $1: $answer" >&2
        exit 1
    }
    read -r rate p50 p99 < <(python3 -c 'import json, sys
a = json.loads(sys.argv[1])
print(round(a["rounds"] / a["seconds"]), a["p50_us"], a["p99_us"])' "$answer")
}

app ours "$RUSM_BIN" && ours=$server_url
[ $peers = no ] || { app theirs "$RUSM_PEERS/bin/rusm" && theirs=$server_url; }

declare -A rates p50s p99s
measure() { # measure KEY URL
    storm "$2"
    rates[$1]+=" $rate" p50s[$1]+=" $p50" p99s[$1]+=" $p99"
}

# One uncounted round warms everything up.
for round in $(seq 0 "$rounds"); do
    [ "$round" != 1 ] || { rates=() && p50s=() && p99s=(); }
    measure ours "$ours"
    [ $peers = no ] || measure theirs "$theirs"
done

# shellcheck disable=SC2086 # lists of numbers
{
    value=$(median ${rates[ours]})
    report kv-storm "$value" rmw/s "$(nproc)" "guests=$guests" "p50_us=$(median ${p50s[ours]})" \
        "p99_us=$(median ${p99s[ours]})"
    if [ $peers = yes ]; then
        report_peer kv-storm rusm "$(median ${rates[theirs]})" "$value"
    fi
}
