#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Usage: expect.sh FILE PROGRAM [ARGUMENTS]: the program succeeds and prints what the file holds.
set -u
expected=$1
shift
output=$("$@") || {
    echo "$1 failed with status $?"
    exit 1
}
diff "$expected" - <<<"$output"
