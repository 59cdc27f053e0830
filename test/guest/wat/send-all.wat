;; SPDX-License-Identifier: MIT
;; Sends all of its memory (12 MiB) to itself again and again. The host must bound what it holds
;; for that: either the message is over the limit or the mailbox is.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "send" (func (param "to" u64) (param "message" (list u8))))
    (export "own-pid" (func (result u64)))))
  (core module $memory
    (memory (export "memory") 192)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $send (canon lower (func $actor "send") (memory $mem) (realloc $realloc)))
  (core func $own-pid (canon lower (func $actor "own-pid") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "send" (func $send (param i64 i32 i32)))
    (import "host" "own-pid" (func $own-pid (result i64)))
    (func (export "run") (local $turns i32)
      (loop $again
        (call $send (call $own-pid) (i32.const 0) (i32.mul (memory.size) (i32.const 65536)))
        (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $turns) (i32.const 200))))
      unreachable))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "send" (func $send))
      (export "own-pid" (func $own-pid))))))
  (func (export "run") (canon lift (core func $main "run"))))
