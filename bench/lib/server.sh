# SPDX-License-Identifier: MIT
# For benches that need a served app: start, address, stop. Source it; servers end with the shell.

# shellcheck source=bench/lib/report.sh
source "$(dirname "${BASH_SOURCE[0]}")/report.sh"

bench_dir=$(mktemp -d)
bench_pids=()

bench_cleanup() {
    local pid
    for pid in "${bench_pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${bench_pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$bench_dir"
}
trap bench_cleanup EXIT

# An app folder of its own with a port that the system chooses: app_copy NAME SOURCE
app_copy() {
    mkdir -p "$bench_dir/$1"
    cp -r "$2/." "$bench_dir/$1/"
    rm -f "$bench_dir/$1"/*.data*
    sed -i 's/^listen = "127.0.0.1:[0-9]*"/listen = "127.0.0.1:0"/; s/^level = .*/level = "off"/' \
        "$bench_dir/$1/rusm.toml"
}

# Start `BINARY serve` in an app folder; sets server_url and server_pid: serve NAME BINARY
serve() {
    local out=$bench_dir/$1.out
    : >"$out"
    (cd "$bench_dir/$1" && exec "$2" serve >"$out" 2>"$out.err") &
    server_pid=$!
    bench_pids+=("$server_pid")
    local tries
    for tries in $(seq 1 3000); do
        server_url=$(sed -n 's|.*\(http://[0-9.]*:[0-9]*\).*|\1|p' "$out" | head -n1)
        [ -z "$server_url" ] || return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.01
    done
    echo "bench: $2 serve did not start after $tries tries:" >&2
    cat "$out" "$out.err" >&2
    exit 1
}

stop_server() { # stop_server PID
    kill -INT "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
