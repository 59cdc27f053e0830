#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line: help, versions, wrong use, nothing to do. Numbers are conformance lines."""
import re

from harness import App, case, contains, copy_of, main, same


@case
def help_on_stdout():
    """37"""
    with App(None) as app:
        for args in ([], ["help"], ["--foo"], ["--help"], ["-h"]):
            result = app.rusm(*args).expect(0, out="Usage:")
            check_help(result.out)


def check_help(text):
    same(re.match(r"RUSM \d+\.\d+\.\d+ - .+", text.splitlines()[0]) is not None, True, "line 1")
    for part in ("Commands:", "Options:", "Docs:"):
        contains(text, part)
    for command in ("new", "build", "run", "dev", "serve", "node", "kv", "generate", "attach"):
        contains(text, f"\n  {command} ")


@case
def unknown_command():
    """38"""
    with App(None) as app:
        result = app.rusm("bogus").expect(2, err="unknown command `bogus`\n\n")
        contains(result.err, "Usage:")
        same(result.out, "", "stdout")
        app.rusm("bogus", "--help").expect(2, err="unknown command `bogus`")


@case
def version_wins():
    """39"""
    with App(None) as app:
        for args in (["-V"], ["--version"], ["serve", "--version"], ["bogus", "-V"]):
            result = app.rusm(*args).expect(0)
            same(re.fullmatch(r"rusm \d+\.\d+\.\d+\n", result.out) is not None, True, result.out)


@case
def help_of_commands():
    """40"""
    with App(None) as app:
        for command in ("run", "serve", "check", "doctor", "kv"):
            result = app.rusm(command, "--help").expect(0, out=f"rusm {command} — ")
            contains(result.out, "Usage:")


@case
def doctor_says_what_limits():
    with App(None) as app:
        result = app.rusm("doctor").expect(0)
        for part in ("kernel ", "guests ", "the limit is ", "vm.max_map_count = ", "page scan "):
            contains(result.out, part)
        app.rusm("doctor", "extra").expect(2, err="extra")


@case
def option_without_value():
    """41"""
    text = "the '--listen' option doesn't have an associated value"
    with App(None) as app:
        app.rusm("run", "--listen").expect(2, err=text)
        app.rusm("serve", "--config").expect(2, err="--config")


@case
def misspelt_option():
    """42: an error, not ignored"""
    with App(None) as app:
        app.rusm("run", "--profle", "max").expect(2, err="--profle")
        app.rusm("serve", "extra").expect(2, err="extra")
        app.rusm("check", "--listen", "x").expect(2, err="--listen")


@case
def nothing_to_run():
    """56"""
    with App(None) as app:
        result = app.rusm("run").expect(0)
        same(result.out, "no [components] in rusm.toml — nothing to run\n", "stdout")
    with App("# only a comment\n") as app:
        app.rusm("run").expect(0, out="nothing to run")


@case
def nothing_to_serve():
    """57"""
    with App(None) as app:
        result = app.rusm("serve").expect(0)
        wanted = "no [[serve]] entries or [components] in rusm.toml — nothing to do\n"
        same(result.out, wanted, "stdout")


@case
def named_config_must_exist():
    """2"""
    with App(None) as app:
        app.rusm("run", "--config", "nope.toml").expect(2, err="cannot read nope.toml: ")
        app.rusm("serve", "--config=nope.toml").expect(2, err="cannot read nope.toml: ")


@case
def named_config_is_used():
    with App("this is not TOML", {"quitter": "test/quitter.wasm"}) as app:
        (app.path / "other.toml").write_text("[components.quitter]\n")
        with app.start("run", "--config", "other.toml") as node:
            contains(node.out(), "on demand: quitter")


@case
def what_runs_is_listed():
    """58"""
    manifest = "[components.a]\nresident = true\n[components.b]\n"
    with App(manifest, {"a": "test/peer.wasm", "b": "test/peer.wasm"}) as app:
        with app.start("run") as node:
            same(node.lines, ["resident: a", "on demand: b", "press Ctrl-C to stop"], "stdout")
            same(node.stop(), 1, "processes")


@case
def check_accepts_a_good_app():
    for folder in ("app-rust", "app-c", "hello", "command"):
        with copy_of(folder) as app:
            result = app.rusm("check").expect(0)
            same(result.out, "rusm.toml: ok\n", "stdout")
            same(result.err, "", "stderr")
            same((app.path / "app.data").exists(), False, "the store was made")


@case
def not_supported_yet():
    with App('[[serve]]\nprotocol = "ws"\nlisten = "127.0.0.1:0"\ncomponent = "x"\n') as app:
        result = app.rusm("serve").expect(2, err="not supported yet")
        contains(result.err, "rusm.toml:2:")


if __name__ == "__main__":
    main()
