#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Usage: check-headers.sh [ROOT]
# Every public header compiles alone, as C11 and as C++17, with gcc and with clang, without a
# warning, and once more behind itself (include guards).
set -u
root=${1:-.}
flags=(-Wall -Wextra -Wpedantic -Wshadow -Wundef -Werror -fsyntax-only -I "$root/include")
failed=0
count=0

compile() { # compile COMPILER STANDARD LANGUAGE HEADER
    printf '#include "rusm/%s"\n#include "rusm/%s"\nextern int not_empty;\n' "$4" "$4" |
        "$1" "-std=$2" "${flags[@]}" -x "$3" - || {
        echo "rusm/$4 does not compile with $1 -std=$2"
        failed=1
    }
    count=$((count + 1))
}

for path in "$root"/include/rusm/*.h; do
    header=${path##*/}
    compile gcc c11 c "$header"
    compile g++ c++17 c++ "$header"
    compile clang-19 c11 c "$header"
    compile clang++-19 c++17 c++ "$header"
done
if [ "$count" = 0 ]; then
    echo "no headers under $root/include/rusm"
    exit 1
fi
[ "$failed" = 0 ] && echo "$count compilations of public headers"
exit $failed
