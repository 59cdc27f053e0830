// SPDX-License-Identifier: MIT
//! Components as text around a core module that the test writes.

/// The functions of `rusm:runtime`, as WIT types in text form: interface, name, name in the older
/// spelling, parameters and result.
const FUNCTIONS: &[(&str, &str, &str, &str)] = &[
    ("actor", "own-pid", "own-pid", "(result u64)"),
    (
        "actor",
        "spawn",
        "spawn",
        r#"(param "component" string) (result (result u64 (error string)))"#,
    ),
    (
        "actor",
        "spawn-from",
        "spawn-from",
        r#"(param "component" string) (param "source" string)
           (result (result u64 (error string)))"#,
    ),
    (
        "actor",
        "supervise",
        "supervise",
        r#"(param "strategy" $supervise-strategy) (param "children" (list string))
           (param "max-restarts" u32) (param "within-ms" u32) (result (result u64 (error string)))"#,
    ),
    ("actor", "monitor", "monitor", r#"(param "target" u64)"#),
    (
        "actor",
        "send",
        "send",
        r#"(param "to" u64) (param "message" (list u8))"#,
    ),
    ("actor", "receive", "receive", "(result (list u8))"),
    (
        "actor",
        "receive-timeout",
        "receive-timeout",
        r#"(param "timeout-ms" u64) (result (option (list u8)))"#,
    ),
    ("actor", "stash", "stash", r#"(param "message" (list u8))"#),
    ("actor", "unstash", "unstash", ""),
    (
        "actor",
        "list-processes",
        "list-processes",
        "(result (list u64))",
    ),
    (
        "actor",
        "info",
        "info",
        r#"(param "target" u64) (result (option $process-info))"#,
    ),
    (
        "actor",
        "is-alive",
        "is-alive",
        r#"(param "target" u64) (result bool)"#,
    ),
    (
        "actor",
        "kill",
        "kill",
        r#"(param "target" u64) (result bool)"#,
    ),
    (
        "actor",
        "register",
        "register",
        r#"(param "name" string) (result bool)"#,
    ),
    (
        "actor",
        "whereis",
        "whereis",
        r#"(param "name" string) (result (option u64))"#,
    ),
    (
        "actor",
        "unregister",
        "unregister",
        r#"(param "name" string) (result bool)"#,
    ),
    (
        "actor",
        "set-label",
        "set-label",
        r#"(param "label" string)"#,
    ),
    (
        "actor",
        "send-after",
        "send-after",
        r#"(param "to" u64) (param "delay-ms" u64) (param "message" (list u8)) (result u64)"#,
    ),
    (
        "actor",
        "cancel-timer",
        "cancel-timer",
        r#"(param "timer-ref" u64) (result bool)"#,
    ),
    (
        "kv",
        "get",
        "kv-get",
        r#"(param "bucket" string) (param "key" string)
           (result (result (option (list u8)) (error string)))"#,
    ),
    (
        "kv",
        "set",
        "kv-set",
        r#"(param "bucket" string) (param "key" string) (param "value" (list u8))
           (result (result (error string)))"#,
    ),
    (
        "kv",
        "delete",
        "kv-delete",
        r#"(param "bucket" string) (param "key" string) (result (result bool (error string)))"#,
    ),
    (
        "kv",
        "exists",
        "kv-exists",
        r#"(param "bucket" string) (param "key" string) (result (result bool (error string)))"#,
    ),
    (
        "kv",
        "list",
        "kv-list",
        r#"(param "bucket" string) (result (result (list string) (error string)))"#,
    ),
    (
        "log",
        "log",
        "log",
        r#"(param "level" $log-level) (param "message" string)"#,
    ),
    (
        "pg",
        "register-tag",
        "register-tag",
        r#"(param "tag" string)"#,
    ),
    (
        "pg",
        "unregister-tag",
        "unregister-tag",
        r#"(param "tag" string)"#,
    ),
    (
        "pg",
        "whereis-tag",
        "whereis-tag",
        r#"(param "tag" string) (result (list u64))"#,
    ),
    (
        "pg",
        "kill-tag",
        "kill-tag",
        r#"(param "tag" string) (result u32)"#,
    ),
    (
        "streams",
        "stream-open",
        "stream-open",
        r#"(param "to" u64) (result (option u64))"#,
    ),
    (
        "streams",
        "stream-write",
        "stream-write",
        r#"(param "handle" u64) (param "chunk" (list u8)) (result bool)"#,
    ),
    (
        "streams",
        "stream-close",
        "stream-close",
        r#"(param "handle" u64)"#,
    ),
    ("streams", "stream-accept", "stream-accept", "(result u64)"),
    (
        "streams",
        "stream-read",
        "stream-read",
        r#"(param "handle" u64) (result (option (list u8)))"#,
    ),
    (
        "serve",
        "connection",
        "connection",
        "(result (option $connection-info))",
    ),
];

const TYPES: &[(&str, &str, &str)] = &[
    (
        "actor",
        "process-info",
        r#"(record (field "pid" u64) (field "links" u32) (field "monitors" u32)
            (field "names" (list string)) (field "label" (option string))
            (field "mailbox-depth" u32) (field "trap-exit" bool))"#,
    ),
    (
        "actor",
        "supervise-strategy",
        r#"(enum "one-for-one" "one-for-all" "rest-for-one")"#,
    ),
    (
        "log",
        "log-level",
        r#"(enum "error" "warn" "info" "debug")"#,
    ),
    (
        "serve",
        "connection-info",
        r#"(record (field "method" string) (field "path" string) (field "query" string)
            (field "params" (list (tuple string string)))
            (field "headers" (list (tuple string string)))
            (field "remote-addr" string) (field "subprotocol" (option string)))"#,
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// An interface for each subject.
    Split,
    /// Everything in `actor`.
    Older,
}

fn import(interface: &str, members: &str) -> String {
    format!(r#"(import "rusm:runtime/{interface}@0.1.0" (instance ${interface} {members}))"#)
}

fn members(interface: &str, spelling: Spelling) -> String {
    let older = spelling == Spelling::Older;
    let wanted = |of: &str| older || of == interface;
    let mut text = String::new();
    for (of, name, ty) in TYPES.iter().filter(|ty| wanted(ty.0)) {
        let _ = of;
        text += &format!(
            r#"(type $raw-{name} {ty}) (export "{name}" (type ${name} (eq $raw-{name})))"#
        );
    }
    for (_, split, old, ty) in FUNCTIONS.iter().filter(|function| wanted(function.0)) {
        let name = if older { old } else { split };
        text += &format!(r#"(export "{name}" (func {ty}))"#);
    }
    text
}

/// An allocator that only goes forward, and a memory that starts at one page.
const LIBC: &str = r#"
  (core module $libc-code
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 32768))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (if (i32.eq (i32.const -1) (memory.grow (i32.const 16))) (then unreachable))))
      (local.get $at)))
  (core instance $libc (instantiate $libc-code))"#;

/// A component that imports everything that is offered. `main` is the body of its core module,
/// which imports what it needs from "host" (in the split spelling, kv as `kv-get` and so on) and
/// the memory from "libc". It exports `run`.
pub fn component(main: &str) -> String {
    component_in(Spelling::Split, main)
}

pub fn component_in(spelling: Spelling, main: &str) -> String {
    let interfaces: &[&str] = match spelling {
        Spelling::Split => &["actor", "kv", "log", "pg", "serve", "streams"],
        Spelling::Older => &["actor"],
    };
    let mut imports = String::new();
    for interface in interfaces {
        imports += &import(interface, &members(interface, spelling));
    }
    let (mut lowered, mut given) = (String::new(), String::new());
    for (interface, split, old, _) in FUNCTIONS {
        let (instance, name) = match spelling {
            Spelling::Split => (*interface, split),
            Spelling::Older => ("actor", old),
        };
        lowered += &format!(
            r#"(core func ${old} (canon lower (func ${instance} "{name}")
                 (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#
        );
        given += &format!(r#"(export "{old}" (func ${old}))"#);
    }
    format!(
        r#"(component {imports} {LIBC} {lowered}
             (core module $main-code {main})
             (core instance $main (instantiate $main-code
               (with "libc" (instance $libc)) (with "host" (instance {given}))))
             (func (export "run") (canon lift (core func $main "run"))))"#
    )
}

/// A component without imports.
pub fn plain(main: &str) -> String {
    format!(
        r#"(component
             (core module $main-code {main})
             (core instance $main (instantiate $main-code))
             (func (export "run") (canon lift (core func $main "run"))))"#
    )
}
