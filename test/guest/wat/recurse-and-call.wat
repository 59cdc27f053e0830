;; SPDX-License-Identifier: MIT
;; Calls the host at every level of a recursion that uses the stack up, so that a host call
;; happens with little of it left: a trap of this process.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "own-pid" (func (result u64)))
    (export "register" (func (param "name" string) (result bool)))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $own-pid (canon lower (func $actor "own-pid") (memory $mem) (realloc $realloc)))
  (core func $register (canon lower (func $actor "register") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "own-pid" (func $own-pid (result i64)))
    (import "host" "register" (func $register (param i32 i32) (result i32)))
    (func $deeper (param i64)
      (drop (call $own-pid))
      (drop (call $register (i32.const 0) (i32.const 0)))
      (call $deeper (i64.add (local.get 0) (i64.const 1))))
    (func (export "run")
      (call $deeper (i64.const 0))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "own-pid" (func $own-pid))
      (export "register" (func $register))))))
  (func (export "run") (canon lift (core func $main "run"))))
