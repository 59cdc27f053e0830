# SPDX-License-Identifier: MIT
# For benches that are shell scripts: a line per scenario, as text or JSON. Source it.

# The middle one of the arguments.
median() {
    printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

json_value() { # a number as it is, anything else as text without special characters
    if [[ $1 =~ ^-?[0-9]+(\.[0-9]+)?$ ]]; then echo "$1"; else echo "\"$1\""; fi
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
            printf ',"%s":%s' "${pair%%=*}" "$(json_value "${pair#*=}")"
        done
        printf '}\n'
    else
        echo "$name value=$value unit=$unit threads=$threads${*:+ $*}"
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
