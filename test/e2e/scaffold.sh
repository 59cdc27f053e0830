#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The reference's own scaffold, made by the installed reference and built by its own recipe, is
# served unmodified with its unmodified rusm.toml. Needs `./dev setup --peers`.
#
#   RUSM_BIN     the program under test
#   RUSM_PEERS   where the reference is (default: build/peers); RUSM_REFERENCE names it outright
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
reference=${RUSM_REFERENCE:-${RUSM_PEERS:-$root/build/peers}/bin/rusm}
work=$(mktemp -d)
node=
failed=0

finish() {
    [[ -z $node ]] || kill "$node" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

result() { # status, name
    if (($1 == 0)); then
        echo "ok $2"
    else
        echo "not ok $2"
        failed=1
    fi
}

fatal() {
    echo "not ok $1"
    exit 1
}

[[ -x $reference ]] || fatal "reference-is-installed: no $reference; run ./dev setup --peers"

cd "$work" || exit 1
"$reference" new hello --lang rust >new.txt || fatal scaffold-is-made
cd hello || exit 1
before=$(sha256sum rusm.toml components/api/src/lib.rs)

# The scaffold pins nothing, so the lock file is made here; its own build needs the rustup target,
# ours works without.
(cd components/api && cargo generate-lockfile --quiet) || fatal scaffold-has-its-crates
RUSM_TOOLS=${RUSM_TOOLS:-$root/build/tools/bin} \
    "$root/tools/guest-rust.sh" --out wasm components/api api || fatal scaffold-is-built

"$RUSM_BIN" check >check.txt 2>&1
result $? scaffold-is-accepted

RUSM_CACHE_DIR=$work/cache "$RUSM_BIN" serve >out.txt 2>&1 &
node=$!
for _ in $(seq 300); do
    grep -q '^press Ctrl-C' out.txt && break
    sleep 0.1
done
url=$(grep -o 'http://[0-9.:]*' out.txt)
[[ $url == http://127.0.0.1:8080 ]] || fatal "scaffold-is-served: $(cat out.txt)"
status=$(curl -s -m 10 -o answer.txt -w '%{http_code}' "$url/")
[[ $status == 200 && -s answer.txt ]]
result $? scaffold-answers
status=$(curl -s -m 10 -o /dev/null -w '%{http_code}' "$url/nothing-here")
[[ $status == 404 ]]
result $? scaffold-has-one-route
kill -INT "$node"
wait "$node"
result $? scaffold-stops
node=
grep -q 'stopping 0 process(es)' out.txt
result $? scaffold-leaves-no-process
[[ $before == "$(sha256sum rusm.toml components/api/src/lib.rs)" ]]
result $? scaffold-is-unmodified
exit $failed
