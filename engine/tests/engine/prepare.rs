// SPDX-License-Identifier: MIT
//! What is refused before anything is spawned, and with which words.

use std::ptr;

use rusm_engine::EngineConfig;
use rusm_engine::host::TICK_STOP;

use super::fake::*;
use super::wat::{component, plain};

const ECONFIG: i32 = -14;
const EGUEST: i32 = -15;

fn refused(text: &str, kind: i32, entry: &str) -> String {
    let engine = TestEngine::new();
    let artifact = engine.artifact(text).expect("it compiles");
    let (code, text) = artifact
        .prepare(kind, entry, ptr::null())
        .err()
        .expect("it is refused");
    assert_eq!(code, EGUEST, "{text}");
    text
}

fn does_not_compile(wasm: &[u8]) -> String {
    let engine = TestEngine::new();
    let (code, text) = engine.artifact(wasm).err().expect("it is refused");
    assert_eq!(code, EGUEST, "{text}");
    assert!(!text.is_empty() && !text.contains('\n'), "{text}");
    text
}

#[test]
fn a_missing_entry_is_named() {
    let component = plain(r#"(func (export "run"))"#);
    assert_eq!(
        refused(&component, 0, "start"),
        "component has no `start` export"
    );
    assert_eq!(refused("(module)", 0, "run"), "module has no `run` export");
    assert_eq!(
        refused(&component, 1, ""),
        "component has no `wasi:cli/run` export"
    );
    assert_eq!(refused("(module)", 1, ""), "module has no `_start` export");
}

#[test]
fn an_entry_of_another_type_is_refused() {
    let text = r#"(component
        (core module $m (func (export "run") (param i32)))
        (core instance $i (instantiate $m))
        (func (export "run") (param "x" u32) (canon lift (core func $i "run"))))"#;
    let expected = "the export `run` of the component has another type than an entry has: `func()`";
    assert_eq!(refused(text, 0, "run"), expected);
    let text = r#"(module (func (export "run") (result i32) (i32.const 1)))"#;
    let expected = "the export `run` of the module has another type than an entry has: `func()`";
    assert_eq!(refused(text, 0, "run"), expected);
    let text = r#"(component
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func $run (canon lift (core func $i "run")))
        (instance $run-instance (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $run-instance)))"#;
    let expected = "the function `run` of the export `wasi:cli/run@0.2.3` has another type than a \
                    command has: `func() -> result`";
    assert_eq!(refused(text, 1, ""), expected);
}

#[test]
fn an_export_that_is_no_function_is_no_entry() {
    let module = r#"(module (memory (export "run") 1))"#;
    assert_eq!(refused(module, 0, "run"), "module has no `run` export");
    let component = r#"(component (instance $i) (export "run" (instance $i)))"#;
    assert_eq!(
        refused(component, 0, "run"),
        "component has no `run` export"
    );
}

/// Without the collector Wasmtime would take it, and end the whole program at the call.
#[test]
fn subtypes_of_functions_do_not_compile() {
    let module = br#"(module
        (type $above (sub (func)))
        (type $below (sub $above (func)))
        (table 1 funcref)
        (elem (i32.const 0) $f)
        (func $f (type $below))
        (func (export "run") (call_indirect (type $above) (i32.const 0))))"#;
    let text = does_not_compile(module);
    assert!(text.contains("gc"), "{text}");
}

const REMEDY: &str = "; build it against the interfaces of this release (wit/ in the source, \
                      docs/guests.md), or without them";

#[test]
fn every_import_that_is_not_offered_is_named() {
    let text = r#"(component
        (import "rusm:runtime/actor@0.1.0" (instance
          (export "own-pid" (func (result u64)))
          (export "spawn-into" (func (param "component" string) (param "source" string)
            (result (result u64 (error string)))))))
        (import "rusm:runtime/streams@0.1.0" (instance
          (export "stream-open" (func (param "to" u64) (result (option u64))))
          (export "stream-close" (func (param "handle" u64)))))
        (import "wasi:random/random@0.2.0" (instance
          (export "get-random-u64" (func (result u64)))))
        (import "foo:bar/types@1.0.0" (instance))
        (import "foo:bar/baz@1.0.0" (instance (export "f" (func))))
        (import "wasi:io/error@0.3.0" (instance (export "error" (type (sub resource)))))
        (import "alone" (func))
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    assert_eq!(
        refused(text, 0, "run"),
        format!(
            "imports that this host does not offer: rusm:runtime/actor@0.1.0 spawn-into, \
             foo:bar/baz@1.0.0 f, alone{REMEDY}"
        )
    );
}

/// Where a function is missing, resources say nothing: they may be another interface's.
#[test]
fn a_resource_that_is_not_offered_is_named_when_nothing_else_is_missing() {
    let text = r#"(component
        (import "wasi:io/error@0.3.0" (instance (export "error" (type (sub resource)))))
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    assert_eq!(
        refused(text, 0, "run"),
        format!("imports that this host does not offer: wasi:io/error@0.3.0 error{REMEDY}")
    );
}

#[test]
fn an_import_of_another_type_is_told() {
    let text = r#"(component
        (import "rusm:runtime/actor@0.1.0" (instance
          (export "own-pid" (func (result u32)))))
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    let told = refused(text, 0, "run");
    assert!(told.starts_with("an import does not fit: "), "{told}");
    assert!(told.contains("own-pid") && told.contains("actor"), "{told}");
}

#[test]
fn every_import_of_a_module_that_is_not_offered_is_named() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (import "rusm" "own_pid" (func (result i64)))
        (import "rusm" "monitor" (func (param i64)))
        (import "env" "memory" (memory 1))
        (func (export "run")))"#;
    assert_eq!(
        refused(text, 0, "run"),
        format!("imports that this host does not offer: rusm monitor, env memory{REMEDY}")
    );
}

#[test]
fn what_the_older_spelling_lacks_is_refused_by_name() {
    let text = r#"(component
        (import "rusm:runtime/actor@0.1.0" (instance
          (export "kv-list" (func (param "bucket" string)
            (result (result (list string) (error string)))))
          (export "demonitor" (func (param "target" u64)))
          (export "supervise-all" (func (result u64)))))
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    assert_eq!(
        refused(text, 0, "run"),
        format!(
            "imports that this host does not offer: rusm:runtime/actor@0.1.0 demonitor, \
             rusm:runtime/actor@0.1.0 supervise-all{REMEDY}"
        )
    );
}

#[test]
fn older_and_newer_wasi_versions_fit() {
    for version in ["0.2.0", "0.2.12", "0.2.99"] {
        let text = format!(
            r#"(component
                (import "wasi:cli/environment@{version}" (instance
                  (export "get-arguments" (func (result (list string))))))
                (core module $m (func (export "run")))
                (core instance $i (instantiate $m))
                (func (export "run") (canon lift (core func $i "run"))))"#
        );
        let engine = TestEngine::new();
        assert_eq!(engine.prepare(text).start().resume(), DONE);
    }
}

#[test]
fn what_is_not_wasm_is_refused() {
    does_not_compile(b"");
    does_not_compile(b"(component");
    does_not_compile(b"\0asm");
    does_not_compile(b"\x7fELF and more");
    does_not_compile(&[0xff; 100]);
    let binary = wat_binary(&plain(r#"(func (export "run"))"#));
    for end in [9, binary.len() / 2, binary.len() - 1] {
        does_not_compile(&binary[..end]);
    }
    assert_eq!(TestEngine::new().prepare(&binary).start().resume(), DONE);
}

/// A binary written by hand would be worth nothing here; the crate that Wasmtime uses for text is
/// the one to ask.
fn wat_binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

#[test]
fn artefacts_tell_what_they_are() {
    let engine = TestEngine::new();
    let module = engine
        .artifact(
            r#"(module (func (export "a")) (func (export "b") (param i32))
               (memory (export "memory") 1))"#,
        )
        .unwrap();
    assert_eq!(module.kind(), 1);
    assert!(module.has_function("a"));
    assert!(!module.has_function("b") && !module.has_function("memory"));
    assert!(!module.has_instance("wasi:cli/run@0.2"));
    let component = engine
        .artifact(
            r#"(component
                (core module $m (func (export "run") (result i32) (i32.const 0)))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (export "extra" (func $run))
                (instance $run-instance (export "run" (func $run)))
                (export "wasi:cli/run@0.2.6" (instance $run-instance)))"#,
        )
        .unwrap();
    assert_eq!(component.kind(), 0);
    assert!(component.has_function("extra") && !component.has_function("run"));
    assert!(component.has_instance("wasi:cli/run@0.2"));
    assert!(!component.has_instance("wasi:http/incoming-handler@0.2"));
    let mut command = component.prepare(1, "", ptr::null()).unwrap().start();
    assert_eq!(command.resume(), DONE);
}

/// Each kind of entry, and after the original and its engine are gone.
#[test]
fn a_copy_stands_on_its_own() {
    let component = plain(r#"(func (export "run"))"#);
    let command = r#"(component
        (core module $m (func (export "run") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $run-instance (export "run" (func $run)))
        (export "wasi:cli/run@0.2.6" (instance $run-instance)))"#;
    let module = r#"(module (func (export "start") (unreachable)))"#;
    let cases = [
        (component.as_str(), 0, "run", DONE),
        (command, 1, "", EXITED),
        (module, 0, "start", TRAPPED),
    ];
    for (text, kind, entry, outcome) in cases {
        let other = TestEngine::new();
        let copy = {
            let engine = TestEngine::new();
            let artifact = engine.artifact(text).unwrap();
            let prepared = artifact.prepare(kind, entry, ptr::null()).unwrap();
            prepared.copy(&other).copy(&other)
        };
        assert_eq!(copy.start().resume(), outcome, "{text}");
    }
}

#[test]
fn a_copy_belongs_to_the_other_engine() {
    let (engine, other) = (TestEngine::new(), TestEngine::new());
    let text = plain(r#"(func (export "run") (loop (br 0)))"#);
    let copy = engine.prepare(text).copy(&other);
    let mut guest = copy.start();
    guest.guest().tick = TICK_STOP;
    other.ticking(|| assert_eq!(guest.resume(), TRAPPED));
    assert_eq!(guest.error().0, ERROR_STOPPED);
}

/// What one engine leaves, the other uses; and who shares may outlive whom it shares with.
#[test]
fn engines_that_share_pools_share_their_bounds() {
    let engine = TestEngine::with(|config| config.max_instances = 1);
    let other = TestEngine::with(|config| {
        config.max_instances = 1;
        config.pools_of = engine.raw;
    });
    let text = component(
        r#"(import "host" "receive" (func $receive (param i32)))
           (func (export "run") (call $receive (i32.const 8)))"#,
    );
    let prepared = engine.prepare(text);
    let copy = prepared.copy(&other);
    let mut waits = prepared.start();
    assert_eq!(waits.resume(), PENDING);
    let mut refused = copy.start();
    assert_eq!(refused.resume(), TRAPPED);
    assert_eq!(refused.error().0, ERROR_POOL);
    drop((waits, prepared, engine));
    let mut fits = copy.start();
    assert_eq!(fits.resume(), PENDING);
    assert_eq!(copy.start().resume(), TRAPPED);
}

#[test]
fn pools_of_another_size_are_refused() {
    let engine = TestEngine::new();
    for change in [
        |config: &mut EngineConfig| config.max_memory_bytes = 16 << 20,
        |config: &mut EngineConfig| config.stack_bytes *= 2,
    ] {
        let made = TestEngine::try_with(|config| {
            config.pools_of = engine.raw;
            change(config);
        });
        let (code, text) = made.err().expect("it is refused");
        assert_eq!(code, ECONFIG);
        assert_eq!(text, "pools_of has slots or stacks of another size");
    }
}
