;; SPDX-License-Identifier: MIT
;; Grows its memory until it is told no, writes to the last page, then traps. The denied growth
;; must be a plain -1; the reason of the end is the memory limit.
(component
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (core module $main
    (import "memory" "memory" (memory 1))
    (func (export "run")
      (loop $again
        (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 1))
      unreachable))
  (core instance $main (instantiate $main (with "memory" (instance $memory))))
  (func (export "run") (canon lift (core func $main "run"))))
