#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Usage: check-symbols.sh ROOT LIBRARY...
# A shared library exports exactly functions that include/rusm declares: nothing of ours that is
# not public, nothing of Rust, llhttp or C++. librusm-core has none of rusm/node.h, rusm/store.h,
# rusm/bridge.h.
set -u
root=$1
shift
failed=0

declared() { # names that are declared with RUSM_API in the given headers
    cat "$@" | tr '\n' ' ' | grep -oE 'RUSM_API[^;{]*' | grep -oE '\brusm_[a-z0-9_]+ ?\(' |
        tr -d '( ' | sort -u
}

exported() {
    nm -D --defined-only "$1" | awk '{print $3}' | sed 's/@.*//' | sort -u
}

report() { # report TEXT NAMES: complain when there are names
    [ -z "$2" ] && return
    echo "$1:"
    sed 's/^/    /' <<<"$2"
    failed=1
}

for library in "$@"; do
    headers=("$root"/include/rusm/*.h)
    case $library in
    *core*)
        mapfile -t headers < <(printf '%s\n' "${headers[@]}" |
            grep -vE '/(node|store|bridge)\.h$')
        ;;
    esac
    names=$(declared "${headers[@]}")
    found=$(exported "$library")
    if [ -z "$names" ] || [ -z "$found" ]; then
        echo "${library##*/}: nothing declared or nothing exported"
        exit 1
    fi
    report "${library##*/} exports what include/rusm does not declare" \
        "$(comm -13 <(echo "$names") <(echo "$found"))"
    report "${library##*/} lacks what include/rusm declares" \
        "$(comm -23 <(echo "$names") <(echo "$found"))"
    [ "$failed" = 0 ] && echo "${library##*/}: $(wc -l <<<"$found") functions"
done
exit $failed
