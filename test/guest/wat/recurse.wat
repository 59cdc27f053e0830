;; SPDX-License-Identifier: MIT
;; Calls itself until the stack is used up: a trap of this process.
(component
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (core module $main
    (import "memory" "memory" (memory 1))
    (func $deeper (param i64) (result i64)
      (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
    (func (export "run")
      (drop (call $deeper (i64.const 0)))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))))
  (func (export "run") (canon lift (core func $main "run"))))
