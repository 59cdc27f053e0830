;; SPDX-License-Identifier: MIT
;; Never gets as far as its entry: the start function of its core module loops.
(component
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (core module $main
    (import "memory" "memory" (memory 1))
    (func $start
      (loop $again
        br $again))
    (start $start)
    (func (export "run")))
  (core instance $main (instantiate $main (with "memory" (instance $memory))))
  (func (export "run") (canon lift (core func $main "run"))))
