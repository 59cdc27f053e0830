// SPDX-License-Identifier: MIT
//! Engines whose memories are smaller than 4 GiB use slots of their own: the same promises.

use crate::fake::*;
use crate::life::echo;
use crate::wat::*;

const MIB: u64 = 1 << 20;

fn small(change: impl FnOnce(&mut rusm_engine::EngineConfig)) -> TestEngine {
    TestEngine::with(|config| {
        config.max_memory_bytes = 16 * MIB;
        change(config);
    })
}

fn with_memory(functions: &str) -> String {
    format!("(memory 1) {functions}")
}

/// Traps unless all of its memory is zero, then fills every page of it.
const DIRTY: &str = r#"
    (func (export "run") (local $at i32)
      (loop $look
        (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $look (i32.lt_u (local.get $at) (i32.const 65536))))
      (memory.fill (i32.const 0) (i32.const 255) (i32.const 65536)))"#;

/// Grows to the ceiling, finds zeros there, and leaves something behind.
const GROW: &str = r#"
    (func (export "run")
      (if (i32.eq (memory.grow (i32.const 255)) (i32.const -1)) (then unreachable))
      (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
      (if (i32.load (i32.const 16777208)) (then unreachable))
      (if (i32.load (i32.const 1048576)) (then unreachable))
      (memory.fill (i32.const 65536) (i32.const 170) (i32.const 16711680)))"#;

/// Grows a little and fills what it got: such a slot keeps its pages when it becomes smaller again.
const SWELL: &str = r#"
    (func (export "run")
      (drop (memory.grow (i32.const 15)))
      (if (i32.load (i32.const 1048572)) (then unreachable))
      (memory.fill (i32.const 0) (i32.const 85) (i32.const 1048576)))"#;

/// Reads what may lie in the next slot.
const BEYOND: &str = r#"
    (func (export "run") (drop (i32.load offset=65532 (i32.const 33554432))))"#;

#[test]
fn a_slot_is_zero_for_its_next_guest() {
    let engine = small(|_| {});
    let prepared = engine.prepare(plain(&with_memory(DIRTY)));
    for round in 0..200 {
        assert_eq!(prepared.start().resume(), DONE, "round {round}");
    }
}

#[test]
fn live_neighbours_keep_what_they_have() {
    let engine = small(|_| {});
    let dirty = engine.prepare(plain(&with_memory(DIRTY)));
    let waiting = engine.prepare(echo());
    let mut guests: Vec<_> = (0..5).map(|_| waiting.start()).collect();
    for guest in &mut guests {
        assert_eq!(guest.resume(), PENDING);
        for _ in 0..11 {
            assert_eq!(dirty.start().resume(), DONE);
        }
    }
    for guest in &mut guests {
        guest
            .guest()
            .mailbox
            .push_back(b"12345678 still here".to_vec());
        assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    }
}

#[test]
fn growth_reaches_the_ceiling_and_leaves_nothing_behind() {
    let engine = small(|_| {});
    let grow = engine.prepare(plain(&with_memory(GROW)));
    let dirty = engine.prepare(plain(&with_memory(DIRTY)));
    for round in 0..40 {
        let mut guest = grow.start();
        assert_eq!(guest.resume(), DONE, "round {round}: {:?}", guest.error());
        drop(guest);
        assert_eq!(dirty.start().resume(), DONE, "round {round}");
    }
}

#[test]
fn slots_that_became_smaller_are_cleaned_like_others() {
    let engine = small(|_| {});
    let swell = engine.prepare(plain(&with_memory(SWELL)));
    let dirty = engine.prepare(plain(&with_memory(DIRTY)));
    for round in 0..30 {
        for _ in 0..round % 20 {
            assert_eq!(swell.start().resume(), DONE, "round {round}");
        }
        for _ in 0..(round * 7) % 23 {
            assert_eq!(dirty.start().resume(), DONE, "round {round}");
        }
    }
}

#[test]
fn an_access_beyond_the_memory_traps() {
    let engine = small(|_| {});
    let prepared = engine.prepare(plain(&with_memory(BEYOND)));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    assert_eq!(guest.error().0, ERROR_TRAP);
}

#[test]
fn too_many_guests_are_refused_as_full_and_later_fit() {
    let engine = small(|config| config.max_instances = 3);
    let prepared = engine.prepare(echo());
    let mut guests: Vec<_> = (0..3).map(|_| prepared.start()).collect();
    for guest in &mut guests {
        assert_eq!(guest.resume(), PENDING);
    }
    let mut late = prepared.start();
    assert_eq!(late.resume(), TRAPPED);
    assert_eq!(late.error().0, ERROR_POOL);
    guests.pop();
    let mut later = prepared.start();
    assert_eq!(later.resume(), PENDING);
}

#[test]
fn slots_serve_many_threads() {
    struct Shared<'a>(&'a TestPrepared);
    // SAFETY: what is prepared may be used from any thread.
    unsafe impl Send for Shared<'_> {}
    let engine = small(|config| {
        config.max_instances = 4;
        config.max_memories = 4;
    });
    let prepared = engine.prepare(plain(&with_memory(DIRTY)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let shared = Shared(&prepared);
            scope.spawn(move || {
                let Shared(prepared) = { shared };
                for _ in 0..500 {
                    let mut guest = prepared.start();
                    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
                }
            });
        }
    });
}
