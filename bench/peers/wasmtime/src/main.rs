// SPDX-License-Identifier: MIT
//! What guests cost in bare Wasmtime of the version that the engine uses: no process, no limits, no
//! pre-emption. Where ours is as fast as that, the rest belongs to Wasmtime.
//!
//!     peer-wasmtime host-call|wasm-ping-pong --seconds S --guest FILE [--threads N] [--size N]

mod host_call;
mod ping_pong;

use std::time::Duration;

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

fn number(name: &str, otherwise: usize) -> usize {
    option(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn main() -> wasmtime::Result<()> {
    let bench = std::env::args().nth(1).expect("a bench");
    let guest = option("--guest").expect("--guest FILE");
    let seconds: f64 = option("--seconds").map_or(1.0, |text| text.parse().expect("--seconds S"));
    let (time, threads) = (Duration::from_secs_f64(seconds), number("--threads", 1));
    match bench.as_str() {
        "host-call" => host_call::run(&guest, time, threads),
        "wasm-ping-pong" => ping_pong::run(&guest, time, threads, number("--size", 1)),
        _ => panic!("no bench {bench}"),
    }
}
