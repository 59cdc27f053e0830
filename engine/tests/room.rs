// SPDX-License-Identifier: MIT
//! The bound on mappings, which is one for the whole process: a program of its own.

#[allow(dead_code)]
#[path = "engine/fake.rs"]
mod fake;
#[allow(dead_code)]
#[path = "engine/wat.rs"]
mod wat;

use fake::*;

/// A group of sixteen slots and a stack fit; not even one more slot and its stack do.
fn tight(config: &mut rusm_engine::EngineConfig) {
    config.max_mappings = 39;
}

fn waits() -> String {
    wat::component(
        r#"(import "host" "receive" (func $receive (param i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run") (call $receive (i32.const 16)))"#,
    )
}

#[test]
fn room_that_one_class_leaves_is_anothers() {
    let large = TestEngine::with(tight);
    let small = TestEngine::with(|config| {
        tight(config);
        config.max_memory_bytes = 16 << 20;
    });
    let (in_large, in_small) = (large.prepare(waits()), small.prepare(waits()));
    for _ in 0..3 {
        let mut one = in_large.start();
        assert_eq!(one.resume(), PENDING);
        let mut two = in_small.start();
        assert_eq!(two.resume(), TRAPPED);
        assert_eq!(two.error().0, ERROR_POOL, "{}", two.error().1);
        drop(one);
        // What the first one had is idle now and is unmapped for this one.
        let mut three = in_small.start();
        assert_eq!(three.resume(), PENDING);
        assert_eq!(in_large.start().resume(), TRAPPED);
        three.guest().mailbox.push_back(Vec::new());
        assert_eq!(three.resume(), DONE);
    }
}
