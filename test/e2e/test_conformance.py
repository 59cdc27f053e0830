#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The conformance guest and the guest of the older contract: each of their checks is a case."""
import re

from harness import APPS, App, case, check, contains, main, same


def conformance_app():
    return App((APPS / "conformance/rusm.toml").read_text(), {
        "check": "test/check.wasm", "sandboxed": "test/check.wasm", "peer": "test/peer.wasm",
        "old": "test/old.wasm"})


def run_check(node, path, name):
    answer = node.get(f"{path}/{name}").expect(200).json()
    check(answer["ok"], f"{name}: {answer.get('why')}")


@case
def granted_and_denied():
    """One case for the list itself; the checks of the list follow as cases of their own."""
    app = conformance_app()
    node = app.start()
    run_check(node, "/check/granted", "anchor")
    names = node.get("/checks").expect(200).json()
    check(len(names["granted"]) > 40 and len(names["denied"]) > 5, f"few checks: {names}")
    failed = []
    for kind in ("granted", "denied"):
        for name in names[kind]:
            try:
                run_check(node, f"/check/{kind}", name)
                print(f"ok {kind}-{name}")
            except (AssertionError, OSError) as error:
                failed.append(name)
                print(f"not ok {kind}-{name}: {error}")
    log_is_written(node)
    node.stop()
    app.__exit__()
    same(failed, [], "failed checks")


def log_is_written(node):
    """119 to 124, 129: level debug lets all lines through, each is one line"""
    node.expect_logged("two")  # the last line of that check
    lines = node.errors().splitlines()
    for level in ("error", "warn", "info", "debug"):
        found = [line for line in lines if f"conformance {level} line" in line]
        same(len(found), 1, f"lines of level {level}")
        pattern = rf"\d\d:\d\d:\d\d check#\d+ *{level:6} conformance {level} line"
        check(re.fullmatch(pattern, found[0]) and found[0][23] == " ", f"layout: {found[0]!r}")
    check(not any(line == "lines" for line in lines), "a line break got into the log")
    check("\x1b" not in node.errors(), "escape codes although this is no terminal")
    contains(node.errors(), "spawn  peer#")


@case
def older_contract():
    """Decision 32: the newest published crate with the older spelling"""
    with conformance_app() as app, app.start() as node:
        same(node.get("/old").expect(200).json(), {"ok": True})


@case
def log_level_is_a_gate():
    with conformance_app() as app:
        manifest = (app.path / "rusm.toml").read_text()
        app.manifest(manifest.replace('level = "debug"', 'level = "error"'))
        with app.start() as node:
            run_check(node, "/check/granted", "log")
            node.expect_logged("conformance error line")
            node.stop()
            for level in ("warn", "info", "debug"):
                check(f"conformance {level}" not in node.errors(), f"a line of level {level}")


@case
def store_is_needed():
    """101"""
    with conformance_app() as app:
        manifest = (app.path / "rusm.toml").read_text()
        app.manifest(manifest.replace('store = "conformance.data"', ""))
        with app.start() as node:
            answer = node.get("/check/granted/kv-missing").expect(200).json()
            same(answer.get("why"), "kv unavailable: no store configured on this node", "why")


if __name__ == "__main__":
    main()
