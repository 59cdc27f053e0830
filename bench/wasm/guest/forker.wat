;; For dynamic-wasm: 200 times, start an empty component from an inline source that is always the
;; same, and wait for its end. A start that fails is a trap.
(component
  (import "rusm:runtime/actor@0.1.0" (instance $actor
    (export "spawn-from" (func (param "component" string) (param "source" string)
      (result (result u64 (error string)))))
    (export "monitor" (func (param "target" u64)))
    (export "receive" (func (result (list u8))))))
  (core module $libc-code
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $libc (instantiate $libc-code))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $spawn-from (canon lower (func $actor "spawn-from")
    (memory $memory) (realloc $realloc)))
  (core func $monitor (canon lower (func $actor "monitor")))
  (core func $receive (canon lower (func $actor "receive") (memory $memory) (realloc $realloc)))
  (core module $main-code
    (import "libc" "memory" (memory 1))
    (import "host" "spawn-from" (func $spawn-from (param i32 i32 i32 i32 i32)))
    (import "host" "monitor" (func $monitor (param i64)))
    (import "host" "receive" (func $receive (param i32)))
    (data (i32.const 0) "tpl")
    (data (i32.const 16) "inline:(component (core module $m (func (export \22run\22))) (core instance $i (instantiate $m)) (func (export \22run\22) (canon lift (core func $i \22run\22))))")
    (func (export "run") (local $left i32)
      (local.set $left (i32.const 200))
      (loop $again
        (call $spawn-from (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 149) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024)) (then unreachable))
        (call $monitor (i64.load (i32.const 1032)))
        (call $receive (i32.const 1040))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $again (local.get $left)))))
  (core instance $main (instantiate $main-code
    (with "libc" (instance $libc))
    (with "host" (instance (export "spawn-from" (func $spawn-from))
      (export "monitor" (func $monitor)) (export "receive" (func $receive))))))
  (func (export "run") (canon lift (core func $main "run"))))
