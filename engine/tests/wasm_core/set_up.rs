// SPDX-License-Identifier: MIT
//! Plain Wasmtime, and Wasmtime as our engines configure it.

use std::ffi::c_void;
use std::future::Future;
use std::pin::pin;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rusm_engine::{EngineConfig, Pools, wasmtime_config};
use wasmtime::{
    AsContextMut, Config, Engine, Func, Instance, Linker, Module, ResourceLimiter, Store,
    UpdateDeadline, Val,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// As in src/sandbox/pools.c and pools.h.
const SMALL: u64 = 16 * MIB;
const LARGE: u64 = 4096 * MIB;
const TABLE_ELEMENTS: u32 = 65536;

/// The limits that a guest meets whatever its profile says: the slot and the largest table. How
/// many instances, memories and tables one guest may have is no matter here, because a script
/// keeps all that it ever made.
pub struct Limits {
    memory: usize,
    table: usize,
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.table)
    }
}

pub struct SetUp {
    pub engine: Engine,
    /// None: plain.
    config: Option<EngineConfig>,
}

// SAFETY: the pointers of the configuration are null.
unsafe impl Sync for SetUp {}

/// One that nothing of C stands behind: only what concerns Wasmtime is read of it.
fn config_of(max_memory_bytes: u64) -> EngineConfig {
    EngineConfig {
        size: size_of::<EngineConfig>(),
        host: null(),
        runtime: null_mut::<c_void>(),
        cache_dir: null(),
        cache_max_bytes: 0,
        max_instances: 1000,
        max_memories: 2000,
        max_mappings: 60000,
        max_memory_bytes,
        table_elements: TABLE_ELEMENTS,
        memory_keep_resident: 2 * MIB,
        stack_bytes: MIB as u32,
        guest_stack_bytes: (512 * KIB) as u32,
        blocking_threads: 1,
        interfaces: null(),
        interface_count: 0,
        pools_of: null(),
    }
}

impl SetUp {
    pub fn plain() -> SetUp {
        SetUp {
            // As in ours: without the collector, subtypes of functions end the program.
            engine: Engine::new(Config::new().wasm_gc(false)).unwrap(),
            config: None,
        }
    }

    pub fn small() -> SetUp {
        SetUp::of_bytes(SMALL)
    }

    pub fn large() -> SetUp {
        SetUp::of_bytes(LARGE)
    }

    pub fn of_bytes(max_memory_bytes: u64) -> SetUp {
        let config = config_of(max_memory_bytes);
        SetUp {
            engine: Engine::new(&wasmtime_config(&config, &Pools::new(&config))).unwrap(),
            config: Some(config),
        }
    }

    pub fn store(&self) -> Store<Limits> {
        let config = self.config.as_ref();
        let limits = Limits {
            memory: config.map_or(usize::MAX, |c| c.max_memory_bytes as usize),
            table: config.map_or(usize::MAX, |c| c.table_elements as usize),
        };
        let mut store = Store::new(&self.engine, limits);
        if config.is_some() {
            store.limiter(|limits| limits);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
            store.set_epoch_deadline(1);
        }
        store
    }

    /// Run, with an epoch passing every millisecond as in a node.
    pub fn while_ticking(&self, body: impl FnOnce()) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Relaxed: seen sooner or later, and the scope waits.
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                    self.engine.increment_epoch();
                }
            });
            body();
            over.store(true, Ordering::Relaxed);
        });
    }

    /// Guests of ours run on fibers, and are resumed when they have yielded.
    pub fn instantiate(
        &self,
        store: &mut Store<Limits>,
        linker: &Linker<Limits>,
        module: &Module,
    ) -> wasmtime::Result<Instance> {
        match self.config {
            None => linker.instantiate(store, module),
            Some(_) => finish(linker.instantiate_async(store, module)),
        }
    }

    pub fn call(
        &self,
        store: &mut Store<Limits>,
        function: Func,
        args: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        match self.config {
            None => function.call(store.as_context_mut(), args, results),
            Some(_) => finish(function.call_async(store.as_context_mut(), args, results)),
        }
    }
}

/// Nothing here waits, so what is pending has yielded.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
