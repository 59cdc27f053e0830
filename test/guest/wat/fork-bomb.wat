;; SPDX-License-Identifier: MIT
;; Starts copies of itself without end, as they do. The number of children of a process is
;; bounded, and requests must still find room.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "spawn" (func (param "component" string) (result (result u64 (error string)))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $spawn (canon lower (func $actor "spawn") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "spawn" (func $spawn (param i32 i32 i32)))
    (data (i32.const 0) "fork-bomb")
    (func (export "run")
      (loop $again
        (call $spawn (i32.const 0) (i32.const 9) (i32.const 64))
        br $again)))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "spawn" (func $spawn))))))
  (func (export "run") (canon lift (core func $main "run"))))
