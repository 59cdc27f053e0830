#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Calls per second that a guest makes of a function of the program's own (wasm/host_call.c). The
# peers are the reference, whose host functions are asynchronous; the same function as a plain one
# of the engine below it (rusm-plain); and Wasmtime of our version with nothing of ours around it,
# as a component (wasmtime) and as a core module (wasmtime-module), which has no component layer.
#   ./dev bench host-call [--peers] [--json] [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=bench/lib/wasm.sh
source lib/wasm.sh
# shellcheck disable=SC2034 # read by lib/core.sh
core_rivals="rusm wasmtime"
wasm_bench host-call "1" "host-call.wat" "$@"
