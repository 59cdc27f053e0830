;; SPDX-License-Identifier: MIT
;; Logs with a level that does not exist: a trap of this process.
(component
  (import "rusm:runtime/log@0.1.0" (instance $log
    (type $level-type (enum "error" "warn" "info" "debug"))
    (export "log-level" (type $level (eq $level-type)))
    (export "log" (func (param "level" $level) (param "message" string)))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $log (canon lower (func $log "log") (memory $mem) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (func (export "run")
      (call $log (i32.const 9) (i32.const 0) (i32.const 4))))
  (core instance $main (instantiate $main (with "memory" (instance $memory))
    (with "host" (instance
      (export "log" (func $log))))))
  (func (export "run") (canon lift (core func $main "run"))))
