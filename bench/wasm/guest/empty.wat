;; SPDX-License-Identifier: MIT
;; The least that is a component: one page of memory and a call that does nothing.
(component
  (core module $m (memory (export "memory") 1) (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
