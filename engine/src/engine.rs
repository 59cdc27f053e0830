// SPDX-License-Identifier: MIT
//! An engine: Wasmtime's configuration and pools, the linkers with everything that is offered to
//! guests, the cache of compiled code, and the way back to C.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use std::sync::{Arc, Weak};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine as Wasmtime, InstanceAllocationStrategy, WasmBacktraceDetails};

use crate::cache::Cache;
use crate::calls;
use crate::calls::bridge::{self, Interface, RawInterface};
use crate::client;
use crate::error::{ECONFIG, EINVAL, Failure};
use crate::host::{self, HostCalls};
use crate::instance::State;
use crate::reactor;
use crate::room;
use crate::slots::{Handle, SlotCreator, Slots};
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
    pub max_memories: u32,
    pub max_mappings: u64,
    pub max_memory_bytes: u64,
    pub table_elements: u32,
    pub memory_keep_resident: u64,
    pub stack_bytes: u32,
    pub guest_stack_bytes: u32,
    pub blocking_threads: u32,
    pub interfaces: *const RawInterface,
    pub interface_count: usize,
    pub pools_of: *const Engine,
}

/// Where the memories and stacks of guests lie.
#[derive(Clone)]
pub struct Pools {
    slots: Arc<Slots>,
    stacks: Arc<Stacks>,
}

const FOUR_GIB: u64 = 1 << 32;
const WASM_PAGE: u64 = 1 << 16;

/// What must be left of a fiber stack for the host: 64 KiB for C (RUSM__GUEST_STACK_BUDGET), and
/// as much for Wasmtime, WASI and this crate.
const HOST_STACK: u32 = 128 << 10;

/// Behind a small slot: what a checked access may still reach by its constant offset.
const SMALL_GUARD: usize = 64 << 10;
/// Behind a slot of 4 GiB: with it the compiler need not check constant offsets up to here.
const LARGE_GUARD: usize = 32 << 20;

/// `struct rusm_engine`.
pub struct Engine {
    pub wasmtime: Wasmtime,
    pub host: &'static HostCalls,
    pub gate: std::sync::Arc<Gate>,
    pub components: wasmtime::component::Linker<State>,
    pub modules: wasmtime::Linker<State>,
    /// What the host's program offers beside our own.
    pub interfaces: Vec<Interface>,
    pub max_memory_bytes: usize,
    pub table_elements: usize,
    pools: Pools,
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
        // SAFETY: null or an engine that is there, by the contract of the header.
        let pools = match unsafe { config.pools_of.as_ref() } {
            None => Pools::new(config),
            Some(other) => other.pools.for_engine(config)?,
        };
        let wasmtime = Wasmtime::new(&wasmtime_config(config, &pools)).map_err(engine)?;
        // SAFETY: as the header says.
        let interfaces = unsafe { bridge::read(config.interfaces, config.interface_count) }?;
        let (components, modules) = linkers(&wasmtime, &interfaces).map_err(engine)?;
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
            interfaces,
            max_memory_bytes: usize::try_from(config.max_memory_bytes).unwrap_or(usize::MAX),
            table_elements: config.table_elements as usize,
            pools,
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

impl Pools {
    pub fn new(config: &EngineConfig) -> Pools {
        room::limit(config.max_mappings);
        let pools = Pools {
            slots: Arc::new(Slots::new(
                clamp(config.max_memory_bytes),
                guard_of(config),
                clamp(config.memory_keep_resident),
                config.max_memories as usize,
            )),
            stacks: Arc::new(Stacks::new(
                config.stack_bytes as usize,
                config.max_instances as usize,
            )),
        };
        let parts: [Weak<dyn room::Shed>; 2] = [
            Arc::<Slots>::downgrade(&pools.slots),
            Arc::<Stacks>::downgrade(&pools.stacks),
        ];
        parts.into_iter().for_each(room::join);
        pools
    }

    /// The same ones for one more engine.
    fn for_engine(&self, config: &EngineConfig) -> Result<Pools, Failure> {
        let fits = self
            .slots
            .fits(clamp(config.max_memory_bytes), guard_of(config))
            && self.stacks.fits(config.stack_bytes as usize);
        if !fits {
            return Err(Failure::new(
                ECONFIG,
                "pools_of has slots or stacks of another size",
            ));
        }
        Ok(self.clone())
    }
}

fn check(config: &EngineConfig) -> Result<(), Failure> {
    let wrong = |text: &str| Err(Failure::new(ECONFIG, text));
    if config.max_instances == 0 || config.max_memories == 0 {
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

/// Everything that an engine of ours asks of Wasmtime.
pub fn wasmtime_config(config: &EngineConfig, pools: &Pools) -> Config {
    let mut wasmtime = Config::new();
    use_own_slots(&mut wasmtime, config, pools);
    wasmtime
        // A slot reserves what a memory may become. At 4 GiB every 32-bit address lies inside
        // slot and guard, and the compiler leaves bounds checks out.
        .memory_reservation(config.max_memory_bytes)
        .memory_may_move(false)
        .epoch_interruption(true)
        // Declared subtypes of functions would need the collector's part, which is not compiled
        // in: Wasmtime takes such a guest and then ends the whole program at its first check.
        .wasm_gc(false)
        .async_stack_size(config.stack_bytes as usize)
        .max_wasm_stack(config.guest_stack_bytes as usize)
        // Frames have function names; files and lines are the business of symbols.rs.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(false);
    wasmtime
}

/// Memories lie in slots of our own (src/slots.rs), and stacks are kept (src/stacks.rs). Code for
/// slots below 4 GiB checks bounds, because such a slot is smaller than what 32 bits can name.
fn use_own_slots(wasmtime: &mut Config, config: &EngineConfig, pools: &Pools) {
    let slots = SlotCreator(Handle::new(&pools.slots));
    let stacks = BorrowStacks(Handle::new(&pools.stacks));
    wasmtime
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .with_host_memory(Arc::new(slots))
        .with_host_stack(Arc::new(stacks))
        .memory_guard_size(guard_of(config) as u64)
        // An image would have to be mapped for every guest; copying data segments is cheaper.
        .memory_init_cow(false);
}

fn guard_of(config: &EngineConfig) -> usize {
    if config.max_memory_bytes < FOUR_GIB {
        SMALL_GUARD
    } else {
        LARGE_GUARD
    }
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
    interfaces: &[Interface],
) -> wasmtime::Result<(wasmtime::component::Linker<State>, wasmtime::Linker<State>)> {
    let mut components = wasmtime::component::Linker::new(engine);
    wasi::add_to_linker(&mut components)?;
    client::add_to_linker(&mut components)?;
    calls::add_to_linker(&mut components)?;
    bridge::add_to_linker(&mut components, interfaces)?;
    let mut modules = wasmtime::Linker::new(engine);
    wasi::add_p1_to_linker(&mut modules)?;
    calls::add_raw_to_linker(&mut modules)?;
    Ok((components, modules))
}
