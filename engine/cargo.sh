#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cargo for the engine, for all who build it: the archive that C links and the tests use the same
# compiled crates only if they are compiled with the same flags.
#   engine/cargo.sh ARGUMENTS...      as cargo; RUSM_CARGO: which one
# Each crate carries the compiler's own code beside the machine's, so that the archive can be
# optimised over all crates (docs/adr/0039) while the tests are linked without that.
set -euo pipefail
export RUSTFLAGS="-C embed-bitcode=yes"
exec "${RUSM_CARGO:-cargo}" "$@"
