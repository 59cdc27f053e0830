#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The odd corners of the command line: which spelling of an option is taken, and what is refused.
# $RUSM_BIN is the program. What a node does is tested in test/e2e.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export HOME=$work RUSM_CACHE_DIR=
failed=0

# expect NAME EXIT_CODE STDOUT STDERR ARGUMENT...: patterns of the whole output; "" is no output
expect() {
    local name=$1 code=$2 out=$3 err=$4 got
    shift 4
    timeout 20 "$RUSM_BIN" "$@" >out 2>err </dev/null
    got=$?
    # shellcheck disable=SC2053 # they are patterns
    if [[ $got == "$code" && $(<out) == $out && $(<err) == $err ]]; then
        echo "ok $name"
    else
        echo "not ok $name: exit $got"
        sed 's/^/    out: /' out
        sed 's/^/    err: /' err
        failed=1
    fi
}

version="rusm [0-9]*.[0-9]*.[0-9]*"
nothing="no \[components\] in *rusm.toml — nothing to run"
no_value="the '--config' option doesn't have an associated value"
touch other-rusm.toml

expect version_stands_anywhere 0 "$version" "" run --config -V
expect version_behind_dashes_is_an_operand 2 "" 'unexpected argument `--version`*' run -- --version
expect dashes_alone_mean_nothing 0 "$nothing" "" run --
expect operand_is_refused 2 "" 'unexpected argument `x`*Usage:*rusm run *' run x
expect operand_behind_dashes_is_refused 2 "" 'unexpected argument `x`*' run -- x
expect value_may_be_glued 0 "$nothing" "" run --config=other-rusm.toml
expect value_may_stand_behind 0 "$nothing" "" run --config other-rusm.toml
expect empty_value_is_no_value 2 "" "$no_value" run --config=
expect empty_word_is_no_value 2 "" "$no_value" run --config ""
expect option_is_no_value 2 "" "$no_value" run --config --listen 127.0.0.1:1
expect option_counts_once 2 "" 'given twice: `--config`*' \
    run --config other-rusm.toml --config other-rusm.toml
expect longer_option_is_another 2 "" 'unknown option `--configs`*' run --configs x
expect other_commands_option_is_unknown 2 "" 'unknown option `--listen`*' check --listen 127.0.0.1:1
expect listen_is_validated 2 "" 'invalid --listen `nowhere`: *' run --listen nowhere
expect listen_is_taken 0 "$nothing" "" run --listen '[::1]:4000'
expect help_beats_other_mistakes 0 "rusm run — *Usage:*Examples:*" "" run --bogus --help
expect help_of_what_is_not_built_says_so 0 "rusm attach — *(not supported yet)*" "" attach -h
expect operands_may_stand_behind_dashes 2 "" \
    'error: expected `<bucket>/<key>`, got "-k"*' kv get -- -k
expect options_may_stand_between_operands 1 "" 'kv failed: no durable store configured*' \
    kv get --config other-rusm.toml b/k
expect what_is_not_built_is_named 2 "" "rusm attach is not supported yet: *" attach 127.0.0.1
expect dash_first_is_help 0 "RUSM *Usage:*Commands:*Options:*Docs:*" "" --bogus
expect help_of_an_unknown_command_is_an_error 2 "" 'unknown command `bogus`*' bogus --help
expect check_wants_a_manifest 2 "" "cannot read rusm.toml: No such file or directory" check
expect check_names_what_it_checked 0 "other-rusm.toml: ok" "" check --config other-rusm.toml
exit $failed
