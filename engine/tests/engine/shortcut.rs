// SPDX-License-Identifier: MIT
//! Shortcuts open (engine/src/calls/shortcut.rs). If they did not, everything would work as before,
//! only some 70 ns slower for each call, so it is counted how many calls took the long way.

use std::ptr;

use rusm_engine::calls::bridge::{RawFunction, RawInterface};
use rusm_engine::host::TYPE_U64;
use rusm_engine::rusm_engine_prepared_set_call_bytes;

use super::fake::*;
use super::wat::{Spelling, component_in};

const CALLS: u32 = 100;

/// `few` of all calls. Without optimisation Wasmtime does not let an entry be replaced.
fn long(few: u32) -> u32 {
    if cfg!(debug_assertions) { CALLS } else { few }
}

/// A function that runs `body` once for each number from 0 on, which is in `$i`.
fn repeated(body: &str) -> String {
    format!(
        r#"(func (export "run") (local $i i64)
             (loop $again {body}
               (local.set $i (i64.add (local.get $i) (i64.const 1)))
               (br_if $again (i64.lt_u (local.get $i) (i64.const {CALLS})))))"#
    )
}

/// Two calls are counted, the third replaces the entry, the fourth finds the memory.
#[test]
fn send_takes_the_short_way_from_the_fifth_call_on() {
    for spelling in [Spelling::Split, Spelling::Older] {
        let engine = TestEngine::new();
        let body = r#"(i64.store (i32.const 64) (local.get $i))
                      (call $send (local.get $i) (i32.const 64) (i32.const 8))"#;
        let prepared = engine.prepare(component_in(
            spelling,
            &format!(
                r#"(import "host" "send" (func $send (param i64 i32 i32)))
                   (import "libc" "memory" (memory 1)) {}"#,
                repeated(body)
            ),
        ));
        // SAFETY: nobody else uses it yet.
        unsafe { rusm_engine_prepared_set_call_bytes(prepared.raw, 1 << 20) };
        let mut guest = prepared.start();
        assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
        let sent = |i: u64| (i, i.to_le_bytes().to_vec());
        let all: Vec<_> = (0..u64::from(CALLS)).map(sent).collect();
        assert_eq!(guest.guest().sent, all);
        assert_eq!(guest.long_calls(), long(4));
    }
}

/// A bridge `test:tools/all` with `next: func(n: u64) -> u64`.
fn with_bridge() -> TestEngine {
    let function = RawFunction {
        name: c"next".as_ptr(),
        text: c"func(n: u64) -> u64".as_ptr(),
        params: &TYPE_U64,
        param_count: 1,
        answer: TYPE_U64,
        error: 0,
        is_result: 0,
        may_wait: 0,
        function: ptr::null(),
    };
    let interface = RawInterface {
        name: c"test:tools/all@0.1.0".as_ptr(),
        functions: &function,
        function_count: 1,
        grant: c"tools".as_ptr(),
    };
    // Both are read while the engine is made.
    TestEngine::with(|config| {
        config.interfaces = &interface;
        config.interface_count = 1;
    })
}

/// Two calls are counted, the third replaces the entry: numbers need no memory.
#[test]
fn a_bridge_of_numbers_takes_the_short_way_from_the_fourth_call_on() {
    let engine = with_bridge();
    let body = r#"(if (i64.ne (call $next (local.get $i)) (i64.add (local.get $i) (i64.const 1)))
                    (then unreachable))"#;
    let prepared = engine.prepare(format!(
        r#"(component
             (import "test:tools/all@0.1.0" (instance $b
               (export "next" (func (param "n" u64) (result u64)))))
             (core func $next (canon lower (func $b "next")))
             (core module $code
               (import "b" "next" (func $next (param i64) (result i64))) {})
             (core instance $main (instantiate $code
               (with "b" (instance (export "next" (func $next))))))
             (func (export "run") (canon lift (core func $main "run"))))"#,
        repeated(body)
    ));
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    let all: Vec<_> = (0..u64::from(CALLS)).collect();
    assert_eq!(guest.guest().bridged, all);
    assert_eq!(guest.long_calls(), long(3));
}
