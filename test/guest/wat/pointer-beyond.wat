;; SPDX-License-Identifier: MIT
;; A text whose pointer lies beyond its memory: a trap of this process.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "register" (func (param "name" string) (result bool)))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $register (canon lower (func $actor "register") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "register" (func $register (param i32 i32) (result i32)))
    (func (export "run")
      (drop (call $register (i32.const 0x7ffffff0) (i32.const 8)))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "register" (func $register))))))
  (func (export "run") (canon lift (core func $main "run"))))
