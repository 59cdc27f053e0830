# SPDX-License-Identifier: MIT
# For benches that need a served app: start, address, stop. Source it; servers end with the shell.

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

# The middle one of the arguments.
median() {
    printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

json=no
# report NAME VALUE UNIT THREADS [KEY=VALUE...]
report() {
    local name=$1 value=$2 unit=$3 threads=$4 pair
    shift 4
    if [ "$json" = yes ]; then
        printf '{"name":"%s","value":%s,"unit":"%s","threads":%s' \
            "$name" "$value" "$unit" "$threads"
        for pair in "$@"; do
            printf ',"%s":%s' "${pair%%=*}" "${pair#*=}"
        done
        printf '}\n'
    else
        echo "$name value=$value unit=$unit threads=$threads $*"
    fi
}

# report_peer NAME PEER THEIRS OURS
report_peer() {
    local ratio
    ratio=$(awk -v a="$4" -v b="$3" 'BEGIN { printf "%.2f", (b > 0) ? a / b : 0 }')
    if [ "$json" = yes ]; then
        printf '{"name":"%s","peer":"%s","value":%s,"ratio":%s}\n' "$1" "$2" "$3" "$ratio"
    else
        echo "$1 peer=$2 value=$3 ratio=$ratio"
    fi
}
