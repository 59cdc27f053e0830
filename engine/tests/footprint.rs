// SPDX-License-Identifier: MIT
//! What the engine takes from its process: threads and descriptors. One test, because both belong
//! to the whole process.

// Not everything of the fake host is used here.
#[allow(dead_code)]
#[path = "engine/fake.rs"]
mod fake;
#[allow(dead_code)]
#[path = "engine/wat.rs"]
mod wat;

use fake::*;

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
