;; SPDX-License-Identifier: MIT
;; Opens its folder until it is refused, and keeps all of it while it waits for ever. Others must
;; find files to open all the same: without them no connection is accepted.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "rusm" "receive" (func $receive (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) ".")
  (func (export "run")
    (loop $again
      (br_if $again (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1)
        (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 32)))))
    (loop $wait
      (drop (call $receive (i32.const 64) (i32.const 64)))
      br $wait)))
