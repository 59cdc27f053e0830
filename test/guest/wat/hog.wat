;; SPDX-License-Identifier: MIT
;; Takes all the memory that it can get, touches every page, and keeps it while it waits for
;; ever.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "receive" (func (result (list u8))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $receive (canon lower (func $actor "receive") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "receive" (func $receive (param i32)))
    (func (export "run") (local $page i32)
      (loop $again
        (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (loop $touch
        (i32.store (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
        (local.set $page (i32.add (local.get $page) (i32.const 1)))
        (br_if $touch (i32.lt_u (local.get $page) (memory.size))))
      (loop $wait
        (call $receive (i32.const 0))
        br $wait)))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "receive" (func $receive))))))
  (func (export "run") (canon lift (core func $main "run"))))
