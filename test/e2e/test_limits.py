#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Limits as an app sets them: what the client gets and what the log says."""
from harness import ROUTED, App, Neighbour, case, main, same

HELLO = b"Hello from a sandbox of its own.\n"

MANIFEST = ROUTED + """\
"GET /hello" = "hello#home"
"GET /cpu/:action" = "cpu#any"
"GET /late/:action" = "late#any"
"GET /start" = "start-loop#any"
[capabilities.busy]
cpu-ms = 50
deadline-ms = 0
[capabilities.hasty]
deadline-ms = 50
[components.hello]
[components.cpu]
capability = "busy"
[components.late]
capability = "hasty"
[components.start-loop]
capability = "busy"
"""


def limits_app():
    return App(MANIFEST, {
        "cpu": "test/odd.wasm", "late": "test/odd.wasm", "start-loop": "test/start-loop.wasm",
        "hello": "hello/wasm/hello.wasm"})


@case
def handlers_that_take_too_long():
    with limits_app() as app, app.start() as node:
        with Neighbour(node, "/hello", HELLO) as neighbour:
            for path in ("/cpu/spin", "/late/spin", "/late/wait_for_ever", "/start"):
                node.get(path).expect(504, "handler took too long")
                node.expect_logged(f"GET {path} → 504")
        neighbour.expect_well("handlers that take too long")
        node.expect_logged("crashed: cpu_limit: a unit of work has used ")
        node.expect_logged("may use 50 (`cpu-ms` under [capabilities.busy])")
        node.expect_logged("crashed: deadline: a unit of work was not done after 50 ms "
                           "(`deadline-ms` under [capabilities.hasty])")
        for path in ("/cpu/plain", "/late/plain"):
            node.get(path).expect(200, "ok")
        same(node.stop(), 0, "processes: nothing leaks")


HOLDING = ROUTED + """\
"GET /hello" = "hello#home"
"GET /timers" = "timer-bomb#any"
"GET /grow" = "grow#any"
"GET /hog" = "hog#any"
[capabilities.small]
max-host-mb = 1
max-memory-mb = 2
max-timers = 1000000
deadline-ms = 200
[components.hello]
[components.timer-bomb]
capability = "small"
[components.grow]
capability = "small"
[components.hog]
capability = "small"
"""


@case
def handlers_that_hold_too_much():
    names = ("timer-bomb", "grow", "hog")
    artefacts = {name: f"test/{name}.wasm" for name in names}
    with App(HOLDING, dict(artefacts, hello="hello/wasm/hello.wasm")) as app, app.start() as node:
        node.get("/timers").expect(502, "handler did not reply")
        node.expect_logged("crashed: memory_limit: the host holds ")
        node.expect_logged("(`max-host-mb` under [capabilities.small])")
        node.expect_logged(", memory 64 KiB of 2 MiB, host 10")  # 1023 KiB or so of 1 MiB
        node.get("/grow").expect(502, "handler did not reply")
        node.expect_logged("crashed: memory_limit: wanted 3 MiB of linear memory and may have 2 "
                           "(`max-memory-mb` under [capabilities.small])")
        node.get("/hog").expect(504, "handler took too long")  # it holds what it may, and waits
        node.get("/hello").expect(200, HELLO)
        same(node.stop(), 0, "processes: nothing leaks")


OWN = ROUTED + """\
"GET /hasty/:action" = "hasty#any"
"GET /grow" = "grow#any"
"GET /plain/:action" = "plain#any"
[capabilities.shared]
deadline-ms = 600000
max-memory-mb = 16
[components.hasty]
capability = "shared"
deadline-ms = 50
[components.grow]
capability = "shared"
max_memory_mb = 2
[components.plain]
capability = "shared"
"""


@case
def a_component_has_limits_of_its_own():
    with App(OWN, {"hasty": "test/odd.wasm", "plain": "test/odd.wasm",
                   "grow": "test/grow.wasm"}) as app, app.start() as node:
        node.get("/hasty/spin").expect(504, "handler took too long")
        node.expect_logged("not done after 50 ms (`deadline-ms` under [components.hasty])")
        node.get("/grow").expect(502, "handler did not reply")
        node.expect_logged("wanted 3 MiB of linear memory and may have 2 "
                           "(`max-memory-mb` under [components.grow])")
        node.get("/plain/plain").expect(200, "ok")
        same(node.stop(), 0, "processes: nothing leaks")


if __name__ == "__main__":
    main()
