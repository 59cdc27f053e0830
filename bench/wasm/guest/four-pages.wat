;; SPDX-License-Identifier: MIT
;; A component of another shape than empty.wat, to take turns with it: four pages of memory, with data
;; in the first one.
(component
  (core module $m
    (memory (export "memory") 4)
    (data (i32.const 1024) "another component")
    (func (export "run") (i32.store (i32.const 70000) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
