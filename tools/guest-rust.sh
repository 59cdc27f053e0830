#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build Rust guests into components.
#
#   tools/guest-rust.sh [--jobs N] [--target-dir DIR] --out DIR WORKSPACE NAME...
#
# WORKSPACE is a folder with a Cargo.toml and a Cargo.lock; each NAME is a package of it. A package
# that is a library (cdylib) becomes an actor component, one that has a main becomes a wasi:cli
# command; either ends up as DIR/NAME.wasm. The guests of this repository share a target folder,
# build/guests/target, so that Rust's standard library is compiled once: about 80 s on two cores,
# later 1 s. Their names must differ, as Cargo gives all of them one place for what comes out; a
# workspace from elsewhere therefore gets its own folder, WORKSPACE/target.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/guest-env.sh"

usage() {
    sed -n '3,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

jobs=$(nproc)
target_dir=${RUSM_GUEST_TARGET_DIR:-}
out=
while [[ ${1:-} == --* ]]; do
    [[ $# -ge 2 ]] || usage
    case $1 in
    --jobs) jobs=$2 ;;
    --target-dir) target_dir=$2 ;;
    --out) out=$2 ;;
    *) usage ;;
    esac
    shift 2
done
[[ -n $out && $# -ge 2 ]] || usage
workspace=$(cd "$1" && pwd)
shift
if [[ -z $target_dir ]]; then
    case $workspace/ in
    "$guest_root"/*) target_dir=$guest_root/build/guests/target ;;
    *) target_dir=$workspace/target ;;
    esac
fi

guest_cargo_flags=()
guest_command_flags=()
guest_setup_rust
mkdir -p "$out" "$target_dir"
export CARGO_TARGET_DIR
CARGO_TARGET_DIR=$(cd "$target_dir" && pwd)
out=$(cd "$out" && pwd)
cd "$workspace"

# With the network cut off, what was fetched once is enough.
common=(--locked --quiet --release --target wasm32-wasip2 --jobs "$jobs" "${guest_cargo_flags[@]}")
built=$CARGO_TARGET_DIR/wasm32-wasip2/release

libraries=()
for name in "$@"; do
    if [[ -f $name/src/main.rs ]]; then
        "${guest_cargo[@]}" rustc "${common[@]}" -p "$name" -- "${guest_command_flags[@]}"
    else
        libraries+=(-p "$name")
    fi
done
if ((${#libraries[@]} > 0)); then
    "${guest_cargo[@]}" build "${common[@]}" "${libraries[@]}"
fi

for name in "$@"; do
    file=$built/$name.wasm
    [[ -f $file ]] || file=$built/${name//-/_}.wasm
    cmp -s "$file" "$out/$name.wasm" || install -m 644 "$file" "$out/$name.wasm"
done
