#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Residents: restarted after a crash, each with a budget of its own, and told about."""
from harness import ROUTED, App, case, contains, copy_of, eventually, main, same

APP = ROUTED + """\
"GET /checks" = "check#list"
"GET /check/granted/:name" = "check#granted"
[capabilities.granted]
allow-spawn = true
allow-process-control = true
[components.check]
capability = "granted"
[components.peer]
[components.{name}]
resident = true
"""

KILLER = """
[capabilities.killer]
allow-process-control = true
[components.killer]
capability = "killer"
"""


@case
def one_that_keeps_crashing():
    """202: given up after the fourth death, alone, and said"""
    with App(APP.format(name="crasher"), {
            "check": "test/check.wasm", "peer": "test/peer.wasm",
            "crasher": "test/crasher.wasm"}) as app, app.start() as node:
        eventually(lambda: node.errors().count("crasher#") >= 4, "four deaths")
        node.expect_logged("crasher crashed; given up after 3 restarts in 5 s")
        node.get("/check/granted/order").expect(200)
        same(node.errors().count("exit   crasher#"), 4, "deaths")
        # A report each: the guest was built with -g, so its back-trace names file and line.
        for restarts in range(4):
            contains(node.errors(), f"mailbox 0, restarts {restarts}")
        contains(node.errors(), ": unreachable, lived ")
        contains(node.errors(), "exports_process_run at ")
        contains(node.errors(), "crasher.c:6:")
        same(node.stop(), 0, "processes")


@case
def one_that_ends_well():
    """203: a normal return is no reason to start it again"""
    with App(APP.format(name="quitter"), {
            "check": "test/check.wasm", "peer": "test/peer.wasm",
            "quitter": "test/quitter.wasm"}) as app, app.start() as node:
        node.expect_logged("exit   quitter#")
        node.get("/check/granted/order").expect(200)
        same(node.errors().count("exit   quitter#"), 1, "ends")
        contains(node.errors(), "normal")
        same(node.stop(), 0, "processes")


@case
def service_of_the_app_comes_back():
    """201: a crash empties its memory, no more"""
    for folder in ("app-rust", "app-c"):
        with copy_of(folder) as app:
            route = '"DELETE /visits" = "killer#visits"\n'
            text = (app.path / "rusm.toml").read_text()
            app.manifest(text.replace('"GET /crash"', route + '"GET /crash"') + KILLER)
            app.artefact("killer", "test/killer.wasm")
            with app.start() as node:
                node.post("/visits", "ada").expect(200, '{"name":"ada","total":1,"visits":1}')
                node.request("DELETE", "/visits").expect(200, "killed")
                eventually(lambda: node.post("/visits", "bob").status == 200, "it is back")
                same(node.get("/visits").expect(200).json()["names"], 1, "names")
                same(node.stop(), 1, "processes")


if __name__ == "__main__":
    main()
