// SPDX-License-Identifier: MIT
//! The scenarios of bench/core for the reference's native core (crate rusm-otp), and those of
//! bench/wasm for its engine (crate rusm-wasm):
//! `peer-rusm NAME [--threads N] [--seconds S] [--size N] [--guest FILE]...` prints one line a figure.
//!
//! Every phase is as in bench/core/bench.h: actors run until the time is over, and what is counted
//! was finished inside the time that is counted. A quarter of the time warms up.

mod scenarios;
mod settings;
mod wasm;

use settings::Settings;

fn main() {
    let settings = Settings::parse(std::env::args().skip(1)).unwrap_or_else(|text| {
        eprintln!("peer-rusm: {text}");
        std::process::exit(2);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .enable_all()
        .build()
        .expect("the tokio runtime starts");
    runtime.block_on(async {
        match wasm::knows(&settings.scenario) {
            true => wasm::run(&settings, &rusm_otp::Runtime::new()).await,
            false => scenarios::run(&settings).await,
        }
    });
    // Processes that are left need no orderly end.
    runtime.shutdown_background();
}
