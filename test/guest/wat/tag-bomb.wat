;; SPDX-License-Identifier: MIT
;; Joins one group after the other. The number of groups of a process is bounded.
(component
  (import "rusm:runtime/pg@0.1.0" (instance $pg
    (export "register-tag" (func (param "tag" string)))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $register-tag (canon lower (func $pg "register-tag") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "register-tag" (func $register-tag (param i32 i32)))
    ;; Four of the eight letters from each second half byte of the number.
    (func $letters (param $n i32) (result i32)
      (i32.or (i32.and (local.get $n) (i32.const 0x0f0f0f0f)) (i32.const 0x40404040)))
    (func (export "run") (local $n i32)
      (loop $again
        (i32.store (i32.const 0) (call $letters (local.get $n)))
        (i32.store (i32.const 4) (call $letters (i32.shr_u (local.get $n) (i32.const 4))))
        (call $register-tag (i32.const 0) (i32.const 8))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (local.get $n)))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "register-tag" (func $register-tag))))))
  (func (export "run") (canon lift (core func $main "run"))))
