#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `./dev demo` shows: the example app served for real, once with its guests in Rust, once with
# its guests in C. Ends with 1 if any answer is not what it should be.
#
#   RUSM_BIN, RUSM_GUESTS   the program and the built guests; default: below build/
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rusm=${RUSM_BIN:-$root/build/release/rusm}
guests=${RUSM_GUESTS:-$root/build/guests}
work=$(mktemp -d)
node=
wrong=0

finish() {
    if [[ -n $node ]]; then
        kill -KILL "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

title() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

mistake() {
    printf '     WRONG: %s\n' "$*"
    wrong=$((wrong + 1))
}

# ask STATUS PATTERN CURL-ARGUMENTS...: show a request and its answer; both must be as expected.
ask() {
    local status=$1 pattern=$2 answer code
    shift 2
    answer=$(curl -s -m 20 -w '\n%{http_code}' "${@:1:$#-1}" "$url${!#}") || true
    code=${answer##*$'\n'}
    answer=${answer%$'\n'*}
    printf '  %-44s %s  %s\n' "${*//$'\n'/ }" "$code" "${answer%$'\n'}"
    [[ $code == "$status" && $answer =~ $pattern ]] ||
        mistake "expected $status and something like: $pattern"
}

start() { # app folder
    cp -r "$guests/$1" "$work/"
    cd "$work/$1"
    sed -i 's/127.0.0.1:8080/127.0.0.1:0/' rusm.toml
    "$rusm" serve >out.txt 2>err.txt &
    node=$!
    for _ in $(seq 600); do
        grep -q '^press Ctrl-C' out.txt && break
        kill -0 "$node" 2>/dev/null || break
        sleep 0.05
    done
    sed 's/^/  /' out.txt
    url=$(grep -o 'http://[0-9.:]*' out.txt) || {
        sed 's/^/  /' err.txt
        echo "the node did not start"
        exit 1
    }
}

talk() {
    title "A handler per request, one look into the store"
    ask 200 '"greeting":null' /
    ask 200 '"good morning"' -X PUT -d 'good morning' /greeting
    ask 200 '"good morning"' /
    ask 200 'Hello, ada!' /hello/ada

    title "A resident service that keeps its state"
    ask 200 '"total":1' -d ada /visits
    ask 200 '"total":2' -d bob /visits
    ask 200 '"name":"ada","total":3,"visits":2' -d ada /visits

    title "A worker per job, with a memory ceiling of 8 MiB"
    ask 200 '"primes":78498' -d 1000000 /jobs
    ask 500 'ended without an answer' -d 20000000 /jobs

    title "What is not there"
    ask 404 'not found' /nothing
    ask 405 'method not allowed' -X DELETE /
}

crash() {
    title "A handler crashes; its neighbours answer"
    local neighbours=()
    for i in 1 2 3 4; do
        curl -s -m 20 -o "neighbour-$i" "$url/slow/300" &
        neighbours+=($!)
    done
    ask 502 'handler did not reply' /crash
    wait "${neighbours[@]}" || true
    for i in 1 2 3 4; do
        printf '  neighbour %s, which waited meanwhile: %s\n' "$i" "$(cat "neighbour-$i")"
        [[ $(cat "neighbour-$i") == 'waited 300 ms' ]] || mistake "neighbour $i was disturbed"
    done
    ask 200 '"total":3' /visits
    title "What the log says"
    grep -E ' (exit|trace) ' err.txt | grep -vE 'std\[|alloc\[|core\[|__rust' | cut -c1-118 |
        sed 's/^/  /'
    grep -q crashed err.txt || mistake "the crash is not in the log"
}

load() {
    title "Two seconds of load on GET /, each request a fresh sandboxed process"
    wrk -t1 -c32 -d2s "$url/" >load.txt
    grep -E 'Requests/sec|Latency|Non-2xx' load.txt | sed 's/^ */  /'
    if grep -q 'Non-2xx\|Socket errors' load.txt; then
        mistake "not every answer under load was good"
    fi
}

stop() {
    title "Stop"
    local code=0
    kill -INT "$node"
    wait "$node" || code=$?
    node=
    tail -n1 out.txt | sed 's/^/  /'
    tail -n1 out.txt | grep -q 'stopping 1 process(es)…' || mistake "one process was expected"
    ((code == 0)) || mistake "exit code $code"
}

for language in rust c; do
    title "The app in ${language^}: rusm serve"
    start "app-$language"
    talk
    crash
    load
    stop
done

if ((wrong > 0)); then
    echo
    echo "$wrong answers were wrong"
    exit 1
fi
