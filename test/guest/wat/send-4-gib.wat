;; SPDX-License-Identifier: MIT
;; The same with the largest length there is.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "send" (func (param "to" u64) (param "message" (list u8))))
    (export "own-pid" (func (result u64)))))
  (core module $memory
    (memory (export "memory") 1)
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
    (func (export "run")
      (call $send (call $own-pid) (i32.const 16) (i32.const -1))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "send" (func $send))
      (export "own-pid" (func $own-pid))))))
  (func (export "run") (canon lift (core func $main "run"))))
