#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The checks of tools/ find what they are there to find: each gets a small tree that is right, and
# the same tree with one thing wrong. $RUSM_SOURCE is the project.
set -u
tools=$RUSM_SOURCE/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

result() { # result NAME STATUS
    if [ "$2" = 0 ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        sed 's/^/    /' "$work/out"
        failed=1
    fi
}

accepts() { # accepts NAME COMMAND...
    local name=$1
    shift
    "$@" >"$work/out" 2>&1
    result "$name" $?
}

refuses() { # refuses NAME TEXT COMMAND...: it fails, and says TEXT
    local name=$1 text=$2 status=1
    shift 2
    if ! "$@" >"$work/out" 2>&1 && grep -qF -- "$text" "$work/out"; then
        status=0
    fi
    result "$name" $status
}

# put FILE LINE...: a file of the tree under test
put() {
    local file=$work/tree/$1
    shift
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$@" >"$file"
}

fresh_tree() {
    rm -rf "$work/tree"
    put include/rusm/error.h '#ifndef A' '#define A' 'enum { RUSM_OK };' '#endif'
    put include/rusm/node.h '#ifndef B' '#define B' '__attribute__((visibility("default")))' \
        'int rusm_node_x(void);' '#endif'
    put src/base/mem.h '#include <stddef.h>'
    put src/base/mem.c '#include "base/mem.h"' '#include <string.h>' '#include "rusm/error.h"'
    put src/proc/proc.h '#include "base/mem.h"'
    put src/proc/proc_impl.h '#include "proc/proc.h"'
    put src/cli/main.c '#include <stdio.h>' '#include "rusm/node.h"'
}

includes() {
    "$tools/check-includes.py" "$work/tree"
}

fresh_tree
accepts includes_of_a_good_tree includes
put src/base/bad.c '#include "proc/proc.h"'
refuses include_against_the_arrow "proc/proc.h points the wrong way" includes
fresh_tree
put src/cli/bad.c '#include "base/mem.h"'
refuses cli_uses_public_headers_only "include/rusm alone" includes
fresh_tree
put src/sandbox/bad.c '#include "proc/proc_impl.h"'
refuses inner_header_stays_inside "stays inside src/proc" includes
fresh_tree
put src/proc/bad.c '#include <lmdb.h>'
refuses third_party_is_wrapped "lmdb.h may be included by kv only" includes
fresh_tree
put src/hostcall/bad.c '#include "rusm_engine.h"'
refuses engine_is_the_sandbox_s "rusm_engine.h may be included by sandbox only" includes
fresh_tree
put src/proc/bad.c '#include "rusm/node.h"'
refuses core_does_not_know_the_node "rusm/node.h is for node, cli" includes
fresh_tree
put src/proc/bad.c '#include "base/mem.h"' '#include <string.h>'
refuses order_of_includes "string.h stands after base/mem.h" includes
fresh_tree
put src/misc/bad.c '#include <string.h>'
refuses folder_without_a_rule "src/misc is not in the table" includes
fresh_tree
put include/rusm/bad.h '#include "base/mem.h"'
refuses public_header_uses_public_ones "base/mem.h is not public" includes

headers() {
    "$tools/check-headers.sh" "$work/tree"
}
fresh_tree
accepts headers_that_stand_alone headers
put include/rusm/bad.h 'size_t rusm_x(void);'
refuses header_that_needs_another "rusm/bad.h does not compile" headers
put include/rusm/bad.h '#ifndef C' '#define C' 'int *new;' '#endif'
refuses header_that_is_not_cxx "rusm/bad.h does not compile with g++" headers

# symbols CODE...: a library of that code against one declared function
symbols() {
    put include/rusm/x.h 'RUSM_API int rusm_x(int a,' '                    int b);'
    printf '%s\n' "$@" >"$work/lib.c"
    gcc -shared -fPIC -o "$work/lib.so" "$work/lib.c" &&
        "$tools/check-symbols.sh" "$work/tree" "$work/lib.so"
}
rm -rf "$work/tree"
accepts symbols_as_declared symbols 'int rusm_x(int a, int b) { return a + b; }'
refuses symbol_that_is_not_public "rusm__y" symbols \
    'int rusm_x(int a, int b) { return a + b; }' 'int rusm__y(void) { return 1; }'
refuses symbol_that_is_missing "lacks what include/rusm declares" symbols \
    'int rusm_z(int a, int b) { return a + b; }'

text() {
    "$tools/check-text.py" "$work/tree"
}
good='// SPDX-License-Identifier: MIT'
rm -rf "$work/tree"
put a.c "$good" 'int a;'
put docs/a.md 'See [the code](../a.c) and [elsewhere](https://example.org/).'
accepts text_of_a_good_tree text
put b.c 'int b;'
refuses file_without_a_licence "b.c: no SPDX line" text
put b.c "$good" "// TO""DO: later"
refuses unfinished_work "b.c:2: unfinished work" text
put b.c "$good" $'\tint b;'
refuses tab_in_code "b.c:2: a tab" text
put b.c "$good" 'int b; '
refuses blanks_at_the_end "b.c:2: blanks at the end" text
put b.c "$good" "// $(printf 'x%.0s' {1..100})"
refuses line_that_is_too_long "b.c:2: 103 columns" text
rm "$work/tree/b.c"
put docs/a.md 'See [the code](../missing.c).'
refuses link_that_leads_nowhere "link to ../missing.c" text

# count STATUS OUTPUT: what one ctest left
count() {
    printf '<testsuite><testcase name="t" status="%s"><system-out>%s</system-out></testcase>%s' \
        "$1" "$2" '</testsuite>' >"$work/junit.xml"
    "$tools/count-tests.py" --junit "$work/junit.xml"
}
counts() { # counts NAME "N passed, N failed" STATUS OUTPUT
    local name=$1 wanted=$2
    shift 2
    count "$@" >"$work/out" 2>&1
    local status=$?
    [ "$(tail -n1 "$work/out")" = "$wanted" ] &&
        { [[ $wanted == *" 0 failed" ]] && [ $status = 0 ] ||
            { [[ $wanted != *" 0 failed" ]] && [ $status != 0 ]; }; }
    result "$name" $?
}
counts program_without_cases "1 passed, 0 failed" run "hello"
counts cases_of_cmocka "7 passed, 0 failed" run $'[  PASSED  ] 7 test(s).\n'
counts failed_cases_of_cmocka "5 passed, 2 failed" fail \
    $'[  PASSED  ] 5 test(s).\n[  FAILED  ] 2 test(s), listed below:\n'
counts cases_of_a_script "2 passed, 1 failed" fail $'ok a\nok b\nnot ok c\n'
counts program_that_crashed "3 passed, 1 failed" fail $'ok a\nok b\nok c\n'
refuses count_without_a_result "0 passed, 1 failed" "$tools/count-tests.py" \
    --junit "$work/no-such-file"
exit $failed
