#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build what the benches compare with: setup.sh DIR, with RUSM_CARGO set. Makes DIR/bin/peer-rusm
# (the reference's crates, its engine among them: some minutes), DIR/bin/peer-wasmtime (Wasmtime of
# our version alone: some minutes) and DIR/bin/peer-beam (Erlang). Called by `./dev setup --peers`;
# does nothing when nothing changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
dir=${1:?usage: setup.sh DIR}
cargo=${RUSM_CARGO:?RUSM_CARGO names the cargo to use}

mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd)
for peer in rusm wasmtime; do
    "$cargo" build --quiet --release --locked --manifest-path $peer/Cargo.toml \
        --target-dir "$dir/target-bench" >&2
    cp "$dir/target-bench/release/peer-$peer" "$dir/bin/peer-$peer"
done

mkdir -p "$dir/beam"
if [ ! "$dir/beam/beam.beam" -nt beam.erl ]; then
    erlc -Wall -Werror -o "$dir/beam" beam.erl
fi
# As many schedulers as the bench says; room for the processes that it makes.
cat >"$dir/bin/peer-beam" <<'SH'
#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../beam" && pwd)
name=$1 threads=2
shift
options=("$@")
while [ $# -gt 1 ]; do
    [ "$1" != --threads ] || threads=$2
    shift 2
done
exec erl -noshell -noinput +S "$threads:$threads" +P 4000000 -pa "$here" -s beam main \
    -extra "$name" "${options[@]}"
SH
chmod +x "$dir/bin/peer-beam"
