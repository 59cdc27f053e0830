// SPDX-License-Identifier: MIT
//! Start, resume, stop, drop, in every state.

use super::fake::*;
use super::wat::{component, plain};
use rusm_engine::host::{CALL_TRAP, TICK_STOP, TICK_YIELD};

/// Receives one message and sends it to process 7.
pub fn echo() -> String {
    component(
        r#"(import "host" "receive" (func $receive (param i32)))
           (import "host" "send" (func $send (param i64 i32 i32)))
           (import "libc" "memory" (memory 1))
           (func $body
             (call $receive (i32.const 16))
             (call $send (i64.const 7) (i32.load (i32.const 16)) (i32.load (i32.const 20))))
           (func $outer (call $body))
           (func (export "run") (call $outer))"#,
    )
}

fn endless() -> String {
    plain(r#"(func $endless (loop (br 0))) (func (export "run") (call $endless))"#)
}

#[test]
fn a_guest_that_returns_is_done_and_stays_so() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(plain(r#"(func (export "run"))"#));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), DONE);
    assert_eq!(guest.resume(), DONE);
    assert_eq!(guest.error().1, "");
}

#[test]
fn a_waiting_guest_goes_on_when_something_has_come() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    assert_eq!(guest.resume(), PENDING);
    assert_eq!(guest.guest().polls, 2);
    guest.guest().mailbox.push_back(b"hello".to_vec());
    assert_eq!(guest.resume(), DONE);
    assert_eq!(guest.guest().sent, vec![(7, b"hello".to_vec())]);
    // Nobody was woken: C knew what it waited for.
    assert_eq!(engine.wakes.count(), 0);
}

#[test]
fn a_guest_may_change_threads_between_resumes() {
    struct Moved(TestInstance);
    // SAFETY: the border lets an instance move, used by one thread at a time.
    unsafe impl Send for Moved {}
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut moved = Moved(prepared.start());
    assert_eq!(moved.0.resume(), PENDING);
    moved.0.guest().mailbox.push_back(b"over".to_vec());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let Moved(mut guest) = { moved };
            assert_eq!(guest.resume(), DONE);
            assert_eq!(guest.guest().sent, vec![(7, b"over".to_vec())]);
        });
    });
}

#[test]
fn a_trap_tells_its_cause_and_where_it_happened() {
    let engine = TestEngine::new();
    let text = r#"(func $inner unreachable) (func (export "run") (call $inner))"#;
    let prepared = engine.prepare(plain(text));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, trace) = guest.error();
    assert_eq!(kind, ERROR_TRAP);
    assert_eq!(cause, "wasm trap: wasm `unreachable` instruction executed");
    let lines: Vec<&str> = trace.lines().collect();
    assert_eq!(lines.len(), 2, "{trace}");
    assert!(lines[0].contains("inner"), "{trace}");
    assert_eq!(guest.resume(), TRAPPED);
}

#[test]
fn a_trap_that_the_host_answers_carries_its_text_and_the_place() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    guest.guest().mailbox.push_back(Vec::new());
    guest.guest().send_answer = CALL_TRAP;
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, trace) = guest.error();
    assert_eq!(
        (kind, cause.as_str()),
        (ERROR_TRAP, "the fake host said so")
    );
    assert!(trace.contains("body"), "{trace}");
}

#[test]
fn an_answer_that_the_header_does_not_know_is_a_fault_of_the_host() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    guest.guest().mailbox.push_back(Vec::new());
    guest.guest().send_answer = 99;
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, _) = guest.error();
    assert_eq!(
        (kind, cause.as_str()),
        (ERROR_HOST, "host->send answered 99")
    );
}

#[test]
fn stopped_while_it_waits() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    guest.stop();
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, trace) = guest.error();
    assert_eq!(
        (kind, cause.as_str()),
        (ERROR_STOPPED, "stopped by the host")
    );
    assert!(trace.contains("body") && trace.contains("outer"), "{trace}");
    assert_eq!(guest.guest().polls, 1);
}

#[test]
fn stopped_although_something_has_come() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    guest.guest().mailbox.push_back(Vec::new());
    guest.stop();
    assert_eq!(guest.resume(), TRAPPED);
    assert_eq!(guest.error().0, ERROR_STOPPED);
    assert!(guest.guest().sent.is_empty());
}

#[test]
fn stopped_before_it_ran() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    guest.stop();
    assert_eq!(guest.resume(), TRAPPED);
    assert_eq!(guest.error().0, ERROR_STOPPED);
    assert_eq!(guest.guest().polls, 0);
}

#[test]
fn a_spinning_guest_yields_at_its_ticks_and_is_stopped_at_one() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(endless());
    let mut guest = prepared.start();
    guest.guest().tick = TICK_YIELD;
    engine.ticking(|| {
        for _ in 0..3 {
            assert_eq!(guest.resume(), YIELDED);
        }
        guest.stop();
        assert_eq!(guest.resume(), TRAPPED);
    });
    let (kind, cause, trace) = guest.error();
    assert_eq!(
        (kind, cause.as_str()),
        (ERROR_STOPPED, "stopped by the host")
    );
    assert!(trace.contains("endless"), "{trace}");
    assert_eq!(guest.guest().ticks, 3);
    assert_eq!(engine.wakes.count(), 0);
}

#[test]
fn a_tick_may_end_the_guest() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(endless());
    let mut guest = prepared.start();
    guest.guest().tick = TICK_STOP;
    engine.ticking(|| assert_eq!(guest.resume(), TRAPPED));
    let (kind, cause, trace) = guest.error();
    assert_eq!(
        (kind, cause.as_str()),
        (ERROR_STOPPED, "the fake host said so")
    );
    // A tick may come at the entry of the function that calls the loop.
    assert!(trace.contains("main-code!"), "{trace}");
}

#[test]
fn stopped_in_the_start_function() {
    let engine = TestEngine::new();
    let text = r#"(func $begin (loop (br 0))) (start $begin) (func (export "run"))"#;
    let prepared = engine.prepare(plain(text));
    let mut guest = prepared.start();
    guest.guest().tick = TICK_YIELD;
    engine.ticking(|| {
        assert_eq!(guest.resume(), YIELDED);
        guest.stop();
        assert_eq!(guest.resume(), TRAPPED);
    });
    let (kind, _, trace) = guest.error();
    assert_eq!(kind, ERROR_STOPPED);
    assert!(trace.contains("begin"), "{trace}");
}

#[test]
fn waiting_in_the_start_function_works_like_anywhere() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(component(
        r#"(import "host" "receive" (func $receive (param i32)))
           (import "libc" "memory" (memory 1))
           (func $begin (call $receive (i32.const 16)))
           (start $begin)
           (func (export "run"))"#,
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    guest.guest().mailbox.push_back(Vec::new());
    assert_eq!(guest.resume(), DONE);
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    guest.stop();
    assert_eq!(guest.resume(), TRAPPED);
    assert_eq!(guest.error().0, ERROR_STOPPED);
}

#[test]
fn a_fault_in_the_start_function_is_a_fault_of_the_guest() {
    let engine = TestEngine::new();
    let text = r#"(func $begin unreachable) (start $begin) (func (export "run"))"#;
    let prepared = engine.prepare(plain(text));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, _, trace) = guest.error();
    assert_eq!(kind, ERROR_TRAP);
    assert!(trace.contains("begin"), "{trace}");
}

#[test]
fn dropped_in_every_state() {
    let engine = TestEngine::with(|config| config.max_instances = 1);
    let (echo, endless) = (engine.prepare(echo()), engine.prepare(endless()));
    let trap = engine.prepare(plain(r#"(func (export "run") unreachable)"#));
    // One slot only: if a drop kept it, the next start would fail.
    for _ in 0..3 {
        drop(echo.start());
        let mut waiting = echo.start();
        assert_eq!(waiting.resume(), PENDING);
        drop(waiting);
        let mut stopped = echo.start();
        assert_eq!(stopped.resume(), PENDING);
        stopped.stop();
        drop(stopped);
        let mut spinning = endless.start();
        spinning.guest().tick = TICK_YIELD;
        engine.ticking(|| assert_eq!(spinning.resume(), YIELDED));
        drop(spinning);
        let mut trapped = trap.start();
        assert_eq!(trapped.resume(), TRAPPED);
        drop(trapped);
        let mut done = echo.start();
        done.guest().mailbox.push_back(Vec::new());
        assert_eq!(done.resume(), DONE);
    }
}

#[test]
fn an_ended_guest_holds_no_slot() {
    let engine = TestEngine::with(|config| config.max_instances = 1);
    let prepared = engine.prepare(plain(r#"(func (export "run") unreachable)"#));
    let (mut first, mut second) = (prepared.start(), prepared.start());
    assert_eq!(first.resume(), TRAPPED);
    assert_eq!(second.resume(), TRAPPED);
    assert_eq!(second.error().0, ERROR_TRAP);
}

#[test]
fn a_full_pool_is_told_and_recovers() {
    let engine = TestEngine::with(|config| config.max_instances = 2);
    let prepared = engine.prepare(echo());
    let (mut one, mut two, mut three) = (prepared.start(), prepared.start(), prepared.start());
    assert_eq!(one.resume(), PENDING);
    assert_eq!(two.resume(), PENDING);
    assert_eq!(three.resume(), TRAPPED);
    let (kind, cause, _) = three.error();
    assert_eq!(kind, ERROR_POOL, "{cause}");
    drop(one);
    let mut four = prepared.start();
    four.guest().mailbox.push_back(Vec::new());
    assert_eq!(four.resume(), DONE);
    assert_eq!(two.resume(), PENDING);
}

#[test]
fn a_guest_of_too_many_parts_is_refused() {
    let engine = TestEngine::new();
    let instances = "(core instance (instantiate $m))".repeat(128);
    let prepared = engine.prepare(format!(
        r#"(component (core module $m (func (export "run"))) {instances}
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, _) = guest.error();
    assert_eq!(kind, ERROR_START, "{cause}");
    assert!(cause.contains("instance count too high at 129"), "{cause}");
}

#[test]
fn a_panic_below_the_guest_ends_the_guest_and_nothing_else() {
    let engine = TestEngine::with(|config| config.max_instances = 1);
    let prepared = engine.prepare(component(
        r#"(import "host" "log" (func $log (param i32 i32 i32)))
           (func $body (call $log (i32.const 0) (i32.const 0) (i32.const 0)))
           (func (export "run") (call $body))"#,
    ));
    for _ in 0..3 {
        let mut guest = prepared.start();
        guest.guest().panic_in_log = true;
        assert_eq!(guest.resume(), TRAPPED);
        let (kind, cause, _) = guest.error();
        assert_eq!(kind, ERROR_HOST);
        assert_eq!(cause, "the engine panicked: a panic of the fake host");
        drop(guest);
        let mut guest = prepared.start();
        assert_eq!(guest.resume(), DONE);
    }
}

#[test]
fn what_was_prepared_may_be_freed_while_instances_live() {
    let engine = TestEngine::new();
    let prepared = engine.prepare(echo());
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    drop(prepared);
    guest.guest().mailbox.push_back(b"still".to_vec());
    assert_eq!(guest.resume(), DONE);
}

/// Slots that another thread is clearing must not be missed.
#[test]
fn as_many_guests_as_were_asked_for_can_always_live() {
    struct Shared<'a>(&'a TestPrepared);
    // SAFETY: what is prepared may be used from any thread.
    unsafe impl Send for Shared<'_> {}
    let engine = TestEngine::with(|config| {
        config.max_instances = 4;
        config.max_memories = 4;
        config.memory_keep_resident = 0;
    });
    let prepared = engine.prepare(echo());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let shared = Shared(&prepared);
            scope.spawn(move || {
                let Shared(prepared) = { shared };
                for _ in 0..2000 {
                    let mut guest = prepared.start();
                    assert_eq!(guest.resume(), PENDING, "{:?}", guest.error());
                }
            });
        }
    });
}
