/* SPDX-License-Identifier: MIT */
/* A guest that does what it is told: its second message is a script, a row of calls of host
 * functions with arguments that are not looked at. So hostile calls can be made up by a test, or
 * drawn at random, without a guest for each.
 *
 * A script is an array of `struct call`. Numbers that a host function takes as 32 bits are cut.
 * Where a function takes text or bytes, the arguments are pointer and length in the guest's memory;
 * "name" is at TEXT, invalid UTF-8 at BAD_TEXT. What a function writes goes to `d`, which is RET in
 * a script that means well. When it is through, the guest says so and ends. */
#ifndef RUSM_TEST_SCRIPT_H
#define RUSM_TEST_SCRIPT_H

#include <stdint.h>

/* One word, the name of its number, and the code with the arguments $a to $d (i64) and $w to $z
 * (their low 32 bits). */
#define SCRIPT_CALLS(X)                                                                            \
    X(OWN_PID, 0, "(drop (call $own-pid))")                                                        \
    X(SPAWN, 1, "(call $spawn (local.get $w) (local.get $x) (local.get $z))")                      \
    X(MONITOR, 2, "(call $monitor (local.get $a))")                                                \
    X(SEND, 3, "(call $send (local.get $a) (local.get $x) (local.get $y))")                        \
    X(RECEIVE_TIMEOUT, 4, "(call $receive-timeout (local.get $a) (local.get $z))")                 \
    X(STASH, 5, "(call $stash (local.get $w) (local.get $x))")                                     \
    X(UNSTASH, 6, "(call $unstash)")                                                               \
    X(LIST, 7, "(call $list-processes (local.get $z))")                                            \
    X(INFO, 8, "(call $info (local.get $a) (local.get $z))")                                       \
    X(IS_ALIVE, 9, "(drop (call $is-alive (local.get $a)))")                                       \
    X(KILL, 10, "(drop (call $kill (local.get $a)))")                                              \
    X(REGISTER, 11, "(drop (call $register (local.get $w) (local.get $x)))")                       \
    X(WHEREIS, 12, "(call $whereis (local.get $w) (local.get $x) (local.get $z))")                 \
    X(UNREGISTER, 13, "(drop (call $unregister (local.get $w) (local.get $x)))")                   \
    X(SET_LABEL, 14, "(call $set-label (local.get $w) (local.get $x))")                            \
    X(SEND_AFTER, 15,                                                                              \
      "(drop (call $send-after (local.get $a) (local.get $b) (local.get $y)"                       \
      " (local.get $z)))")                                                                         \
    X(CANCEL_TIMER, 16, "(drop (call $cancel-timer (local.get $a)))")                              \
    X(LOG, 17, "(call $log (local.get $w) (local.get $x) (local.get $y))")                         \
    X(REGISTER_TAG, 18, "(call $register-tag (local.get $w) (local.get $x))")                      \
    X(UNREGISTER_TAG, 19, "(call $unregister-tag (local.get $w) (local.get $x))")                  \
    X(WHEREIS_TAG, 20, "(call $whereis-tag (local.get $w) (local.get $x) (local.get $z))")         \
    X(KILL_TAG, 21, "(drop (call $kill-tag (local.get $w) (local.get $x)))")                       \
    X(KV_GET, 22,                                                                                  \
      "(call $kv-get (local.get $w) (local.get $x) (local.get $w) (local.get $y)"                  \
      " (local.get $z))")                                                                          \
    X(KV_SET, 23,                                                                                  \
      "(call $kv-set (local.get $w) (local.get $x) (local.get $w) (local.get $x)"                  \
      " (local.get $w) (local.get $y) (local.get $z))")                                            \
    X(KV_DELETE, 24,                                                                               \
      "(call $kv-delete (local.get $w) (local.get $x) (local.get $w)"                              \
      " (local.get $y) (local.get $z))")                                                           \
    X(KV_EXISTS, 25,                                                                               \
      "(call $kv-exists (local.get $w) (local.get $x) (local.get $w)"                              \
      " (local.get $y) (local.get $z))")                                                           \
    X(KV_LIST, 26, "(call $kv-list (local.get $w) (local.get $x) (local.get $z))")                 \
    X(SUPERVISE, 27,                                                                               \
      "(call $supervise (i32.const 0) (local.get $w) (local.get $x)"                               \
      " (local.get $y) (i32.const 1) (local.get $z))")                                             \
    X(STREAM_OPEN, 28, "(call $stream-open (local.get $a) (local.get $z))")                        \
    X(STREAM_WRITE, 29,                                                                            \
      "(drop (call $stream-write (local.get $a) (local.get $x)"                                    \
      " (local.get $y)))")                                                                         \
    X(STREAM_CLOSE, 30, "(call $stream-close (local.get $a))")                                     \
    X(STREAM_ACCEPT, 31, "(drop (call $stream-accept))")                                           \
    X(STREAM_READ, 32, "(call $stream-read (local.get $a) (local.get $z))")                        \
    X(KV_INCREMENT, 37,                                                                            \
      "(call $kv-increment (local.get $w) (local.get $x) (local.get $w)"                           \
      " (local.get $y) (local.get $b) (local.get $z))")                                            \
    X(KV_SET_FOR, 38,                                                                              \
      "(call $kv-set-for (local.get $w) (local.get $x) (local.get $w)"                             \
      " (local.get $x) (local.get $w) (local.get $y) (local.get $c)"                               \
      " (local.get $z))")                                                                          \
    X(KV_BATCH, 39, "(call $kv-batch (local.get $w) (local.get $x) (local.get $z))")               \
    X(GROW, 33, "(drop (memory.grow (local.get $w)))")                                             \
    X(RESET, 34, "(call $reset)")                                                                  \
    X(DEEP, 35, "(call $deep (local.get $w)) (br $over)")                                          \
    X(REPEAT, 36,                                                                                  \
      "(if (i64.gt_u (local.get $a) (global.get $turns)) (then"                                    \
      " (global.set $turns (i64.add (global.get $turns) (i64.const 1)))"                           \
      " (global.set $at (i32.sub (global.get $at) (i32.const 80)))))")

enum script_call {
#define X(name, number, code) CALL_##name = (number),
    SCRIPT_CALLS(X)
#undef X
        CALL_LAST = 40
};

struct call {
    uint64_t number; /* enum script_call; others do nothing */
    uint64_t a, b, c, d;
};

#define SCRIPT_RET      1024u
#define SCRIPT_TEXT     4096u
#define SCRIPT_BAD_TEXT 4104u
#define SCRIPT_BYTES    49152u /* that a script may have; it is kept at 8192 */

/* $over is the end of the script, $next the next call. $deep goes down so many frames and does the
 * rest of the script there. In parts: one literal would be longer than compilers have to take. */
#define X(name, number, code)                                                                      \
    "(if (i32.eq (local.get $n) (i32.const " #number ")) (then " code " (br $next)))",
static const char *const script_guest[] = {
    "(global $at (mut i32) (i32.const 0)) (global $end (mut i32) (i32.const 0))"
    "(global $turns (mut i64) (i64.const 0))"
    "(func $work (local $n i32) (local $a i64) (local $b i64) (local $c i64) (local $d i64)"
    " (local $w i32) (local $x i32) (local $y i32) (local $z i32)"
    " (block $over (loop $next"
    "  (br_if $over (i32.ge_u (global.get $at) (global.get $end)))"
    "  (local.set $n (i32.wrap_i64 (i64.load (global.get $at))))"
    "  (local.set $a (i64.load offset=8 (global.get $at)))"
    "  (local.set $b (i64.load offset=16 (global.get $at)))"
    "  (local.set $c (i64.load offset=24 (global.get $at)))"
    "  (local.set $d (i64.load offset=32 (global.get $at)))"
    "  (local.set $w (i32.wrap_i64 (local.get $a))) (local.set $x (i32.wrap_i64 (local.get $b)))"
    "  (local.set $y (i32.wrap_i64 (local.get $c))) (local.set $z (i32.wrap_i64 (local.get $d)))"
    "  (global.set $at (i32.add (global.get $at) (i32.const 40)))",
    SCRIPT_CALLS(X) /* each is a part */
    "  (br $next))))"
    "(func $deep (param i32) (if (local.get 0)"
    " (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $work))))"
    "(func (export \"run\") (call $hello) (call $recv)"
    " (memory.copy (i32.const 8192) (global.get $ptr) (global.get $len))"
    " (global.set $at (i32.const 8192))"
    " (global.set $end (i32.add (i32.const 8192) (global.get $len)))"
    " (call $work) (call $say_u64 (i64.const 1)))"
    "(data (i32.const 4096) \"name\\00\\00\\00\\00\\ff\\fe\\c0\\80\\ed\\a0\\80\\f5\")",
    NULL};
#undef X

#endif
