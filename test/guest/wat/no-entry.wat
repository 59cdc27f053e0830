;; SPDX-License-Identifier: MIT
;; A component without the entry `run`: refused when the node starts.
(component
  (core module $main
    (func (export "walk")))
  (core instance $main (instantiate $main))
  (func (export "walk") (canon lift (core func $main "walk"))))
