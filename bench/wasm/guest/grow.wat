;; SPDX-License-Identifier: MIT
;; Grows its memory by 1 MiB and touches the last page.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "run")
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
      (i32.store (i32.const 1114108) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
