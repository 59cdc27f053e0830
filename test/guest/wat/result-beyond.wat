;; SPDX-License-Identifier: MIT
;; Asks for a result beyond its memory: a trap of this process.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "whereis" (func (param "name" string) (result (option u64))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $whereis (canon lower (func $actor "whereis") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "whereis" (func $whereis (param i32 i32 i32)))
    (func (export "run")
      (call $whereis (i32.const 0) (i32.const 1) (i32.const 0x7ffffff0))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "whereis" (func $whereis))))))
  (func (export "run") (canon lift (core func $main "run"))))
