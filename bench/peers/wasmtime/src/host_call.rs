// SPDX-License-Identifier: MIT
//! Bench host-call: the same guest, and a typed function that adds one. No wait. Once as a component
//! and once as a core module, whose calls have no component layer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime::{Engine, Module, Result, Store, component};

static CALLS: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

fn next(number: u64) -> u64 {
    if !OVER.load(Relaxed) {
        return number + 1;
    }
    CALLS.store(number + 1, Relaxed);
    0
}

/// The loop of host-call.wat without the component around it.
const MODULE: &str = r#"(module (import "host" "next" (func $next (param i64) (result i64)))
  (func (export "run") (local $n i64)
    (loop $again
      (local.set $n (call $next (local.get $n)))
      (br_if $again (i64.ne (local.get $n) (i64.const 0))))))"#;

fn run_component(engine: &Engine, component: &component::Component) -> Result<()> {
    let mut linker = component::Linker::new(engine);
    linker
        .instance("bench:host/calls@0.1.0")?
        .func_wrap("next", |_, (number,): (u64,)| Ok((next(number),)))?;
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, component)?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    run.call(&mut store, ())
}

fn run_module(engine: &Engine, module: &Module) -> Result<()> {
    let mut linker = wasmtime::Linker::new(engine);
    linker.func_wrap("host", "next", next)?;
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, module)?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    run.call(&mut store, ())
}

/// Calls per second.
fn rate(time: Duration, run: impl Fn() -> Result<()>) -> Result<f64> {
    OVER.store(false, Relaxed);
    let begin = Instant::now();
    let alarm = std::thread::spawn(move || {
        std::thread::sleep(time);
        OVER.store(true, Relaxed);
    });
    run()?;
    let took = begin.elapsed();
    alarm.join().expect("an alarm only sleeps");
    Ok(CALLS.load(Relaxed) as f64 / took.as_secs_f64())
}

pub fn run(guest: &str, time: Duration, threads: usize) -> Result<()> {
    let engine = Engine::default();
    let component = component::Component::from_file(&engine, guest)?;
    let module = Module::new(&engine, MODULE)?;
    let report = |peer: &str, run: &dyn Fn() -> Result<()>| -> Result<()> {
        rate(time / 4, run)?;
        let value = rate(time, run)?;
        println!("host-call peer={peer} value={value:.2} unit=calls/s threads={threads} guests=1");
        Ok(())
    };
    report("wasmtime", &|| run_component(&engine, &component))?;
    report("wasmtime-module", &|| run_module(&engine, &module))
}
