#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build a C guest into a component.
#
#   tools/guest-c.sh [--wit DIR] [--world NAME] -o FILE.wasm SOURCE.c... [-- CFLAG...]
#   tools/guest-c.sh --command -o FILE.wasm SOURCE.c... [-- CFLAG...]
#
# The first form makes an actor component: the bindings of the world (default: `process` of
# wit/runtime) are generated, sources include "process.h" and define exports_process_run(). It
# imports only what it calls, so a guest that calls nothing of WASI imports rusm:runtime/* alone.
# The second form makes a wasi:cli command from an ordinary main(). About half a second.
# With -g among the flags for the compiler the guest keeps what crash reports need to name files
# and lines; otherwise it keeps the names of functions.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/guest-env.sh"

usage() {
    sed -n '3,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

wit=$guest_root/wit/runtime
world=process
out=
command=
sources=()
while (($# > 0)); do
    case $1 in
    --wit | --world | -o)
        [[ $# -ge 2 ]] || usage
        case $1 in
        --wit) wit=$2 ;;
        --world) world=$2 ;;
        -o) out=$2 ;;
        esac
        shift
        ;;
    --command) command=1 ;;
    --) break ;;
    -*) usage ;;
    *) sources+=("$1") ;;
    esac
    shift
done
[[ ${1:-} == -- ]] && shift
[[ -n $out && ${#sources[@]} -gt 0 ]] || usage

guest_setup_c
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT

flags=(-std=c17 -O2 -Wall -Wextra)
[[ " $* " == *" -g "* ]] || flags+=(-Wl,--strip-debug)
if [[ -z $command ]]; then
    "$guest_wit_bindgen" c "$wit" --world "$world" --out-dir "$work/gen" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        exit 1
    }
    # A small stack, and enough memory from the start that an ordinary life never has to grow it.
    flags+=(-mexec-model=reactor -isystem "$work/gen" -Wl,-z,stack-size=65536
        -Wl,--initial-memory=262144)
    sources+=("$work/gen/$world.c" "$work/gen/${world}_component_type.o")
else
    flags+=(-mexec-model=command)
fi
# The file's name becomes the module's name, which back-traces show.
built=$work/$(basename "$out")
"${guest_cc[@]}" "${flags[@]}" "$@" "${sources[@]}" -o "$built"
cmp -s "$built" "$out" || install -m 644 "$built" "$out"
