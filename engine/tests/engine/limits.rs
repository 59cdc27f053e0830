// SPDX-License-Identifier: MIT
//! Memory, tables, stack, and what a guest may hand over in a call.

use super::fake::*;
use super::wat::{component, plain};
use rusm_engine::rusm_engine_prepared_set_call_bytes;

const PAGE: usize = 64 << 10;

/// Traps with `unreachable` unless `condition` holds.
fn checked(condition: &str, head: &str) -> String {
    plain(&format!(
        r#"{head} (func (export "run") (if (i32.eqz {condition}) (then unreachable)))"#
    ))
}

#[test]
fn memory_grows_to_the_ceiling_and_not_beyond() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(checked(
        "(i32.and
           (i32.eq (memory.grow (i32.const 3)) (i32.const 1))
           (i32.and
             (i32.eq (memory.grow (i32.const 1)) (i32.const -1))
             (i32.eq (memory.size) (i32.const 4))))",
        "(memory 1)",
    ));
    let mut guest = prepared.start();
    guest.guest().memory_ceiling = 4 * PAGE;
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    assert_eq!(guest.memory_bytes(), 4 * PAGE as u64);
}

#[test]
fn growth_that_no_memory_can_have_is_not_counted() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(checked(
        "(i32.and
           (i32.eq (memory.grow (i32.const 1)) (i32.const 1))
           (i32.and
             (i32.eq (memory.grow (i32.const 65535)) (i32.const -1))
             (i32.eq (memory.grow (i32.const 9)) (i32.const -1))))",
        "(memory 1 10)",
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    assert_eq!(guest.memory_bytes(), 2 * PAGE as u64);
}

#[test]
fn a_memory_that_starts_above_the_ceiling_does_not_start() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(plain(r#"(memory 5) (func (export "run"))"#));
    let mut guest = prepared.start();
    guest.guest().memory_ceiling = 4 * PAGE;
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, _) = guest.error();
    assert_eq!(kind, ERROR_START, "{cause}");
    assert!(cause.contains("memory"), "{cause}");
}

#[test]
fn a_small_class_refuses_more_than_a_slot_holds() {
    let engine = TestEngine::with(|config| config.max_memory_bytes = 8 * PAGE as u64);
    let prepared = engine.prepare(checked(
        "(i32.and
           (i32.eq (memory.grow (i32.const 7)) (i32.const 1))
           (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))",
        "(memory 1)",
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    assert_eq!(guest.memory_bytes(), 8 * PAGE as u64);
    let (code, text) = engine
        .artifact(plain("(memory 9)"))
        .err()
        .expect("too large");
    assert_eq!(code, -15, "{text}");
}

#[test]
fn a_small_class_still_checks_bounds() {
    let engine = TestEngine::with(|config| config.max_memory_bytes = 8 * PAGE as u64);
    let reach = |address: u32| {
        plain(&format!(
            r#"(memory 1) (func (export "run") (drop (i32.load (i32.const {address}))))"#
        ))
    };
    for address in [65533, 8 << 16, 1 << 28, u32::MAX] {
        let mut guest = engine.prepare(reach(address)).start();
        assert_eq!(guest.resume(), TRAPPED);
        assert_eq!(guest.error().1, "wasm trap: out of bounds memory access");
    }
}

#[test]
fn tables_grow_to_their_ceiling() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(checked(
        "(i32.and
           (i32.eq (table.grow (ref.null func) (i32.const 90)) (i32.const 10))
           (i32.eq (table.grow (ref.null func) (i32.const 1)) (i32.const -1)))",
        "(table 10 funcref)",
    ));
    let mut guest = prepared.start();
    guest.guest().table_ceiling = 100;
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
}

#[test]
fn a_table_never_outgrows_the_engines_ceiling() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(checked(
        "(i32.eq (table.grow (ref.null func) (i32.const 991)) (i32.const -1))",
        "(table 10 funcref)",
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
}

#[test]
fn endless_recursion_is_a_trap() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(plain(r#"(func $deep (export "run") (call $deep))"#));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, trace) = guest.error();
    assert_eq!(
        (kind, cause.as_str()),
        (ERROR_TRAP, "wasm trap: call stack exhausted")
    );
    assert!(trace.lines().count() < 100, "{trace}");
}

/// Recurse as deep as the stack lets it, making a host call at every level: the last ones happen
/// with no more than the host's part of the stack left.
#[test]
fn host_calls_work_at_the_bottom_of_the_stack() {
    let engine = TestEngine::new();
    let calls = [
        "(drop (call $own-pid))",
        "(call $send (i64.const 1) (i32.const 0) (i32.const 8))",
        "(call $log (i32.const 0) (i32.const 0) (i32.const 8))",
        "(call $receive (i32.const 64))",
        "(call $kv-get (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 64))",
        "(call $connection (i32.const 64))",
        "(call $info (i64.const 42) (i32.const 64))",
    ];
    for call in calls {
        let prepared = engine.prepare(component(&format!(
            r#"(import "host" "own-pid" (func $own-pid (result i64)))
               (import "host" "send" (func $send (param i64 i32 i32)))
               (import "host" "log" (func $log (param i32 i32 i32)))
               (import "host" "receive" (func $receive (param i32)))
               (import "host" "kv-get" (func $kv-get (param i32 i32 i32 i32 i32)))
               (import "host" "connection" (func $connection (param i32)))
               (import "host" "info" (func $info (param i64 i32)))
               (import "libc" "memory" (memory 1))
               (func $deep {call} (call $deep))
               (func (export "run") (call $deep))"#
        )));
        let mut data = FakeGuest::new(42);
        data.has_connection = true;
        data.kv.insert(
            ("\0\0\0\0\0\0\0\0".into(), "\0\0\0\0\0\0\0\0".into()),
            vec![1; 100],
        );
        let mut guest = prepared.start_as(data);
        // A receive finds nothing every now and then, so suspending at depth is tried as well.
        let mut outcome = guest.resume();
        for _ in 0..100_000 {
            if outcome != PENDING {
                break;
            }
            guest.guest().mailbox.push_back(vec![7; 32]);
            outcome = guest.resume();
        }
        assert_eq!(outcome, TRAPPED, "{call}");
        let (kind, cause, _) = guest.error();
        assert_eq!(kind, ERROR_TRAP, "{call}: {cause}");
        // Either the stack or, where results are allocated, the memory of the guest ends first.
        assert!(cause.contains("stack exhausted"), "{call}: {cause}");
    }
}

#[test]
fn too_much_in_one_call_is_refused_before_the_host_sees_it() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(component(
        r#"(import "host" "send" (func $send (param i64 i32 i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run")
             (call $send (i64.const 1) (i32.const 0) (i32.const 1000))
             (call $send (i64.const 1) (i32.const 0) (i32.const 1001)))"#,
    ));
    // SAFETY: a handle that is alive.
    unsafe { rusm_engine_prepared_set_call_bytes(prepared.raw, 1000) };
    for prepared in [prepared.copy(&engine), prepared] {
        let mut guest = prepared.start();
        assert_eq!(guest.resume(), TRAPPED);
        let (kind, cause, _) = guest.error();
        assert_eq!(kind, ERROR_TRAP, "{cause}");
        assert_eq!(guest.guest().sent.len(), 1);
    }
}

#[test]
fn bad_pointers_are_traps() {
    let engine = TestEngine::new();
    let calls = [
        "(call $send (i64.const 1) (i32.const 65530) (i32.const 100))",
        "(call $send (i64.const 1) (i32.const -1) (i32.const -1))",
        "(call $send (i64.const 1) (i32.const 0) (i32.const 0x40000000))",
        "(call $log (i32.const 0) (i32.const -1) (i32.const 8))",
        "(call $log (i32.const 9) (i32.const 0) (i32.const 0))",
        "(call $log (i32.const 0) (i32.const 8) (i32.const 1))",
        "(call $receive (i32.const 65533))",
        "(call $receive (i32.const 65534))",
        "(call $receive (i32.const -4))",
    ];
    for call in calls {
        let prepared = engine.prepare(component(&format!(
            r#"(import "host" "send" (func $send (param i64 i32 i32)))
               (import "host" "log" (func $log (param i32 i32 i32)))
               (import "host" "receive" (func $receive (param i32)))
               (import "libc" "memory" (memory 1))
               (func (export "run") (i32.store8 (i32.const 8) (i32.const 255)) {call})"#
        )));
        let mut guest = prepared.start();
        guest.guest().mailbox.push_back(vec![1]);
        assert_eq!(guest.resume(), TRAPPED, "{call}");
        let (kind, cause, _) = guest.error();
        assert_eq!(kind, ERROR_TRAP, "{call}: {cause}");
        assert!(
            guest.guest().sent.is_empty() && guest.guest().logs.is_empty(),
            "{call}"
        );
    }
}

#[test]
fn an_endless_allocator_is_ended_and_the_message_is_released() {
    let engine = TestEngine::new();
    let text = r#"(component
        (import "rusm:runtime/actor@0.1.0" (instance $actor
          (export "receive" (func (result (list u8))))))
        (core module $libc-code
          (memory (export "memory") 1)
          (func $endless (export "realloc") (param i32 i32 i32 i32) (result i32)
            (loop (br 0)) (unreachable)))
        (core instance $libc (instantiate $libc-code))
        (core func $receive (canon lower (func $actor "receive")
          (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $main-code
          (import "host" "receive" (func $receive (param i32)))
          (func (export "run") (call $receive (i32.const 0))))
        (core instance $main (instantiate $main-code
          (with "host" (instance (export "receive" (func $receive))))))
        (func (export "run") (canon lift (core func $main "run"))))"#;
    let prepared = engine.prepare(text);
    for stop in [true, false] {
        let mut guest = prepared.start();
        guest.guest().tick = rusm_engine::host::TICK_YIELD;
        guest.guest().mailbox.push_back(vec![1, 2, 3]);
        engine.ticking(|| {
            assert_eq!(guest.resume(), YIELDED);
            if stop {
                guest.stop();
                assert_eq!(guest.resume(), TRAPPED);
                assert_eq!(guest.error().0, ERROR_STOPPED);
            }
        });
        // Dropping checks that the message went back, also in the middle of the copy.
    }
}
