;; SPDX-License-Identifier: MIT
;; An entry of another type: `run` takes a number.
(component
  (core module $main
    (func (export "run") (param i32)))
  (core instance $main (instantiate $main))
  (func (export "run") (param "turns" u32) (canon lift (core func $main "run"))))
