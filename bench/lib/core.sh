# SPDX-License-Identifier: MIT
# For the benches of the core: run a scenario in both bodies, on one thread and on all, several
# times, interleaved with its peers, and print medians. Source it, then: core_bench NAME SIZES "$@"
#
#   ./dev bench NAME [--peers] [--json] [--rounds N] [--seconds S]
#
# One line a figure:
#   NAME value=<number> unit=<unit> threads=<n> body=<state|fiber> [KEY=VALUE...]
#   NAME peer=<rusm|beam> value=<number> ratio=<ours/theirs> threads=<n> body=<ours> [KEY=VALUE...]
# spread_pct is the distance from the lowest to the highest round, in percent of the median. Each
# run is a process of its own; round 0 warms the machine up and is not counted.

core_rivals="rusm beam" core_bodies="state fiber"

core_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

core_wrong_use() {
    echo "bench $core_name: $1" >&2
    echo "usage: ./dev bench $core_name [--peers] [--json] [--rounds N] [--seconds S]" >&2
    exit 2
}

core_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --peers) core_peers=$core_rivals ;;
        --json) core_json=--json ;;
        --rounds | --seconds)
            [[ ${2:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || core_wrong_use "$1 needs a number"
            if [ "$1" = --rounds ]; then core_rounds=$2; else core_seconds=$2; fi
            shift
            ;;
        *) core_wrong_use "unknown option $1" ;;
        esac
        shift
    done
}

core_peer() { # core_peer rusm|beam OPTIONS: one run of a peer
    local peer=$1
    shift
    case $peer in
    rusm) "$RUSM_PEERS/bin/peer-rusm" "$core_name" "$@" ;;
    beam) "$RUSM_PEERS/bin/peer-beam" "$core_name" "$@" ;;
    esac
}

core_machine() {
    {
        echo "# $(date -u +%Y-%m-%dT%H:%MZ), $(uname -sr), $(nproc) x" \
            "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1)"
        echo "# load before the first round: $(cut -d' ' -f1-3 /proc/loadavg)"
    } >&2
}

# The threads to measure with: one, and all that there are.
core_threads() {
    printf '%s\n' 1 "$(nproc)" | sort -nu
}

core_round() { # everything once
    local threads body size peer
    for size in $core_sizes; do
        for threads in $(core_threads); do
            local options=(--threads "$threads" --seconds "$core_seconds")
            [ "$size" = - ] || options+=(--size "$size")
            for body in $core_bodies; do
                core_run "$body" "${options[@]}"
            done
            for peer in $core_peers; do
                core_peer "$peer" "${options[@]}"
            done
        done
    done
}

# A scenario whose bodies differ in size replaces this.
core_run() { # core_run BODY OPTIONS
    "$RUSM_BUILD/bench/$core_name" --body "$@"
}

core_bench() { # core_bench NAME SIZES OPTIONS... ; SIZES "-": the scenario has none
    core_name=$1 core_sizes=$2 core_peers="" core_json="" core_rounds=5 core_seconds=1
    shift 2
    core_options "$@"
    core_machine
    local round lines
    lines=$(mktemp)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$lines'" EXIT
    for round in $(seq 0 "$core_rounds"); do
        core_round | sed "s/^/$round /" >>"$lines"
    done
    "$core_lib/medians.py" $core_json <"$lines"
}
