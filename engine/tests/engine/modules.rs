// SPDX-License-Identifier: MIT
//! Core modules, with preview 1.

use std::ptr;

use super::fake::*;
use rusm_engine::*;

fn command(engine: &TestEngine, text: &str, wasi: *const Grants) -> TestPrepared {
    engine
        .artifact(text)
        .expect("it compiles")
        .prepare(1, "", wasi)
        .expect("it can be prepared")
}

#[test]
fn a_function_of_a_module_runs() {
    let engine = TestEngine::new();
    let text = r#"(module (memory 2) (func (export "work") (drop (memory.grow (i32.const 1)))))"#;
    let artifact = engine.artifact(text).unwrap();
    let mut guest = artifact.prepare(0, "work", ptr::null()).unwrap().start();
    assert_eq!(guest.resume(), DONE);
    assert_eq!(guest.memory_bytes(), 3 << 16);
}

#[test]
fn a_trap_in_a_module_has_a_back_trace() {
    let engine = TestEngine::new();
    let text = r#"(module (func $inner unreachable) (func (export "run") (call $inner)))"#;
    let mut guest = engine.prepare(text).start();
    assert_eq!(guest.resume(), TRAPPED);
    assert!(guest.error().2.contains("inner"));
}

#[test]
fn exit_codes_are_kept() {
    let engine = TestEngine::new();
    for code in [0, 1, 7, 125] {
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const {code})) unreachable))"#
        );
        let mut guest = command(&engine, &text, ptr::null()).start();
        assert_eq!(guest.resume(), EXITED);
        assert_eq!(guest.exit_status(), code);
    }
    let text = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    assert_eq!(command(&engine, text, ptr::null()).start().resume(), DONE);
}

/// Writes the number of arguments, variables, and the error of asking for the first open folder.
const ASKS: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $stat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
      (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
      (drop (call $args (i32.const 0) (i32.const 32)))
      (drop (call $env (i32.const 4) (i32.const 32)))
      (call $exit (i32.add
        (i32.add (i32.mul (i32.const 16) (i32.load (i32.const 0))) (i32.load (i32.const 4)))
        (i32.mul (i32.const 64) (i32.eqz (call $stat (i32.const 3) (i32.const 8))))))))"#;

#[test]
fn preview_1_shows_what_was_granted_and_nothing_else() {
    let engine = TestEngine::new();
    let mut guest = command(&engine, ASKS, ptr::null()).start();
    assert_eq!(guest.resume(), EXITED);
    assert_eq!(guest.exit_status(), 0);
    // SAFETY: the border is called as its header says.
    unsafe {
        let wasi = rusm_engine_wasi_new();
        assert_eq!(rusm_engine_wasi_add_arg(wasi, c"one".as_ptr()), 0);
        assert_eq!(
            rusm_engine_wasi_add_env(wasi, c"A".as_ptr(), c"1".as_ptr()),
            0
        );
        assert_eq!(
            rusm_engine_wasi_add_env(wasi, c"B".as_ptr(), c"2".as_ptr()),
            0
        );
        assert_eq!(
            rusm_engine_wasi_add_preopen(wasi, c"/".as_ptr(), c"/".as_ptr(), 1),
            0
        );
        let prepared = command(&engine, ASKS, wasi);
        rusm_engine_wasi_free(wasi);
        let mut guest = prepared.start();
        assert_eq!(guest.resume(), EXITED);
        assert_eq!(guest.exit_status(), 16 + 2 + 64);
    }
}

#[test]
fn preview_1_waits_for_a_clock() {
    let engine = TestEngine::new();
    // One subscription to the monotonic clock, 20 ms from now.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff"
          (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i32.store8 (i32.const 8) (i32.const 0))
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 20000000))
          (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))
            (then unreachable))))"#;
    let mut guest = command(&engine, text, ptr::null()).start();
    let mut outcome = guest.resume();
    assert_eq!(outcome, PENDING, "{:?}", guest.error());
    while outcome == PENDING {
        engine.wakes.take(42);
        outcome = guest.resume();
    }
    assert_eq!(outcome, DONE, "{:?}", guest.error());
}
