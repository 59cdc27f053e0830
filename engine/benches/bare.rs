// SPDX-License-Identifier: MIT
//! What bare Wasmtime does with the guest of guest-storm, the measure of what spawns can cost: its
//! own pooling allocator, tuned, and no processes, mailboxes, limits or pre-emption. One message is
//! there when the guest asks, and sending it does nothing.
//!
//!     cargo bench --bench bare -- build/guests/bench/echo.wasm

use std::time::{Duration, Instant};

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{
    Component, ComponentExportIndex, InstancePre, Linker, LinkerInstance, ResourceTable,
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
    StoreContextMut,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const RUN: Duration = Duration::from_millis(800);
const ROUNDS: usize = 5;

struct State {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.context,
            table: &mut self.table,
        }
    }
}

fn engine() -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(2 << 20)
        .async_stack_keep_resident(64 << 10)
        .table_keep_resident(64 << 10)
        .decommit_batch_size(8)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Functions that the guest imports and never calls.
fn stub(
    instance: &mut LinkerInstance<'_, State>,
    engine: &Engine,
    interface: &ComponentInstance,
) -> Result<()> {
    for (name, item) in interface.exports(engine) {
        if let ComponentItem::ComponentFunc(_) = item.ty {
            instance.func_new(name, |_, _, _, _| Err(wasmtime::format_err!("a stub")))?;
        }
    }
    Ok(())
}

fn linker(engine: &Engine, component: &Component) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    for (name, item) in component.component_type().imports(engine) {
        if let ComponentItem::ComponentInstance(interface) = item.ty
            && name.starts_with("rusm:")
        {
            stub(&mut linker.instance(name)?, engine, &interface)?;
        }
    }
    let mut actor = linker.instance("rusm:runtime/actor@0.1.0")?;
    actor.func_wrap("receive", |_: StoreContextMut<State>, ()| {
        Ok((vec![7u8; 64],))
    })?;
    actor.func_wrap(
        "send",
        |_: StoreContextMut<State>, (_, message): (u64, Vec<u8>)| {
            std::hint::black_box(message);
            Ok(())
        },
    )?;
    Ok(linker)
}

async fn spawn(
    engine: &Engine,
    pre: &InstancePre<State>,
    entry: &ComponentExportIndex,
) -> Result<()> {
    let state = State {
        context: WasiCtx::builder().build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(engine, state);
    let instance = pre.instantiate_async(&mut store).await?;
    let run = instance.get_func(&mut store, entry).expect("it was found");
    run.typed::<(), ()>(&store)?
        .call_async(&mut store, ())
        .await
}

/// Spawns a second on so many threads.
fn rate(
    engine: &Engine,
    pre: &InstancePre<State>,
    entry: &ComponentExportIndex,
    threads: usize,
) -> f64 {
    let begin = Instant::now();
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut count = 0;
            while begin.elapsed() < RUN {
                spawn(engine, pre, entry).await.expect("the guest ends");
                count += 1;
            }
            count
        })
    };
    let count: u32 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker ends"))
            .sum()
    });
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn main() -> Result<()> {
    let path = std::env::args()
        .find(|argument| argument.ends_with(".wasm"))
        .expect("which guest?");
    let engine = engine()?;
    let component = Component::from_file(&engine, path)?;
    let pre = linker(&engine, &component)?.instantiate_pre(&component)?;
    let entry = component
        .get_export_index(None, "run")
        .expect("it has an entry");
    for threads in [1, 2] {
        let mut rates: Vec<_> = (0..ROUNDS)
            .map(|_| rate(&engine, &pre, &entry, threads))
            .collect();
        rates.sort_by(f64::total_cmp);
        let middle = rates[ROUNDS / 2];
        println!(
            "bare {threads} threads {middle:>10.0}/s {:>7.2} us each",
            threads as f64 / middle * 1e6
        );
    }
    Ok(())
}
