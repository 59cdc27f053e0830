#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stock wasi:cli commands, which know nothing of the node: run once, with what they were granted
and no more, and their status is told."""
from harness import App, case, check, contains, copy_of, eventually, main, same

STATUS = """
[log]
level = "info"
[capabilities.c]
allow-stdio = {stdio}
env = {env}
[components.status]
capability = "c"
"""


def status_app(stdio="true", env='["STATUS"]'):
    return App(STATUS.format(stdio=stdio, env=env), {"status": "test/status.wasm"})


def run_status(status, **options):
    """What the command's run left on standard output and standard error."""
    with status_app(**options) as app:
        with app.start("run", env={"STATUS": status, "HOME": "/home/secret"}) as node:
            node.expect_logged("exit   status#")
            same(node.stop(), 0, "processes")
            return node.out(), node.errors()


@case
def rust_and_c():
    """31"""
    with copy_of("command") as app, app.start("run") as node:
        eventually(lambda: node.errors().count("exit   greet-") == 2, "both have ended")
        contains(node.out(), "on demand: greet-c, greet-rust")
        contains(node.out(), "greetings from a stock Rust program")
        contains(node.out(), "greetings from a stock C program")
        lines = {line.split()[3].split("#")[0]: line for line in node.errors().splitlines()
                 if "exit   greet-" in line}
        contains(lines["greet-rust"], "normal")
        contains(lines["greet-c"], "crashed")
        same(node.stop(), 0, "processes")


@case
def exit_0_is_normal():
    """196"""
    for status in ("0", ""):
        _, errors = run_status(status)
        check("normal" in errors and "crashed" not in errors, errors)


@case
def exit_with_a_number():
    _, errors = run_status("3")
    contains(errors, "crashed")


@case
def panic_is_a_crash():
    _, errors = run_status("panic")
    contains(errors, "crashed")


@case
def sees_granted_keys_only():
    """187"""
    out, errors = run_status("0")
    contains(out, "STATUS=0 HOME=None")
    contains(errors, "status: about to end")


@case
def no_grant_no_output():
    """194"""
    out, errors = run_status("3", stdio="false", env="[]")
    check("STATUS=" not in out and "about to end" not in errors, out + errors)
    contains(errors, "normal")  # without the grant it cannot see STATUS


def run_with_folder(options):
    """What a command with `data` as /data prints, and the app's folder looked at."""
    with status_app() as app:
        text = (app.path / "rusm.toml").read_text()
        folder = '{ host = "data", guest = "/data"' + options + " }"
        app.manifest(text.replace("env =", f"preopen = [{folder}]\nenv ="))
        (app.path / "data").mkdir()
        (app.path / "data/in.txt").write_text("for guests")
        with app.start("run", env={"STATUS": "0"}) as node:
            node.expect_logged("exit   status#")
            node.stop()
            return node.out(), (app.path / "data/out.txt").exists()


@case
def no_folder_no_files():
    out, _ = run_status("0")
    contains(out, "read=None written=false")


@case
def folder_is_read_only_by_default():
    """189, 190"""
    for options in ("", ", read-only = true"):
        out, written = run_with_folder(options)
        contains(out, 'read=Some("for guests") written=false')
        same(written, False, "written")


@case
def folder_to_write_to():
    out, written = run_with_folder(", read-only = false")
    contains(out, 'read=Some("for guests") written=true')
    same(written, True, "written")


@case
def folder_that_is_missing():
    """189: the process crashes, and the node boots"""
    with status_app() as app:
        text = (app.path / "rusm.toml").read_text()
        app.manifest(text.replace("env =", 'preopen = [{ host = "no", guest = "/no" }]\nenv ='))
        with app.start("run") as node:
            node.expect_logged("[capabilities.c]: reading no: No such file or directory")
            node.expect_logged("crashed: the folder ")
            node.stop()


if __name__ == "__main__":
    main()
