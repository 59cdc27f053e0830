;; SPDX-License-Identifier: MIT
;; Sends small messages for ever to the process that is registered as `victim`, which does not
;; read them. The victim must stay alive and its mailbox bounded.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "send" (func (param "to" u64) (param "message" (list u8))))
    (export "whereis" (func (param "name" string) (result (option u64))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $send (canon lower (func $actor "send") (memory $mem) (realloc $realloc)))
  (core func $whereis (canon lower (func $actor "whereis") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "send" (func $send (param i64 i32 i32)))
    (import "host" "whereis" (func $whereis (param i32 i32 i32)))
    (data (i32.const 0) "victim")
    (func (export "run")
      (call $whereis (i32.const 0) (i32.const 6) (i32.const 64))
      (if (i32.eqz (i32.load8_u (i32.const 64)))
        (then unreachable))
      (loop $again
        (call $send (i64.load (i32.const 72)) (i32.const 0) (i32.const 1024))
        br $again)))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "send" (func $send))
      (export "whereis" (func $whereis))))))
  (func (export "run") (canon lift (core func $main "run"))))
