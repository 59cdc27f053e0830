#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Usage: test_consumer.sh BUILD_FOLDER C_COMPILER
# Installs the build into a fresh folder, moves that folder, and then uses it as a stranger would:
# pkg-config, compile, run. Nothing of it may point into the build tree.
set -u
build=$1 cc=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
examples=$here/../../examples/embed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # check NAME COMMAND...: one case; its output is shown when it fails
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/    /' "$work/out"
        failed=1
    fi
}

install_tree() {
    cmake --install "$build" --prefix "$work/first" && mv "$work/first" "$work/moved"
}

points_outside() { # true when a library path of FILE leaves the installed tree
    readelf -d "$1" | grep -E 'R(UN)?PATH' | grep -qv '\[\$ORIGIN'
}

soname_is() { # soname_is LIBRARY NAME
    readelf -d "$1" | grep SONAME | grep -qF "[$2]"
}

stays_inside() {
    local file
    for file in "$prefix"/lib/librusm*.so "$prefix"/bin/rusm; do
        if points_outside "$file"; then
            readelf -d "$file"
            return 1
        fi
    done
    ! grep -r -l -F "$build" "$prefix/lib/pkgconfig" "$prefix/include"
}

has_wit() {
    find "$prefix/share/rusm/wit" -name '*.wit' | grep -q .
}

consumer() { # consumer PACKAGE: compile against it, run it
    local flags
    flags=$(pkg-config --cflags --libs "$1") || return 1
    # shellcheck disable=SC2086 # flags are words
    "$cc" -std=c11 -Wall -Wextra -Werror "$here/consumer.c" $flags \
        -Wl,-rpath,"$prefix/lib" -o "$work/consumer-$1" &&
        timeout 20 "$work/consumer-$1"
}

example() { # example NAME: one of examples/embed, as its README says
    local flags
    flags=$(pkg-config --cflags --libs rusm-core) || return 1
    # shellcheck disable=SC2086 # flags are words
    "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror "$examples/$1.c" $flags \
        -Wl,-rpath,"$prefix/lib" -o "$work/$1" &&
        timeout 20 "$examples/expect.sh" "$examples/expected/$1.txt" "$work/$1"
}

check installs install_tree
prefix=$work/moved
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
version=$(pkg-config --modversion rusm)
check library_has_soname soname_is "$prefix/lib/librusm.so" librusm.so.0
check core_library_has_soname soname_is "$prefix/lib/librusm-core.so" librusm-core.so.0
check tree_can_be_moved stays_inside
check program_finds_its_library test "$("$prefix/bin/rusm" --version)" = "rusm $version"
check consumer_of_rusm consumer rusm
check consumer_of_rusm_core consumer rusm-core
for name in ring chat crash; do
    check "example_$name" example "$name"
done
check wit_is_installed has_wit
exit $failed
