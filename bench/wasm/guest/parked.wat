;; SPDX-License-Identifier: MIT
;; A small guest that waits: seventeen pages of memory as a Rust guest has, two of them touched. Its
;; first message begins with a pid, which is told that it is there.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "send" (func (param "to" u64) (param "message" (list u8))))
    (export "receive" (func (result (list u8))))))
  (core module $libc
    (memory (export "memory") 17)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 69632)))
  (core instance $libc (instantiate $libc))
  (core func $send (canon lower (func $actor "send") (memory (core memory $libc "memory"))))
  (core func $receive (canon lower (func $actor "receive")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $main
    (import "libc" "memory" (memory 17))
    (import "host" "send" (func $send (param i64 i32 i32)))
    (import "host" "receive" (func $receive (param i32)))
    (data (i32.const 1024) "parked!!")
    (func (export "run")
      (call $receive (i32.const 16))
      (call $send (i64.load (i32.load (i32.const 16))) (i32.const 1024) (i32.const 8))
      (call $receive (i32.const 16))))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "send" (func $send))
      (export "receive" (func $receive))))))
  (func (export "run") (canon lift (core func $main "run"))))
