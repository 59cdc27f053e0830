# SPDX-License-Identifier: MIT
# Sourced by the guest scripts: where the tool chains are. Prefers what the user has (rustup's
# wasm32-wasip2 target, wasi-sdk) and falls back to Debian's packages. Sets no state besides its
# own variables; `guest_missing` collects one line per missing thing.

guest_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
guest_tools=${RUSM_TOOLS:-$guest_root/build/tools/bin}
guest_missing=()

guest_need() { # what, remedy
    guest_missing+=("missing: $1 ($2)")
}

# Ends the script if anything was missing, one line each.
guest_check() {
    ((${#guest_missing[@]} == 0)) && return
    printf '%s\n' "${guest_missing[@]}" >&2
    exit 1
}

guest_find_tool() { # program, crate; prints its path
    if [[ -x $guest_tools/$1 ]]; then
        echo "$guest_tools/$1"
    else
        command -v "$1" || return 1
    fi
}

guest_has_rustup_target() {
    command -v rustup >/dev/null && rustup target list --installed 2>/dev/null |
        grep -qx wasm32-wasip2
}

# Rust: fills guest_cargo (a command line) and the environment that it needs.
guest_setup_rust() {
    if guest_has_rustup_target; then
        guest_rust=rustup
        guest_cargo=(cargo)
        return
    fi
    guest_rust=debian
    guest_cargo=(/usr/bin/cargo)
    local llvm=/usr/lib/llvm-19/bin linker
    linker=$(guest_find_tool wasm-component-ld) ||
        guest_need wasm-component-ld "cargo install --locked wasm-component-ld@0.5.31"
    [[ -x /usr/bin/rustc && -d /usr/lib/rustlib/src/rust/library/std ]] ||
        guest_need "a Rust compiler for wasm32-wasip2" \
            "rustup target add wasm32-wasip2, or apt-get install rustc-web cargo-web rust-web-src"
    [[ -x $llvm/wasm-ld ]] || guest_need wasm-ld "apt-get install lld-19"
    [[ -f /usr/lib/wasm32-wasi/libc.a ]] || guest_need wasi-libc "apt-get install wasi-libc"
    guest_check
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER= PATH=$llvm:$PATH
    export RUSTFLAGS="-C linker=$linker -L native=/usr/lib/wasm32-wasi -C link-self-contained=no"
    guest_cargo_flags=(-Zbuild-std=std,panic_abort)
    guest_command_flags=(-C link-arg=/usr/lib/wasm32-wasi/crt1-command.o)
}

# C: fills guest_cc with the compiler and its flags, up to the sources.
guest_setup_c() {
    guest_wit_bindgen=$(guest_find_tool wit-bindgen) || guest_need wit-bindgen \
        "cargo install --locked --no-default-features --features c wit-bindgen-cli@0.63.0"
    if [[ -n ${WASI_SDK_PATH:-} ]]; then
        [[ -x $WASI_SDK_PATH/bin/clang ]] ||
            guest_need "$WASI_SDK_PATH/bin/clang" "WASI_SDK_PATH points elsewhere"
        guest_check
        guest_cc=("$WASI_SDK_PATH/bin/clang" --target=wasm32-wasip2)
        return
    fi
    local linker
    linker=$(guest_find_tool wasm-component-ld) ||
        guest_need wasm-component-ld "cargo install --locked wasm-component-ld@0.5.31"
    [[ -x /usr/bin/clang-19 ]] || guest_need clang-19 "apt-get install clang-19, or WASI_SDK_PATH"
    [[ -x /usr/bin/wasm-ld-19 ]] || guest_need wasm-ld-19 "apt-get install lld-19"
    [[ -f /usr/lib/wasm32-wasi/libc.a ]] || guest_need wasi-libc "apt-get install wasi-libc"
    compgen -G '/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a' >/dev/null ||
        guest_need "clang's Wasm run-time" "apt-get install libclang-rt-19-dev-wasm32"
    guest_check
    guest_cc=(clang-19 --target=wasm32-wasi -isystem /usr/include/wasm32-wasi
        "-fuse-ld=$linker" -Wl,--wasm-ld-path=/usr/bin/wasm-ld-19)
}
