;; SPDX-License-Identifier: MIT
;; Runs for ever without calling anybody. Others must keep their share of the processor, and it
;; must be possible to end it.
(component
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (core module $main
    (import "memory" "memory" (memory 1))
    (func (export "run")
      (loop $again
        br $again)))
  (core instance $main (instantiate $main (with "memory" (instance $memory))))
  (func (export "run") (canon lift (core func $main "run"))))
