/* SPDX-License-Identifier: MIT */
/* Guests for tests as component text: a frame that imports everything, and a body in core Wasm.
 *
 * The body is the inside of a core module. It may call every host function (layouts below), has the
 * memory of the frame, and must export "run". Helpers of the frame:
 *
 *   $hello            receive the first message, whose 8 bytes are the pid to report to
 *   $say(ptr, len)    send bytes to that pid           $say_u64(value)   8 bytes, little endian
 *   $recv             receive; the message is at $ptr, $len
 *   $recv_within(ms)  1 when there was one
 *   RET (1024)        where results are written that do not fit into a value
 *   DATA (4096)       from here on the body may place its own data; the heap starts at 65,536
 *
 * Results at RET:  spawn, spawn-from, supervise
 *                              0: 0 ok, 1 error    8: pid, or ptr and 12: len of the error
 *                  whereis     0: 1 some           8: pid
 *                  lists       0: ptr, 4: len
 *                  info        0: 1 some  8 pid  16 links  20 monitors  24, 28 names  32 label?
 *                              36, 40 label  44 mailbox-depth  48 trap-exit
 *                  kv          0: 0 ok, 1 error; 4: bool, or option, or ptr (list, error), 8: len
 *                  kv get      0: 0 ok  4: 1 some  8: ptr  12: len
 *                  kv store    as kv (kv-swap, kv-set-for, kv-batch)
 *                  kv-increment 0: 0 ok  8: number, or ptr and 12: len of the error
 *                  kv-keys     0: 0 ok  4: ptr  8: len  12: 1 some  16: ptr  20: len of next */
#ifndef RUSM_TEST_GUEST_WAT_H
#define RUSM_TEST_GUEST_WAT_H

#define WAT_TYPES_ACTOR                                                                            \
    "(import \"rusm:runtime/actor@0.1.0\" (instance $actor"                                        \
    " (type $r (record (field \"pid\" u64) (field \"links\" u32) (field \"monitors\" u32)"         \
    "  (field \"names\" (list string)) (field \"label\" (option string))"                          \
    "  (field \"mailbox-depth\" u32) (field \"trap-exit\" bool)))"                                 \
    " (export \"process-info\" (type $info (eq $r)))"                                              \
    " (export \"own-pid\" (func (result u64)))"                                                    \
    " (export \"spawn\" (func (param \"component\" string) (result (result u64 (error string)))))" \
    " (export \"spawn-from\" (func (param \"component\" string) (param \"source\" string)"         \
    "  (result (result u64 (error string)))))"                                                     \
    " (type $s (enum \"one-for-one\" \"one-for-all\" \"rest-for-one\"))"                           \
    " (export \"supervise-strategy\" (type $strategy (eq $s)))"                                    \
    " (export \"supervise\" (func (param \"strategy\" $strategy)"                                  \
    "  (param \"children\" (list string)) (param \"max-restarts\" u32) (param \"within-ms\" u32)"  \
    "  (result (result u64 (error string)))))"                                                     \
    " (export \"monitor\" (func (param \"target\" u64)))"                                          \
    " (export \"send\" (func (param \"to\" u64) (param \"message\" (list u8))))"                   \
    " (export \"receive\" (func (result (list u8))))"                                              \
    " (export \"receive-timeout\" (func (param \"timeout-ms\" u64) (result (option (list u8)))))"  \
    " (export \"stash\" (func (param \"message\" (list u8))))"                                     \
    " (export \"unstash\" (func))"                                                                 \
    " (export \"list-processes\" (func (result (list u64))))"                                      \
    " (export \"info\" (func (param \"target\" u64) (result (option $info))))"                     \
    " (export \"is-alive\" (func (param \"target\" u64) (result bool)))"                           \
    " (export \"kill\" (func (param \"target\" u64) (result bool)))"                               \
    " (export \"register\" (func (param \"name\" string) (result bool)))"                          \
    " (export \"whereis\" (func (param \"name\" string) (result (option u64))))"                   \
    " (export \"unregister\" (func (param \"name\" string) (result bool)))"                        \
    " (export \"set-label\" (func (param \"label\" string)))"                                      \
    " (export \"send-after\" (func (param \"to\" u64) (param \"delay-ms\" u64)"                    \
    "  (param \"message\" (list u8)) (result u64)))"                                               \
    " (export \"cancel-timer\" (func (param \"timer-ref\" u64) (result bool)))))"

#define WAT_TYPES_STREAMS                                                                          \
    "(import \"rusm:runtime/streams@0.1.0\" (instance $streams"                                    \
    " (export \"stream-open\" (func (param \"to\" u64) (result (option u64))))"                    \
    " (export \"stream-write\" (func (param \"handle\" u64) (param \"chunk\" (list u8))"           \
    "  (result bool)))"                                                                            \
    " (export \"stream-close\" (func (param \"handle\" u64)))"                                     \
    " (export \"stream-accept\" (func (result u64)))"                                              \
    " (export \"stream-read\" (func (param \"handle\" u64) (result (option (list u8)))))))"

#define WAT_TYPES_OTHERS                                                                           \
    "(import \"rusm:runtime/log@0.1.0\" (instance $log"                                            \
    " (type $e (enum \"error\" \"warn\" \"info\" \"debug\"))"                                      \
    " (export \"log-level\" (type $level (eq $e)))"                                                \
    " (export \"log\" (func (param \"level\" $level) (param \"message\" string)))))"               \
    "(import \"rusm:runtime/pg@0.1.0\" (instance $pg"                                              \
    " (export \"register-tag\" (func (param \"tag\" string)))"                                     \
    " (export \"unregister-tag\" (func (param \"tag\" string)))"                                   \
    " (export \"whereis-tag\" (func (param \"tag\" string) (result (list u64))))"                  \
    " (export \"kill-tag\" (func (param \"tag\" string) (result u32)))))"                          \
    "(import \"rusm:runtime/kv@0.1.0\" (instance $kv"                                              \
    " (export \"get\" (func (param \"bucket\" string) (param \"key\" string)"                      \
    "  (result (result (option (list u8)) (error string)))))"                                      \
    " (export \"set\" (func (param \"bucket\" string) (param \"key\" string)"                      \
    "  (param \"value\" (list u8)) (result (result (error string)))))"                             \
    " (export \"delete\" (func (param \"bucket\" string) (param \"key\" string)"                   \
    "  (result (result bool (error string)))))"                                                    \
    " (export \"exists\" (func (param \"bucket\" string) (param \"key\" string)"                   \
    "  (result (result bool (error string)))))"                                                    \
    " (export \"list\" (func (param \"bucket\" string)"                                            \
    "  (result (result (list string) (error string)))))))"

#define WAT_TYPES_STORE                                                                            \
    "(import \"rusm:kv/store@0.1.0\" (instance $store"                                             \
    " (type $c (record (field \"bucket\" string) (field \"key\" string)"                           \
    "  (field \"value\" (option (list u8))) (field \"ttl-ms\" (option u64))))"                     \
    " (export \"change\" (type $change (eq $c)))"                                                  \
    " (type $p (record (field \"keys\" (list string)) (field \"next\" (option string))))"          \
    " (export \"page\" (type $page (eq $p)))"                                                      \
    " (export \"compare-and-set\" (func (param \"bucket\" string) (param \"key\" string)"          \
    "  (param \"expected\" (option (list u8))) (param \"value\" (option (list u8)))"               \
    "  (param \"ttl-ms\" (option u64)) (result (result bool (error string)))))"                    \
    " (export \"increment\" (func (param \"bucket\" string) (param \"key\" string)"                \
    "  (param \"delta\" s64) (result (result s64 (error string)))))"                               \
    " (export \"set-with-ttl\" (func (param \"bucket\" string) (param \"key\" string)"             \
    "  (param \"value\" (list u8)) (param \"ttl-ms\" u64) (result (result (error string)))))"      \
    " (export \"batch\" (func (param \"changes\" (list $change))"                                  \
    "  (result (result (error string)))))"                                                         \
    " (export \"keys\" (func (param \"bucket\" string) (param \"prefix\" string)"                  \
    "  (param \"after\" (option string)) (param \"limit\" u32)"                                    \
    "  (result (result $page (error string)))))))"

/* The memory, and an allocator that only grows until $reset. */
#define WAT_LIBC                                                                                   \
    "(core module $libc (memory (export \"memory\") 2)"                                            \
    " (global $top (mut i32) (i32.const 65536))"                                                   \
    " (func (export \"reset\") (global.set $top (i32.const 65536)))"                               \
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)"             \
    "  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))"         \
    "  (global.set $top (i32.add (local.get $at) (local.get 3)))"                                  \
    "  (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))) (then"           \
    "   (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1)"                            \
    "     (i32.div_u (local.get 3) (i32.const 65536))))) (then unreachable))))"                    \
    "  (local.get $at)))"                                                                          \
    "(core instance $libc (instantiate $libc))"

#define WAT_LOWER(instance, name, id)                                                              \
    "(core func $" id " (canon lower (func $" instance " \"" name                                  \
    "\") (memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))))"

#define WAT_LOWERED                                                                                \
    WAT_LOWER("actor", "own-pid", "own-pid")                                                       \
    WAT_LOWER("actor", "spawn", "spawn")                                                           \
    WAT_LOWER("actor", "monitor", "monitor")                                                       \
    WAT_LOWER("actor", "send", "send")                                                             \
    WAT_LOWER("actor", "receive", "receive")                                                       \
    WAT_LOWER("actor", "receive-timeout", "receive-timeout")                                       \
    WAT_LOWER("actor", "stash", "stash")                                                           \
    WAT_LOWER("actor", "unstash", "unstash")                                                       \
    WAT_LOWER("actor", "list-processes", "list-processes")                                         \
    WAT_LOWER("actor", "info", "info")                                                             \
    WAT_LOWER("actor", "is-alive", "is-alive")                                                     \
    WAT_LOWER("actor", "kill", "kill")                                                             \
    WAT_LOWER("actor", "register", "register")                                                     \
    WAT_LOWER("actor", "whereis", "whereis")                                                       \
    WAT_LOWER("actor", "unregister", "unregister")                                                 \
    WAT_LOWER("actor", "set-label", "set-label")                                                   \
    WAT_LOWER("actor", "send-after", "send-after")                                                 \
    WAT_LOWER("actor", "cancel-timer", "cancel-timer")                                             \
    WAT_LOWER("log", "log", "log")                                                                 \
    WAT_LOWER("pg", "register-tag", "register-tag")                                                \
    WAT_LOWER("pg", "unregister-tag", "unregister-tag")                                            \
    WAT_LOWER("pg", "whereis-tag", "whereis-tag")                                                  \
    WAT_LOWER("pg", "kill-tag", "kill-tag")                                                        \
    WAT_LOWER("kv", "get", "kv-get")                                                               \
    WAT_LOWER("kv", "set", "kv-set")                                                               \
    WAT_LOWER("kv", "delete", "kv-delete")                                                         \
    WAT_LOWER("kv", "exists", "kv-exists")                                                         \
    WAT_LOWER("kv", "list", "kv-list")

#define WAT_LOWERED_STREAMS                                                                        \
    WAT_LOWER("actor", "spawn-from", "spawn-from")                                                 \
    WAT_LOWER("actor", "supervise", "supervise")                                                   \
    WAT_LOWER("streams", "stream-open", "stream-open")                                             \
    WAT_LOWER("streams", "stream-write", "stream-write")                                           \
    WAT_LOWER("streams", "stream-close", "stream-close")                                           \
    WAT_LOWER("streams", "stream-accept", "stream-accept")                                         \
    WAT_LOWER("streams", "stream-read", "stream-read")

#define WAT_LOWERED_STORE                                                                          \
    WAT_LOWER("store", "compare-and-set", "kv-swap")                                               \
    WAT_LOWER("store", "increment", "kv-increment")                                                \
    WAT_LOWER("store", "set-with-ttl", "kv-set-for")                                               \
    WAT_LOWER("store", "batch", "kv-batch")                                                        \
    WAT_LOWER("store", "keys", "kv-keys")

#define WAT_IMPORT(name, type) "(import \"host\" \"" name "\" (func $" name " " type "))"

#define WAT_IMPORTS                                                                                \
    "(import \"libc\" \"memory\" (memory 0)) (import \"libc\" \"reset\" (func "                    \
    "$reset))" WAT_IMPORT("own-pid", "(result i64)") WAT_IMPORT(                                   \
        "spawn", "(param i32 i32 i32)") WAT_IMPORT("monitor", "(param i64)")                       \
        WAT_IMPORT("send", "(param i64 i32 i32)") WAT_IMPORT("receive", "(param i32)") WAT_IMPORT( \
            "receive-timeout", "(param i64 i32)") WAT_IMPORT("stash", "(param i32 i32)")           \
            WAT_IMPORT("unstash", "") WAT_IMPORT("list-processes", "(param i32)") WAT_IMPORT(      \
                "info", "(param i64 i32)") WAT_IMPORT("is-alive", "(param i64) (result i32)")      \
                WAT_IMPORT("kill", "(param i64) (result i32)") WAT_IMPORT(                         \
                    "register", "(param i32 i32) (result i32)") WAT_IMPORT("whereis",              \
                                                                           "(param i32 i32 i32)")  \
                    WAT_IMPORT("unregister", "(param i32 i32) (result i32)") WAT_IMPORT(           \
                        "set-label",                                                               \
                        "(param i32 i32)") WAT_IMPORT("send-after",                                \
                                                      "(param i64 i64 i32 i32) (result i64)")      \
                        WAT_IMPORT("cancel-timer", "(param i64) (result i32)") WAT_IMPORT(         \
                            "log", "(param i32 i32 i32)") WAT_IMPORT("register-tag",               \
                                                                     "(param i32 i32)")            \
                            WAT_IMPORT("unregister-tag", "(param i32 i32)") WAT_IMPORT(            \
                                "whereis-tag", "(param i32 i32 i32)")                              \
                                WAT_IMPORT("kill-tag", "(param i32 i32) (result i32)") WAT_IMPORT( \
                                    "kv-get", "(param i32 i32 i32 i32 i32)")                       \
                                    WAT_IMPORT("kv-set", "(param i32 i32 i32 i32 i32 i32 i32)")    \
                                        WAT_IMPORT("kv-delete", "(param i32 i32 i32 i32 i32)")     \
                                            WAT_IMPORT("kv-exists", "(param i32 i32 i32 i32 i32)") \
                                                WAT_IMPORT("kv-list", "(param i32 i32 i32)")

#define WAT_IMPORTS_STREAMS                                                                        \
    WAT_IMPORT("spawn-from", "(param i32 i32 i32 i32 i32)")                                        \
    WAT_IMPORT("supervise", "(param i32 i32 i32 i32 i32 i32)")                                     \
    WAT_IMPORT("stream-open", "(param i64 i32)")                                                   \
    WAT_IMPORT("stream-write", "(param i64 i32 i32) (result i32)")                                 \
    WAT_IMPORT("stream-close", "(param i64)")                                                      \
    WAT_IMPORT("stream-accept", "(result i64)")                                                    \
    WAT_IMPORT("stream-read", "(param i64 i32)")

#define WAT_IMPORTS_STORE                                                                          \
    WAT_IMPORT("kv-swap", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)")           \
    WAT_IMPORT("kv-increment", "(param i32 i32 i32 i32 i64 i32)")                                  \
    WAT_IMPORT("kv-set-for", "(param i32 i32 i32 i32 i32 i32 i64 i32)")                            \
    WAT_IMPORT("kv-batch", "(param i32 i32 i32)")                                                  \
    WAT_IMPORT("kv-keys", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32)")

#define WAT_HELPERS                                                                                \
    "(global $to (mut i64) (i64.const 0))"                                                         \
    "(global $ptr (mut i32) (i32.const 0)) (global $len (mut i32) (i32.const 0))"                  \
    "(func $recv (call $reset) (call $receive (i32.const 1024))"                                   \
    " (global.set $ptr (i32.load (i32.const 1024)))"                                               \
    " (global.set $len (i32.load (i32.const 1028))))"                                              \
    "(func $recv_within (param i64) (result i32) (call $reset)"                                    \
    " (call $receive-timeout (local.get 0) (i32.const 1024))"                                      \
    " (global.set $ptr (i32.load (i32.const 1028)))"                                               \
    " (global.set $len (i32.load (i32.const 1032)))"                                               \
    " (i32.load8_u (i32.const 1024)))"                                                             \
    "(func $hello (call $recv) (global.set $to (i64.load (global.get $ptr))))"                     \
    "(func $say (param i32 i32) (call $send (global.get $to) (local.get 0) (local.get 1)))"        \
    "(func $say_u64 (param i64) (i64.store (i32.const 2048) (local.get 0))"                        \
    " (call $say (i32.const 2048) (i32.const 8)))"                                                 \
    "(func $say_u32 (param i32) (call $say_u64 (i64.extend_i32_u (local.get 0))))"                 \
    "(func $say_recv (call $recv) (call $say (global.get $ptr) (global.get $len)))" /* what an     \
                                                                                       error of    \
                                                                                       spawn says, \
                                                                                       and an      \
                                                                                       error of kv \
                                                                                     */            \
    "(func $say_spawn_error"                                                                       \
    " (call $say (i32.load (i32.const 1032)) (i32.load (i32.const 1036))))"                        \
    "(func $say_kv_error"                                                                          \
    " (call $say (i32.load (i32.const 1028)) (i32.load (i32.const 1032))))"

/* $open(pid) and $read(id) answer whether there was one; the id is at ID, the chunk at $ptr, $len.
 */
#define WAT_HELPERS_STREAMS                                                                        \
    "(func $open (param i64) (result i32)"                                                         \
    " (call $stream-open (local.get 0) (i32.const 1024)) (i32.load8_u (i32.const 1024)))"          \
    "(func $read (param i64) (result i32) (call $reset)"                                           \
    " (call $stream-read (local.get 0) (i32.const 1024))"                                          \
    " (global.set $ptr (i32.load (i32.const 1028)))"                                               \
    " (global.set $len (i32.load (i32.const 1032)))"                                               \
    " (i32.load8_u (i32.const 1024)))"
#define ID "(i64.load (i32.const 1032))"

#define WAT_GIVE(name) "(export \"" name "\" (func $" name "))"

#define WAT_GIVEN                                                                                  \
    WAT_GIVE("own-pid")                                                                            \
    WAT_GIVE("spawn")                                                                              \
    WAT_GIVE("monitor")                                                                            \
    WAT_GIVE("send")                                                                               \
    WAT_GIVE("receive")                                                                            \
    WAT_GIVE("receive-timeout")                                                                    \
    WAT_GIVE("stash")                                                                              \
    WAT_GIVE("unstash")                                                                            \
    WAT_GIVE("list-processes")                                                                     \
    WAT_GIVE("info")                                                                               \
    WAT_GIVE("is-alive")                                                                           \
    WAT_GIVE("kill")                                                                               \
    WAT_GIVE("register")                                                                           \
    WAT_GIVE("whereis")                                                                            \
    WAT_GIVE("unregister")                                                                         \
    WAT_GIVE("set-label")                                                                          \
    WAT_GIVE("send-after")                                                                         \
    WAT_GIVE("cancel-timer")                                                                       \
    WAT_GIVE("log")                                                                                \
    WAT_GIVE("register-tag")                                                                       \
    WAT_GIVE("unregister-tag")                                                                     \
    WAT_GIVE("whereis-tag")                                                                        \
    WAT_GIVE("kill-tag")                                                                           \
    WAT_GIVE("kv-get")                                                                             \
    WAT_GIVE("kv-set")                                                                             \
    WAT_GIVE("kv-delete")                                                                          \
    WAT_GIVE("kv-exists")                                                                          \
    WAT_GIVE("kv-list")                                                                            \
    WAT_GIVE("spawn-from")                                                                         \
    WAT_GIVE("supervise")                                                                          \
    WAT_GIVE("stream-open")                                                                        \
    WAT_GIVE("stream-write")                                                                       \
    WAT_GIVE("stream-close")                                                                       \
    WAT_GIVE("stream-accept")                                                                      \
    WAT_GIVE("stream-read")

#define WAT_GIVEN_STORE                                                                            \
    WAT_GIVE("kv-swap")                                                                            \
    WAT_GIVE("kv-increment") WAT_GIVE("kv-set-for") WAT_GIVE("kv-batch") WAT_GIVE("kv-keys")

/* A component is made of these parts, with the body in the gap. (One literal would be longer than C
 * compilers have to take.) */
static const char *const guest_before[] = {"(component ",       WAT_TYPES_ACTOR,
                                           WAT_TYPES_STREAMS,   WAT_TYPES_OTHERS,
                                           WAT_TYPES_STORE,     WAT_LIBC,
                                           WAT_LOWERED,         WAT_LOWERED_STREAMS,
                                           WAT_LOWERED_STORE,   "(core module $main ",
                                           WAT_IMPORTS,         WAT_IMPORTS_STREAMS,
                                           WAT_IMPORTS_STORE,   WAT_HELPERS,
                                           WAT_HELPERS_STREAMS, NULL};
static const char *const guest_after[] = {
    ")"
    "(core instance $main (instantiate $main (with \"libc\" (instance $libc))"
    " (with \"host\" (instance ",
    WAT_GIVEN, WAT_GIVEN_STORE,
    "))))"
    "(func (export \"run\") (canon lift (core func $main \"run\"))))",
    NULL};

/* A body with only statements in run, and data of a body. */
#define RUN(statements) "(func (export \"run\") " statements ")"
#define DATA(at, text)  "(data (i32.const " #at ") \"" text "\")"

#endif
