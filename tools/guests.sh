#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build the guests of this repository. Rebuilds only what has changed.
#
#   tools/guests.sh [--jobs N] [--out DIR] [app] [hello] [command] [test] [bench]
#
# Without names: all of them. DIR is build/guests. What comes out:
#   app       DIR/app-rust, DIR/app-c: app folders, ready for `rusm serve`
#   hello     DIR/hello: the smallest app
#   command   DIR/command: stock commands that know nothing of this node, ready for `rusm run`
#   test      DIR/test: artefacts that the tests make apps of
#   bench     DIR/bench: what the benches of guests run
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    sed -n '3,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

jobs=$(nproc)
out=$root/build/guests
while [[ ${1:-} == --* ]]; do
    [[ $# -ge 2 ]] || usage
    case $1 in
    --jobs) jobs=$2 ;;
    --out) out=$2 ;;
    *) usage ;;
    esac
    shift 2
done
(($# > 0)) || set -- app hello command test bench

rust() { # out dir, workspace, names...
    "$root/tools/guest-rust.sh" --jobs "$jobs" --out "$@"
}

# A C guest of the sources, unless it is newer than they and everything that they include.
c() { # out file, arguments of guest-c.sh
    local file=$1 newer
    shift
    newer=$(find "$root/examples" "$root/test/guest" "$root/wit" "$root/tools" -newer "$file" \
        \( -name '*.[ch]' -o -name '*.wit' -o -name 'guest-*.sh' \) -print -quit 2>/dev/null ||
        echo yes)
    if [[ ! -f $file || -n $newer ]]; then
        "$root/tools/guest-c.sh" -o "$file" "$@"
        touch "$file"
    fi
}

copy() { # file, folder
    mkdir -p "$2"
    cmp -s "$1" "$2/$(basename "$1")" || cp "$1" "$2/"
}

build_app() {
    local example=$root/examples/app name
    rust "$out/app-rust/wasm" "$example/rust" api visits worker
    for name in api visits worker; do
        c "$out/app-c/wasm/$name.wasm" "$example/c/$name/main.c" "$example"/c/lib/*.c \
            -- -I"$example/c/lib"
    done
    copy "$example/rusm.toml" "$out/app-rust"
    copy "$example/rusm.toml" "$out/app-c"
}

build_hello() {
    rust "$out/hello/wasm" "$root/examples/hello/components/hello" hello
    copy "$root/examples/hello/rusm.toml" "$out/hello"
}

build_command() {
    rust "$out/command/wasm" "$root/examples/command/rust" greet-rust
    c "$out/command/wasm/greet-c.wasm" --command "$root/examples/command/c/main.c"
    copy "$root/examples/command/rusm.toml" "$out/command"
}

build_test() {
    local guest=$root/test/guest source
    rust "$out/test" "$guest/rust" check kv-storm kv-writer peer reach old status store
    for source in "$guest"/c/*.c; do
        c "$out/test/$(basename "$source" .c).wasm" "$source" "$root"/examples/app/c/lib/*.c \
            -- -g -I"$root/examples/app/c/lib"
    done
    for source in "$guest"/wat/*.wat; do
        cmp -s "$source" "$out/test/$(basename "$source" .wat).wasm" ||
            cp "$source" "$out/test/$(basename "$source" .wat).wasm"
    done
}

build_bench() {
    local bench=$root/bench/wasm source
    rust "$out/bench" "$bench/rust" ball echo
    for source in "$bench"/guest/*.wat; do
        copy "$source" "$out/bench"
    done
}

for what in "$@"; do
    case $what in
    app | hello | command | test | bench) "build_$what" ;;
    *) usage ;;
    esac
done
