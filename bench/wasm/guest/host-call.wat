;; SPDX-License-Identifier: MIT
;; Calls the bridge of bench host-call with one more each time, until it answers 0.
(component
  (import "bench:host/calls@0.1.0" (instance $host
    (export "next" (func (param "n" u64) (result u64)))))
  (core func $next (canon lower (func $host "next")))
  (core module $m
    (import "host" "next" (func $next (param i64) (result i64)))
    (func (export "run") (local $n i64)
      (loop $again
        (local.set $n (call $next (local.get $n)))
        (br_if $again (i64.ne (local.get $n) (i64.const 0))))))
  (core instance $i (instantiate $m
    (with "host" (instance (export "next" (func $next))))))
  (func (export "run") (canon lift (core func $i "run"))))
