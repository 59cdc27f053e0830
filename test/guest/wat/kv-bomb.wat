;; SPDX-License-Identifier: MIT
;; Writes values of 64 KiB under one key for ever. The store must stay small, and other writers
;; must get their turn.
(component
  (import "rusm:runtime/kv@0.1.0" (instance $kv
    (export "set" (func (param "bucket" string)
      (param "key" string) (param "value" (list u8)) (result (result (error string)))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $set (canon lower (func $kv "set") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32 i32)))
    (data (i32.const 0) "bombkeys")
    (func (export "run")
      (loop $again
        (call $set (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)
          (i32.const 0) (i32.const 65536) (i32.const 64))
        br $again)))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "set" (func $set))))))
  (func (export "run") (canon lift (core func $main "run"))))
