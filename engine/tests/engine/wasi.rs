// SPDX-License-Identifier: MIT
//! WASI 0.2: commands and their status, waits that wake, and nothing without a grant.

use std::ptr;

use super::fake::*;
use rusm_engine::*;

/// A command around a core module that exports `run` with 0 for ok and 1 for an error. `imports`
/// are instances, `lowered` core functions, `given` what the module imports from "host".
fn command(imports: &str, lowered: &str, given: &str, main: &str) -> String {
    format!(
        r#"(component
            {imports}
            (core module $libc-code
              (memory (export "memory") 1)
              (global $next (mut i32) (i32.const 4096))
              (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at)))
            (core instance $libc (instantiate $libc-code))
            {lowered}
            (core module $main-code {main})
            (core instance $main (instantiate $main-code
              (with "libc" (instance $libc)) (with "host" (instance {given}))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $run-instance (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $run-instance)))"#
    )
}

fn prepare(engine: &TestEngine, text: &str, wasi: *const Grants) -> TestPrepared {
    engine
        .artifact(text)
        .expect("it compiles")
        .prepare(1, "", wasi)
        .expect("it can be prepared")
}

/// Resume until it has ended, waiting for wakes.
fn run(engine: &TestEngine, guest: &mut TestInstance) -> i32 {
    loop {
        match guest.resume() {
            PENDING => engine.wakes.take(42),
            outcome => return outcome,
        }
    }
}

#[test]
fn the_result_of_run_is_the_status() {
    let engine = TestEngine::new();
    for (result, outcome, status) in [(0, DONE, 0), (1, EXITED, 1)] {
        let main = format!(r#"(func (export "run") (result i32) (i32.const {result}))"#);
        let mut guest = prepare(&engine, &command("", "", "", &main), ptr::null()).start();
        assert_eq!(guest.resume(), outcome);
        assert_eq!(guest.exit_status(), status);
    }
}

#[test]
fn exit_ends_a_guest_from_anywhere() {
    let engine = TestEngine::new();
    let imports = r#"(import "wasi:cli/exit@0.2.0" (instance $exit
        (export "exit" (func (param "status" (result))))))"#;
    let lowered = r#"(core func $exit (canon lower (func $exit "exit")))"#;
    for status in [0, 1] {
        let main = format!(
            r#"(import "host" "exit" (func $exit (param i32)))
               (func (export "run") (result i32) (call $exit (i32.const {status})) unreachable)"#
        );
        let text = command(imports, lowered, r#"(export "exit" (func $exit))"#, &main);
        let mut guest = prepare(&engine, &text, ptr::null()).start();
        assert_eq!(guest.resume(), EXITED, "{:?}", guest.error());
        assert_eq!(guest.exit_status(), status);
    }
}

#[test]
fn exit_with_a_code_keeps_the_code() {
    let engine = TestEngine::new();
    let imports = r#"(import "wasi:cli/exit@0.2.12" (instance $exit
        (export "exit-with-code" (func (param "status-code" u8)))))"#;
    let lowered = r#"(core func $exit (canon lower (func $exit "exit-with-code")))"#;
    let main = r#"(import "host" "exit" (func $exit (param i32)))
        (func (export "run") (result i32) (call $exit (i32.const 42)) unreachable)"#;
    let text = command(imports, lowered, r#"(export "exit" (func $exit))"#, main);
    let mut guest = prepare(&engine, &text, ptr::null()).start();
    assert_eq!(guest.resume(), EXITED, "{:?}", guest.error());
    assert_eq!(guest.exit_status(), 42);
}

/// Sleeps for the given nanoseconds.
fn sleeper(ns: u64) -> String {
    let imports = r#"
        (import "wasi:io/poll@0.2.0" (instance $poll
          (export "pollable" (type $pollable (sub resource)))
          (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
          (alias outer 1 $pollable (type $p))
          (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#;
    let lowered = r#"
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core func $block (canon lower (func $poll "[method]pollable.block")))"#;
    let given = r#"(export "subscribe" (func $subscribe)) (export "block" (func $block))"#;
    let main = format!(
        r#"(import "host" "subscribe" (func $subscribe (param i64) (result i32)))
           (import "host" "block" (func $block (param i32)))
           (func (export "run") (result i32)
             (call $block (call $subscribe (i64.const {ns})))
             (i32.const 0))"#
    );
    command(imports, lowered, given, &main)
}

#[test]
fn a_wait_inside_wasi_wakes_the_process() {
    let engine = TestEngine::new();
    let mut guest = prepare(&engine, &sleeper(20_000_000), ptr::null()).start();
    assert_eq!(guest.resume(), PENDING, "{:?}", guest.error());
    // Resumed for another reason, it waits on.
    let again = guest.resume();
    assert!(again == PENDING || again == DONE);
    assert_eq!(run(&engine, &mut guest), DONE, "{:?}", guest.error());
}

#[test]
fn stopped_while_it_waits_inside_wasi() {
    let engine = TestEngine::new();
    let prepared = prepare(&engine, &sleeper(3_600_000_000_000), ptr::null());
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    guest.stop();
    assert_eq!(guest.resume(), TRAPPED);
    assert_eq!(guest.error().0, ERROR_STOPPED);
    let mut dropped = prepared.start();
    assert_eq!(dropped.resume(), PENDING);
    drop(dropped);
}

#[test]
fn no_wake_reaches_a_runtime_whose_engine_is_gone() {
    let engine = TestEngine::new();
    let prepared = prepare(&engine, &sleeper(30_000_000), ptr::null());
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), PENDING);
    drop(guest);
    drop(prepared);
    // The engine goes before its Wakes; a late wake would write into freed memory.
    drop(engine);
    std::thread::sleep(std::time::Duration::from_millis(60));
}

const ENVIRONMENT: (&str, &str) = (
    r#"(import "wasi:cli/environment@0.2.0" (instance $environment
         (export "get-arguments" (func (result (list string))))
         (export "get-environment" (func (result (list (tuple string string)))))))"#,
    r#"(core func $arguments (canon lower (func $environment "get-arguments")
         (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
       (core func $environment (canon lower (func $environment "get-environment")
         (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#,
);

/// Fails unless it sees so many arguments and variables.
fn environment(arguments: u32, variables: u32) -> String {
    let given =
        r#"(export "arguments" (func $arguments)) (export "environment" (func $environment))"#;
    let main = format!(
        r#"(import "host" "arguments" (func $arguments (param i32)))
           (import "host" "environment" (func $environment (param i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run") (result i32)
             (call $arguments (i32.const 16))
             (call $environment (i32.const 32))
             (i32.or
               (i32.ne (i32.load (i32.const 20)) (i32.const {arguments}))
               (i32.ne (i32.load (i32.const 36)) (i32.const {variables}))))"#
    );
    command(ENVIRONMENT.0, ENVIRONMENT.1, given, &main)
}

#[test]
fn the_environment_is_what_was_granted() {
    let engine = TestEngine::new();
    let mut guest = prepare(&engine, &environment(0, 0), ptr::null()).start();
    assert_eq!(guest.resume(), DONE);
    // SAFETY: the border is called as its header says.
    unsafe {
        let wasi = rusm_engine_wasi_new();
        assert_eq!(rusm_engine_wasi_add_arg(wasi, c"one".as_ptr()), 0);
        assert_eq!(rusm_engine_wasi_add_arg(wasi, c"two".as_ptr()), 0);
        assert_eq!(
            rusm_engine_wasi_add_env(wasi, c"A".as_ptr(), c"1".as_ptr()),
            0
        );
        assert_eq!(
            rusm_engine_wasi_add_env(wasi, c"A".as_ptr(), ptr::null()),
            -2
        );
        let bad = c"\xff";
        assert_eq!(
            rusm_engine_wasi_add_env(wasi, bad.as_ptr(), c"1".as_ptr()),
            -2
        );
        let prepared = prepare(&engine, &environment(2, 1), wasi);
        rusm_engine_wasi_free(wasi);
        for _ in 0..2 {
            assert_eq!(prepared.start().resume(), DONE);
        }
    }
}

/// Fails unless it sees so many preopened folders.
fn folders(count: u32) -> String {
    let imports = r#"
        (import "wasi:filesystem/types@0.2.0" (instance $types
          (export "descriptor" (type (sub resource)))))
        (alias export $types "descriptor" (type $descriptor))
        (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
          (alias outer 1 $descriptor (type $d))
          (export "get-directories" (func (result (list (tuple (own $d) string)))))))"#;
    let lowered = r#"(core func $get (canon lower (func $preopens "get-directories")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#;
    let main = format!(
        r#"(import "host" "get" (func $get (param i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run") (result i32)
             (call $get (i32.const 16))
             (i32.ne (i32.load (i32.const 20)) (i32.const {count})))"#
    );
    command(imports, lowered, r#"(export "get" (func $get))"#, &main)
}

#[test]
fn a_folder_that_is_missing_ends_the_guest_that_asks() {
    let engine = TestEngine::new();
    // SAFETY: the border is called as its header says.
    let prepared = unsafe {
        let wasi = rusm_engine_wasi_new();
        let missing = c"/there/is/no/such/folder";
        let added = rusm_engine_wasi_add_preopen(wasi, missing.as_ptr(), c"/".as_ptr(), 1);
        assert_eq!(added, 0);
        let prepared = prepare(&engine, &folders(1), wasi);
        rusm_engine_wasi_free(wasi);
        prepared
    };
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    let (_, text, _) = guest.error();
    assert!(
        text.contains("/there/is/no/such/folder cannot be opened"),
        "{text}"
    );
}

#[test]
fn folders_are_what_was_granted() {
    let engine = TestEngine::new();
    assert_eq!(
        prepare(&engine, &folders(0), ptr::null()).start().resume(),
        DONE
    );
    let folder = std::env::temp_dir().join(format!("rusm-engine-{}-folder", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = std::ffi::CString::new(folder.to_str().unwrap()).unwrap();
    // SAFETY: the border is called as its header says.
    let prepared = unsafe {
        let wasi = rusm_engine_wasi_new();
        assert_eq!(
            rusm_engine_wasi_add_preopen(wasi, path.as_ptr(), c"/data".as_ptr(), 1),
            0
        );
        let prepared = prepare(&engine, &folders(1), wasi);
        rusm_engine_wasi_free(wasi);
        prepared
    };
    assert_eq!(prepared.start().resume(), DONE);
    // A folder that has gone since: the guest gets nothing and hears why.
    std::fs::remove_dir(&folder).unwrap();
    let mut guest = prepared.start();
    assert_eq!(guest.resume(), TRAPPED);
    let (kind, cause, _) = guest.error();
    assert_eq!(kind, ERROR_HOST);
    assert!(cause.contains("-folder cannot be opened"), "{cause}");
}

/// Fails unless creating a TCP socket is refused (or granted) as `refused` says.
fn socket(refused: u32) -> String {
    let imports = r#"
        (import "wasi:sockets/network@0.2.0" (instance $network
          (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument"
            "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block"
            "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
            "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
            "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
            "permanent-resolver-failure"))
          (export "error-code" (type (eq $codes)))
          (type $families (enum "ipv4" "ipv6"))
          (export "ip-address-family" (type (eq $families)))))
        (alias export $network "error-code" (type $error-code))
        (alias export $network "ip-address-family" (type $family))
        (import "wasi:sockets/tcp@0.2.0" (instance $tcp
          (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $tcp-socket))
        (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
          (alias outer 1 $error-code (type $e)) (export "error-code" (type $error (eq $e)))
          (alias outer 1 $family (type $f)) (export "ip-address-family" (type $fam (eq $f)))
          (alias outer 1 $tcp-socket (type $t)) (export "tcp-socket" (type $sock (eq $t)))
          (export "create-tcp-socket" (func (param "address-family" $fam)
            (result (result (own $sock) (error $error)))))))"#;
    let lowered = r#"(core func $create (canon lower (func $create "create-tcp-socket")
        (memory (core memory $libc "memory"))))"#;
    let main = format!(
        r#"(import "host" "create" (func $create (param i32 i32)))
           (import "libc" "memory" (memory 1))
           (func (export "run") (result i32)
             (call $create (i32.const 0) (i32.const 16))
             (i32.ne (i32.load8_u (i32.const 16)) (i32.const {refused})))"#
    );
    command(
        imports,
        lowered,
        r#"(export "create" (func $create))"#,
        &main,
    )
}

#[test]
fn sockets_need_a_grant() {
    let engine = TestEngine::new();
    let mut guest = prepare(&engine, &socket(1), ptr::null()).start();
    assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    // SAFETY: the border is called as its header says.
    unsafe {
        let wasi = rusm_engine_wasi_new();
        rusm_engine_wasi_allow_network(wasi);
        let mut guest = prepare(&engine, &socket(0), wasi).start();
        rusm_engine_wasi_free(wasi);
        assert_eq!(guest.resume(), DONE, "{:?}", guest.error());
    }
}

#[test]
fn output_without_a_grant_goes_nowhere() {
    let engine = TestEngine::new();
    let imports = r#"
        (import "wasi:io/streams@0.2.0" (instance $streams
          (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $output))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
          (alias outer 1 $output (type $o))
          (export "get-stdout" (func (result (own $o))))))"#;
    let lowered = r#"(core func $get (canon lower (func $stdout "get-stdout")))"#;
    let main = r#"(import "host" "get" (func $get (result i32)))
        (func (export "run") (result i32) (drop (call $get)) (i32.const 0))"#;
    let text = command(imports, lowered, r#"(export "get" (func $get))"#, main);
    assert_eq!(prepare(&engine, &text, ptr::null()).start().resume(), DONE);
}
