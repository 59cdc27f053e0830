;; SPDX-License-Identifier: MIT
;; Grows a table as far as it can, then traps. The host must bound what a table costs it.
(component
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (core module $main
    (import "memory" "memory" (memory 1))
    (table $table 1 funcref)
    (func (export "run")
      (loop $again
        (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
      unreachable))
  (core instance $main (instantiate $main (with "memory" (instance $memory))))
  (func (export "run") (canon lift (core func $main "run"))))
