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

/// Checks that its memory is zero, writes to every `stride`th page of it, waits for a message, and
/// writes to their neighbours.
fn wanderer(pages: u32, stride: u32) -> String {
    component(&format!(
        r#"(import "host" "receive" (func $receive (param i32)))
           (import "libc" "memory" (memory 1))
           (memory $own {wasm_pages})
           (func $look (local $at i32)
             (loop $next
               (if (i64.ne (i64.load $own (local.get $at)) (i64.const 0)) (then unreachable))
               (local.set $at (i32.add (local.get $at) (i32.const 8)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const {bytes})))))
           (func $write (param $at i32)
             (loop $next
               (i64.store $own (local.get $at) (i64.const -1))
               (local.set $at (i32.add (local.get $at) (i32.const {step})))
               (br_if $next (i32.lt_u (local.get $at) (i32.const {bytes})))))
           (func (export "run")
             (call $look)
             (call $write (i32.const 2048))
             (call $receive (i32.const 16))
             (call $write (i32.const 6144)))"#,
        wasm_pages = pages.div_ceil(16),
        bytes = pages * 4096,
        step = stride * 4096,
    ))
}

/// A guest that another thread may run than the one before.
struct Anywhere(TestInstance);
// SAFETY: the border lets an instance move, used by one thread at a time.
unsafe impl Send for Anywhere {}

impl Anywhere {
    fn resume(mut self, elsewhere: bool) -> (Self, std::ffi::c_int) {
        if !elsewhere {
            let answer = self.0.resume();
            return (self, answer);
        }
        let run = move || {
            let mut moved = { self };
            let answer = moved.0.resume();
            (moved, answer)
        };
        std::thread::scope(|scope| scope.spawn(run).join().expect("no panic"))
    }
}

/// What is zeroed is decided by what is known of a slot's pages (src/resident.rs). Guests of many
/// shapes follow each other here, in one place or moving, ended early or late.
#[test]
fn whoever_ran_where_nothing_is_left_for_the_next() {
    let engine = small(|config| {
        config.memory_keep_resident = 96 * 1024;
        config.max_instances = 64;
        config.max_memories = 128;
    });
    let shapes = [(16, 5), (16, 1), (32, 3), (48, 7), (48, 2), (16, 9)];
    let prepared = shapes.map(|(pages, stride)| engine.prepare(wanderer(pages, stride)));
    let mut waiting = Vec::new();
    let mut random = 88_172_645_463_325_252_u64;
    let mut pick = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 33) as usize % below
    };
    for round in 0..3000 {
        let guest = Anywhere(prepared[pick(shapes.len())].start());
        let (mut guest, answer) = guest.resume(pick(16) == 0);
        assert_eq!(answer, PENDING, "round {round}: {:?}", guest.0.error());
        waiting.push(guest);
        while waiting.len() > pick(24) {
            let Anywhere(mut guest) = waiting.swap_remove(pick(waiting.len()));
            if pick(4) == 0 {
                continue;
            }
            guest.guest().mailbox.push_back(b"go on".to_vec());
            let (mut guest, answer) = Anywhere(guest).resume(pick(16) == 0);
            assert_eq!(answer, DONE, "round {round}: {:?}", guest.0.error());
        }
    }
}
