;; SPDX-License-Identifier: MIT
;; The same as a core module.
(module (memory (export "memory") 1) (func (export "run")))
