;; SPDX-License-Identifier: MIT
;; Asks for a result at an odd address: a trap of this process.
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
    (func (export "run")
      (call $receive (i32.const 3))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "receive" (func $receive))))))
  (func (export "run") (canon lift (core func $main "run"))))
