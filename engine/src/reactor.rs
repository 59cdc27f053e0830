// SPDX-License-Identifier: MIT
//! The one Tokio runtime of this process. It serves WASI's sockets, files and clocks and exists
//! from the moment when the first guest asks for one of them.
//!
//! wasmtime-wasi starts a runtime of its own, with a thread for each core and 512 blocking ones,
//! when it finds none. So every resume and drop of an instance that has a WASI context happens
//! inside this one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::{Builder, EnterGuard, Runtime};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The bound of the blocking pool. Relaxed: set by rusm_engine_new, long before a guest runs.
static BLOCKING_THREADS: AtomicU32 = AtomicU32::new(DEFAULT_BLOCKING_THREADS);
const DEFAULT_BLOCKING_THREADS: u32 = 4;

/// The largest wish of all engines counts, as long as the runtime does not run yet.
pub fn want_blocking_threads(count: u32) {
    BLOCKING_THREADS.fetch_max(count, Ordering::Relaxed);
}

fn build() -> Runtime {
    let blocking = BLOCKING_THREADS.load(Ordering::Relaxed);
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(blocking as usize)
        .thread_name("rusm-wasi")
        .enable_io()
        .enable_time()
        .build()
        // Without threads or descriptors there is no WASI. The panic ends the guest that asked.
        .expect("the WASI reactor could not be started")
}

/// Run it on the runtime's own thread.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    drop(RUNTIME.get_or_init(build).spawn(future));
}

/// Be inside the runtime until the guard is dropped, which must happen on this thread.
pub fn enter() -> EnterGuard<'static> {
    RUNTIME.get_or_init(build).enter()
}
