#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Start to first 200, warm code cache: from exec until the first answer has been read.
#
#   ./dev bench start [--peers] [--json] [--rounds N]
#
# The client reads the printed address, connects and asks once, so the figure includes a fraction of
# a millisecond of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/server.sh
source lib/server.sh

rounds=15 peers=no
while [ $# -gt 0 ]; do
    case $1 in
    --peers) peers=yes ;;
    --json) json=yes ;;
    --rounds) rounds=$2 && shift ;;
    *) echo "bench start: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done

# Milliseconds from exec to the first 200: first_200 NAME BINARY
first_200() {
    python3 - "$bench_dir/$1" "$2" <<'PY'
import re, signal, socket, subprocess, sys, time
folder, binary = sys.argv[1:]
begin = time.monotonic()
server = subprocess.Popen([binary, "serve"], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
try:
    text = b""
    while True:
        line = server.stdout.readline()
        if not line:
            sys.exit("bench start: the server ended")
        text = re.search(rb"http://([0-9.]+):(\d+)", line)
        if text:
            break
    peer = socket.create_connection((text[1].decode(), int(text[2])), 5)
    peer.sendall(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
    answer = peer.recv(4096)
    took = time.monotonic() - begin
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit("bench start: " + answer[:80].decode("latin-1"))
    print(f"{took * 1000:.2f}")
finally:
    server.send_signal(signal.SIGINT)
    server.wait(10)
PY
}

app_copy ours "$RUSM_GUESTS/app-rust"
[ $peers = no ] || app_copy rusm "$RUSM_GUESTS/app-rust"
ours=() theirs=()
first_200 ours "$RUSM_BIN" >/dev/null # fills the cache
for _ in $(seq "$rounds"); do
    ours+=("$(first_200 ours "$RUSM_BIN")")
    [ $peers = no ] || theirs+=("$(first_200 rusm "$RUSM_PEERS/bin/rusm")")
done
report start-to-200 "$(median "${ours[@]}")" ms 1
[ $peers = no ] || report_peer start-to-200 rusm "$(median "${theirs[@]}")" "$(median "${ours[@]}")"
