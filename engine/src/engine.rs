// SPDX-License-Identifier: MIT
//! An engine: Wasmtime's configuration and pool, the linkers with everything that is offered to
//! guests, the cache of compiled code, and the way back to C.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Enabled, Engine as Wasmtime, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::cache::Cache;
use crate::calls;
use crate::error::{ECONFIG, EINVAL, Failure};
use crate::host::{self, HostCalls};
use crate::instance::State;
use crate::reactor;
use crate::slots::{SlotCreator, Slots};
use crate::stacks::{BorrowStacks, Stacks};
use crate::wake::Gate;
use crate::wasi;

/// `rusm_engine_config`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EngineConfig {
    pub size: usize,
    pub host: *const HostCalls,
    pub runtime: *mut c_void,
    pub cache_dir: *const c_char,
    pub cache_max_bytes: u64,
    pub max_instances: u32,
    pub max_core_instances: u32,
    pub max_memories: u32,
    pub max_memory_bytes: u64,
    pub table_elements: u32,
    pub memory_keep_resident: u64,
    pub stack_keep_resident: u64,
    pub decommit_batch: u32,
    pub stack_bytes: u32,
    pub guest_stack_bytes: u32,
    pub blocking_threads: u32,
}

const FOUR_GIB: u64 = 1 << 32;
const WASM_PAGE: u64 = 1 << 16;

/// What must be left of a fiber stack for the host: 64 KiB for C (RUSM__GUEST_STACK_BUDGET), and
/// as much for Wasmtime, WASI and this crate.
const HOST_STACK: u32 = 128 << 10;

/// The shape that one component may have. It keeps a single guest from taking the whole pool; the
/// largest known toolchains (interpreters linked from shared libraries) stay well below.
const CORE_INSTANCES_PER_COMPONENT: u32 = 128;
const MEMORIES_PER_COMPONENT: u32 = 16;
const TABLES_PER_COMPONENT: u32 = 64;
/// Tables are small and every guest writes to its own: zeroing them costs less than giving their
/// pages back and faulting them in again, which also interrupts every other core.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;
const MEMORIES_PER_MODULE: u32 = 4;
const TABLES_PER_MODULE: u32 = 8;

/// Behind a small slot: what a checked access may still reach by its constant offset.
const SMALL_GUARD: usize = 64 << 10;

/// `struct rusm_engine`.
pub struct Engine {
    pub wasmtime: Wasmtime,
    pub host: &'static HostCalls,
    pub gate: std::sync::Arc<Gate>,
    pub components: wasmtime::component::Linker<State>,
    pub modules: wasmtime::Linker<State>,
    pub max_memory_bytes: usize,
    cache: Option<Cache>,
    cache_problem: Option<CString>,
}

impl Engine {
    /// # Safety
    /// The pointers of the configuration are as the header says.
    pub unsafe fn new(config: &EngineConfig) -> Result<Engine, Failure> {
        // SAFETY: the table is static by the contract of the header.
        let host = unsafe { host::check(config.host) }.map_err(|why| Failure::new(EINVAL, why))?;
        check(config)?;
        reactor::want_blocking_threads(config.blocking_threads);
        let engine = |error: wasmtime::Error| Failure::engine(&error);
        let wasmtime = Wasmtime::new(&wasmtime_config(config)).map_err(engine)?;
        let (components, modules) = linkers(&wasmtime).map_err(engine)?;
        let class = class_of(config);
        // SAFETY: null or a C string, by the contract of the header.
        let folder = unsafe { cache_folder(config.cache_dir) }?;
        let opened = folder.map(|path| Cache::open(path, config.cache_max_bytes, class, &wasmtime));
        let (cache, problem) = match opened {
            None => (None, None),
            Some(Ok(cache)) => (Some(cache), None),
            Some(Err(text)) => (None, Some(crate::error::c_text(&text))),
        };
        Ok(Engine {
            wasmtime,
            host,
            gate: std::sync::Arc::new(Gate::new(host, config.runtime)),
            components,
            modules,
            max_memory_bytes: usize::try_from(config.max_memory_bytes).unwrap_or(usize::MAX),
            cache,
            cache_problem: problem,
        })
    }

    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Why compiled code is not kept, if it was asked for.
    pub fn cache_problem(&self) -> Option<&CStr> {
        self.cache_problem.as_deref()
    }
}

fn check(config: &EngineConfig) -> Result<(), Failure> {
    let wrong = |text: &str| Err(Failure::new(ECONFIG, text));
    if config.max_instances == 0 || config.max_core_instances == 0 || config.max_memories == 0 {
        return wrong("an engine needs room for at least one instance");
    }
    if config.max_memory_bytes > FOUR_GIB || !config.max_memory_bytes.is_multiple_of(WASM_PAGE) {
        return wrong("max_memory_bytes must be a multiple of 64 KiB and at most 4 GiB");
    }
    if config.guest_stack_bytes == 0 {
        return wrong("guest_stack_bytes must not be 0");
    }
    if config.stack_bytes < config.guest_stack_bytes.saturating_add(HOST_STACK) {
        return wrong("stack_bytes must leave 128 KiB for the host above guest_stack_bytes");
    }
    Ok(())
}

/// # Safety
/// `folder` is null or a C string that outlives the call.
unsafe fn cache_folder<'a>(folder: *const c_char) -> Result<Option<&'a Path>, Failure> {
    if folder.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, so a C string by the contract above.
    let text = unsafe { CStr::from_ptr(folder) };
    use std::os::unix::ffi::OsStrExt;
    Ok(Some(Path::new(std::ffi::OsStr::from_bytes(
        text.to_bytes(),
    ))))
}

fn wasmtime_config(config: &EngineConfig) -> Config {
    let mut wasmtime = Config::new();
    if config.max_memory_bytes < FOUR_GIB {
        use_own_slots(&mut wasmtime, config);
    } else {
        wasmtime.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_config(config)));
    }
    wasmtime
        // A slot reserves what a memory may become. At 4 GiB every 32-bit address lies inside
        // slot and guard, and the compiler leaves bounds checks out.
        .memory_reservation(config.max_memory_bytes)
        .memory_may_move(false)
        .epoch_interruption(true)
        .async_stack_size(config.stack_bytes as usize)
        .max_wasm_stack(config.guest_stack_bytes as usize)
        // Frames have function names; files and lines are the business of symbols.rs.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(false);
    wasmtime
}

/// Small memories lie close together, in slots of our own that are cleaned many at a time
/// (src/slots.rs). Their code checks bounds, because a slot is smaller than what 32 bits can name.
fn use_own_slots(wasmtime: &mut Config, config: &EngineConfig) {
    let slots = Slots::new(
        clamp(config.max_memory_bytes),
        SMALL_GUARD,
        clamp(config.memory_keep_resident),
        config.max_memories as usize,
    );
    let stacks = Stacks::new(config.stack_bytes as usize, config.max_instances as usize);
    wasmtime
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .with_host_memory(Arc::new(SlotCreator(Arc::new(slots))))
        .with_host_stack(Arc::new(BorrowStacks(Arc::new(stacks))))
        .memory_guard_size(SMALL_GUARD as u64)
        // An image would have to be mapped for every guest; copying data segments is cheaper.
        .memory_init_cow(false);
}

/// Slots that are being cleared by other threads are neither in use nor free. Without spare ones a
/// guest would now and then be refused although fewer are alive than were asked for.
fn spare_slots(config: &EngineConfig) -> u32 {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    config
        .decommit_batch
        .saturating_mul(u32::try_from(threads).unwrap_or(u32::MAX))
}

fn pool_config(config: &EngineConfig) -> PoolingAllocationConfig {
    let spare = spare_slots(config);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_stacks(config.max_instances)
        .total_component_instances(config.max_instances)
        .total_core_instances(config.max_core_instances)
        .total_memories(config.max_memories.saturating_add(spare))
        .total_tables(config.max_core_instances.saturating_add(spare))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_MODULE)
        .max_tables_per_module(TABLES_PER_MODULE)
        .max_memory_size(usize::try_from(config.max_memory_bytes).unwrap_or(usize::MAX))
        .table_elements(config.table_elements as usize)
        .linear_memory_keep_resident(clamp(config.memory_keep_resident))
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .async_stack_keep_resident(clamp(config.stack_keep_resident))
        .decommit_batch_size((config.decommit_batch as usize).max(1))
        // A slot that has served a component is kept for it as long as there is room, so that its
        // image need not be mapped again.
        .max_unused_warm_slots(config.max_core_instances)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn clamp(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The part of the configuration that decides whether compiled code fits. Wasmtime's own hash
/// covers the compiler; this covers the limits that code is checked against when it is compiled.
fn class_of(config: &EngineConfig) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(config.max_memory_bytes.to_le_bytes());
    hash.update(config.table_elements.to_le_bytes());
    hash.finalize().into()
}

fn linkers(
    engine: &Wasmtime,
) -> wasmtime::Result<(wasmtime::component::Linker<State>, wasmtime::Linker<State>)> {
    let mut components = wasmtime::component::Linker::new(engine);
    wasi::add_to_linker(&mut components)?;
    calls::add_to_linker(&mut components)?;
    let mut modules = wasmtime::Linker::new(engine);
    wasi::add_p1_to_linker(&mut modules)?;
    calls::add_raw_to_linker(&mut modules)?;
    Ok((components, modules))
}
