// SPDX-License-Identifier: MIT
//! What the engine takes from its process: memory, threads and descriptors. One test, because all
//! of them belong to the whole process.

// Not everything of the fake host is used here.
#[allow(dead_code)]
#[path = "engine/fake.rs"]
mod fake;
#[allow(dead_code)]
#[path = "engine/wat.rs"]
mod wat;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use fake::*;

/// What a guest that waits may keep allocated, as it was asked for: the allocator's rounding, the
/// pages of its memory and of its stack and what C has for it come on top (docs/performance.md).
/// Wasmtime takes nine tenths of it. The guest is the one of `idle-wasm`.
const PARKED: usize = 6320;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator, with a sum beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn parked_guests_are_small() {
    const GUESTS: usize = 64;
    let engine = TestEngine::with(|config| {
        config.max_instances = GUESTS as u32;
        config.max_memories = GUESTS as u32;
    });
    let parked = engine.prepare(include_str!("../../bench/wasm/guest/parked.wat"));
    let park = || {
        let mut guest = parked.start();
        assert_eq!(guest.resume(), PENDING);
        guest.guest().mailbox.push_back(vec![0; 8]);
        assert_eq!(guest.resume(), PENDING);
        guest.guest().mailbox = Default::default();
        guest.guest().sent = Default::default();
        guest
    };
    // Slots and stacks are made by the first ones.
    drop((0..GUESTS).map(|_| park()).collect::<Vec<_>>());
    let mut guests = Vec::with_capacity(GUESTS);
    let before = ALLOCATED.load(Ordering::Relaxed);
    guests.extend((0..GUESTS).map(|_| park()));
    let each = (ALLOCATED.load(Ordering::Relaxed) - before) / GUESTS - size_of::<FakeGuest>();
    assert!(each <= PARKED, "{each} bytes for a guest that waits");
}

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    };
    tasks.map(name).map(|name| name.trim().to_owned()).collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A component that asks for random numbers and logs, as many Rust guests do, or for its arguments.
fn asks(what: &str) -> String {
    let (interface, function, ty) = match what {
        "random" => (
            "random/insecure-seed",
            "insecure-seed",
            "(result (tuple u64 u64))",
        ),
        _ => ("cli/environment", "get-arguments", "(result (list string))"),
    };
    format!(
        r#"(component
            (import "wasi:{interface}@0.2.0" (instance $from
              (export "{function}" (func {ty}))))
            (core module $libc-code
              (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $libc (instantiate $libc-code))
            (core func $ask (canon lower (func $from "{function}")
              (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $main-code
              (import "host" "ask" (func $ask (param i32)))
              (func (export "run") (call $ask (i32.const 8))))
            (core instance $main (instantiate $main-code
              (with "host" (instance (export "ask" (func $ask))))))
            (func (export "run") (canon lift (core func $main "run"))))"#
    )
}

#[test]
fn the_footprint_is_small_and_does_not_grow() {
    parked_guests_are_small();
    threads_and_descriptors_do_not_grow();
}

fn threads_and_descriptors_do_not_grow() {
    let engine = TestEngine::with(|config| config.max_instances = 4);
    let receives = engine.prepare(wat::component(
        r#"(import "host" "receive" (func $receive (param i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run") (call $receive (i32.const 16)))"#,
    ));
    let traps = engine.prepare(wat::plain(r#"(func (export "run") unreachable)"#));
    let random = engine.prepare(asks("random"));
    let arguments = engine.prepare(asks("arguments"));

    let churn = |rounds: usize| {
        for round in 0..rounds {
            let mut guest = receives.start();
            assert_eq!(guest.resume(), PENDING);
            if round % 2 == 0 {
                guest.guest().mailbox.push_back(vec![1; 100]);
                assert_eq!(guest.resume(), DONE);
            }
            assert_eq!(traps.start().resume(), TRAPPED);
            assert_eq!(random.start().resume(), DONE);
        }
    };
    churn(100);
    let (before, open) = (threads().len(), descriptors());
    churn(3000);
    assert_eq!(descriptors(), open);
    assert_eq!(threads().len(), before, "{:?}", threads());
    // Not even a guest that asks for random numbers starts the reactor.
    assert!(
        !threads()
            .iter()
            .any(|name| name.contains("rusm-wasi") || name.contains("tokio"))
    );

    assert_eq!(arguments.start().resume(), DONE);
    let open = descriptors();
    for _ in 0..3000 {
        assert_eq!(arguments.start().resume(), DONE);
    }
    assert_eq!(descriptors(), open);
    let names = threads();
    assert_eq!(names.len(), before + 1, "{names:?}");
    assert!(names.iter().any(|name| name == "rusm-wasi"), "{names:?}");
}
