;; SPDX-License-Identifier: MIT
;; Imports a function that no node offers: refused when the node starts.
(component
  (import "acme:tools/hammer@1.0.0" (instance $hammer
    (export "strike" (func (param "times" u32)))))
  (core func $strike (canon lower (func $hammer "strike")))
  (core module $main
    (import "host" "strike" (func $strike (param i32)))
    (func (export "run")
      (call $strike (i32.const 1))))
  (core instance $main (instantiate $main
    (with "host" (instance
      (export "strike" (func $strike))))))
  (func (export "run") (canon lift (core func $main "run"))))
