// SPDX-License-Identifier: MIT
//! What the engine itself costs, without schedulers: a spawn (start, resume until done, drop), a
//! host call, a suspended receive, and loading code from the cache. One line a figure.
//!
//!     cargo bench --bench spawn [-- guests-only] [a-guest.wasm ...]
//!
//! A guest that is given must be an echo: it receives one message whose first eight bytes are a
//! pid, and sends it there.

#[allow(dead_code)]
#[path = "../tests/engine/fake.rs"]
mod fake;
#[allow(dead_code)]
#[path = "../tests/engine/wat.rs"]
mod wat;

use std::ffi::CString;
use std::time::{Duration, Instant};

use fake::*;
use rusm_engine::EngineConfig;

const RUN: Duration = Duration::from_millis(800);

struct Shared<'a>(&'a TestPrepared);
// SAFETY: what is prepared may be used from any thread.
unsafe impl Send for Shared<'_> {}

/// Processor time of this process, in seconds. It says more than the clock when others work on
/// the same machine.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Calls a second of `once` on so many threads and processor seconds for each: the run with the
/// median rate of five.
fn rate(prepared: &TestPrepared, threads: usize, once: fn(&TestPrepared)) -> (f64, f64) {
    let mut rates: Vec<(f64, f64)> = (0..5).map(|_| rate_once(prepared, threads, once)).collect();
    rates.sort_by(|one, other| one.0.total_cmp(&other.0));
    rates[2]
}

fn rate_once(prepared: &TestPrepared, threads: usize, once: fn(&TestPrepared)) -> (f64, f64) {
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let count: usize = std::thread::scope(|scope| {
        let worker = |_| {
            let shared = Shared(prepared);
            scope.spawn(move || {
                let Shared(prepared) = { shared };
                let mut count = 0;
                while begin.elapsed() < RUN {
                    for _ in 0..50 {
                        once(prepared);
                    }
                    count += 50;
                }
                count
            })
        };
        let workers: Vec<_> = (0..threads).map(worker).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    let count = count as f64;
    (
        count / begin.elapsed().as_secs_f64(),
        (cpu_seconds() - cpu) / count,
    )
}

fn spawn_empty(prepared: &TestPrepared) {
    assert_eq!(prepared.start().resume(), DONE);
}

fn spawn_echo(prepared: &TestPrepared) {
    let mut guest = prepared.start();
    let mut message = 7u64.to_le_bytes().to_vec();
    message.extend([0; 56]);
    guest.guest().mailbox.push_back(message);
    assert_eq!(guest.resume(), DONE);
}

fn spawn_echo_late(prepared: &TestPrepared) {
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    guest.guest().mailbox.push_back(7u64.to_le_bytes().to_vec());
    assert_eq!(guest.resume(), DONE);
}

fn print_rates(name: &str, prepared: &TestPrepared, once: fn(&TestPrepared)) {
    for threads in [1, 2] {
        let (rate, cpu) = rate(prepared, threads, once);
        println!(
            "{name:<28} {threads} threads {rate:>12.0}/s {:>9.2} us each, {:>7.2} us of processor",
            threads as f64 / rate * 1e6,
            cpu * 1e6
        );
    }
}

/// The two classes of slots: 4 GiB each, and 16 MiB close together.
fn guests(config: &mut EngineConfig) {
    config.max_instances = 64;
    config.max_memories = 64;
}

fn small(config: &mut EngineConfig) {
    guests(config);
    config.max_memory_bytes = 16 << 20;
}

fn host_calls(engine: &TestEngine) {
    let calls = 1_000_000;
    for (name, call) in [
        ("host call own-pid", "(drop (call $own-pid))"),
        (
            "host call is-alive",
            "(drop (call $is-alive (i64.const 1)))",
        ),
        (
            "host call register 8 bytes",
            "(drop (call $register (i32.const 0) (i32.const 8)))",
        ),
    ] {
        let prepared = engine.prepare(wat::component(&format!(
            r#"(import "host" "own-pid" (func $own-pid (result i64)))
               (import "host" "is-alive" (func $is-alive (param i64) (result i32)))
               (import "host" "register" (func $register (param i32 i32) (result i32)))
               (import "libc" "memory" (memory 1))
               (func (export "run") (local $n i32)
                 (loop $again {call}
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if $again (i32.lt_u (local.get $n) (i32.const {calls})))))"#
        )));
        let begin = Instant::now();
        assert_eq!(prepared.start().resume(), DONE);
        let rate = calls as f64 / begin.elapsed().as_secs_f64();
        println!("{name:<28} {rate:>22.0}/s {:>9.3} us each", 1e6 / rate);
    }
}

fn receives(engine: &TestEngine) {
    let prepared = engine.prepare(wat::component(
        r#"(import "host" "receive-timeout" (func $receive (param i64 i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run")
             (loop $again (call $receive (i64.const 1) (i32.const 16)) (br $again)))"#,
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    let (begin, rounds) = (Instant::now(), 500_000);
    for _ in 0..rounds {
        guest.guest().one_timeout = true;
        assert_eq!(guest.resume(), PENDING);
    }
    let rate = f64::from(rounds) / begin.elapsed().as_secs_f64();
    println!(
        "{:<28} {rate:>22.0}/s {:>9.3} us each",
        "suspend and resume",
        1e6 / rate
    );
}

fn cache_load(name: &str, wasm: &[u8]) {
    let folder = std::env::temp_dir().join(format!("rusm-engine-{}-bench", std::process::id()));
    let path = CString::new(folder.to_str().unwrap()).unwrap();
    let engine = TestEngine::with(|config| config.cache_dir = path.as_ptr());
    let begin = Instant::now();
    assert!(!engine.artifact(wasm).unwrap().cached);
    let compiled = begin.elapsed();
    let entry = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let size = entry.metadata().unwrap().len();
    let mut loads: Vec<Duration> = Vec::new();
    for _ in 0..9 {
        let begin = Instant::now();
        assert!(engine.artifact(wasm).unwrap().cached);
        loads.push(begin.elapsed());
    }
    loads.sort();
    println!(
        "{name:<28} {} bytes of Wasm, {size} of code: compiled in {compiled:.1?}, loaded in {:.2?}",
        wasm.len(),
        loads[4]
    );
    drop(engine);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn engine_start() {
    let begin = Instant::now();
    let engine = TestEngine::with(guests);
    println!("{:<28} {:.2?}", "engine of 64 instances", begin.elapsed());
    drop(engine);
    let begin = Instant::now();
    let engine = TestEngine::with(|config| {
        config.max_instances = 8000;
        config.max_memories = 8000;
    });
    println!("{:<28} {:.2?}", "engine of 8000 instances", begin.elapsed());
    drop(engine);
}

fn built_in() {
    engine_start();
    let (small, guests) = (TestEngine::with(small), TestEngine::with(guests));
    let empty = wat::plain(r#"(func (export "run"))"#);
    print_rates("empty component", &small.prepare(&empty), spawn_empty);
    let module = r#"(module (func (export "run")))"#;
    print_rates("empty core module", &small.prepare(module), spawn_empty);
    let echo = wat::component(
        r#"(import "host" "receive" (func $receive (param i32)))
           (import "host" "send" (func $send (param i64 i32 i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run")
             (call $receive (i32.const 16))
             (call $send (i64.const 7) (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#,
    );
    print_rates("echo in text", &small.prepare(&echo), spawn_echo);
    print_rates(
        "echo in text, it waits",
        &small.prepare(&echo),
        spawn_echo_late,
    );
    host_calls(&guests);
    receives(&guests);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "guests-only") {
        built_in();
    }
    let engine = TestEngine::with(guests);
    for path in arguments
        .iter()
        .filter(|argument| argument.ends_with(".wasm"))
    {
        let wasm = std::fs::read(path).expect("the guest can be read");
        let name = std::path::Path::new(path)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        print_rates(&name, &engine.prepare(&wasm), spawn_echo);
        cache_load(&name, &wasm);
    }
}
