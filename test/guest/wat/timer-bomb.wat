;; SPDX-License-Identifier: MIT
;; Arms timers for the far future without end. The number of timers of a process is bounded; the
;; one beyond it traps.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "send-after" (func (param "to" u64) (param "delay-ms" u64)
      (param "message" (list u8)) (result u64)))
    (export "own-pid" (func (result u64)))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $send-after (canon lower (func $actor "send-after") (memory $mem) (realloc $realloc)))
  (core func $own-pid (canon lower (func $actor "own-pid") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "send-after" (func $send-after (param i64 i64 i32 i32) (result i64)))
    (import "host" "own-pid" (func $own-pid (result i64)))
    (func (export "run")
      (loop $again
        (drop (call $send-after (call $own-pid) (i64.const -1) (i32.const 0) (i32.const 1024)))
        br $again)))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "send-after" (func $send-after))
      (export "own-pid" (func $own-pid))))))
  (func (export "run") (canon lift (core func $main "run"))))
