#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is wrong is said in one clear message that names the thing and the remedy, with the right
exit code, and nothing is half started."""
import os
import socket

from harness import App, GUESTS, case, check, contains, copy_of, main, same

LISTENER = """
[[serve]]
protocol = "http"
listen = "127.0.0.1:{port}"
[serve.routes]
"GET /" = "{component}#home"
[components.{component}]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_bound(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


def refused(artefacts, component, *parts):
    """Serving fails with 1 and these parts in the message; `check` says the same."""
    port = free_port()
    manifest = LISTENER.format(port=port, component=component)
    with App(manifest, artefacts) as app:
        served = app.rusm("serve").expect(1)
        checked = app.rusm("check").expect(1)
        for result, command in ((served, "serve"), (checked, "check")):
            same(result.err.startswith(f"{command} failed: "), True, result.err)
            for part in (component, *parts):
                contains(result.err, part)
        same("serving" in served.out, False, "an endpoint was announced")
        same(is_bound(port), False, "the port was bound")
        app.rusm("run").expect(1)


@case
def missing_artefact():
    """25"""
    refused({}, "absent", "absent.wasm", "rusm build")


@case
def component_without_entry():
    refused({"walker": "test/no-entry.wasm"}, "walker", "run")


@case
def entry_of_another_type():
    refused({"typed": "test/wrong-entry.wasm"}, "typed", "run")


@case
def import_that_is_not_offered():
    refused({"smith": "test/unknown-import.wasm"}, "smith", "acme:tools/hammer@1.0.0")


@case
def truncated_artefact():
    whole = (GUESTS / "hello/wasm/hello.wasm").read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        refused({"cut": whole[:length]}, "cut", "cut.wasm")


@case
def artefact_of_another_kind():
    refused({"elf": open("/proc/self/exe", "rb").read(4096)}, "elf", "elf.wasm")


@case
def port_in_use():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with copy_of("hello", **{"127.0.0.1:0": f"127.0.0.1:{port}"}) as app:
            result = app.rusm("serve").expect(1, err="serve failed: ")
            contains(result.err, f"127.0.0.1:{port}")
            contains(result.err, "in use")
            same(result.out, "", "stdout")


@case
def port_of_another_node_in_use():
    with copy_of("hello") as first, first.start() as node:
        port = node.address()[1]
        with copy_of("hello", **{"127.0.0.1:0": f"127.0.0.1:{port}"}) as second:
            second.rusm("serve").expect(1, err=f"127.0.0.1:{port}")
        node.get("/").expect(200)


@case
def store_in_use():
    with copy_of("app-c") as app, app.start() as node:
        result = app.rusm("serve").expect(1, err="app.data")
        contains(result.err, "serve failed: ")
        node.get("/").expect(200)


@case
def manifest_that_cannot_be_read():
    with App(None) as app:
        (app.path / "rusm.toml").mkdir()
        for command in ("run", "serve", "check"):
            app.rusm(command).expect(2, err="rusm.toml")
    with App(None) as app:
        (app.path / "rusm.toml").write_bytes(b"[node]\nstore = \"\xff\xfe\"\n")
        app.rusm("serve").expect(2, err="rusm.toml")
    if os.getuid() != 0:
        with App("") as app:
            (app.path / "rusm.toml").chmod(0)
            app.rusm("serve").expect(2, err="rusm.toml")


@case
def manifest_that_is_not_toml():
    with App("[node\n") as app:
        for command in ("run", "serve", "check"):
            app.rusm(command).expect(2, err="invalid rusm.toml:1:")


@case
def every_problem_in_one_go():
    """3, 4, 6, 7, 8"""
    manifest = """[nod]
[node]
stor = "x"
[log]
level = "loud"
[[serve]]
protocol = "grpc"
[components.a]
capability = "none"
"""
    with App(manifest) as app:
        result = app.rusm("serve").expect(2)
        lines = [line for line in result.err.splitlines() if line.startswith("invalid ")]
        for place, word in ((1, "nod"), (3, "stor"), (5, "loud"), (7, "grpc"), (9, "none")):
            found = [line for line in lines if line.startswith(f"invalid rusm.toml:{place}:")]
            check(len(found) == 1 and word in found[0], f"line {place}, {word}: {result.err}")
        contains(result.err, "store")


@case
def route_to_an_undeclared_component():
    """19: said when the node starts"""
    with App(LISTENER.format(port=0, component="api").replace("components.api", "components.b"),
             {"b": "test/peer.wasm"}) as app:
        result = app.rusm("serve")
        check(result.code in (1, 2), f"exit {result.code}")
        contains(result.err, "api")


@case
def component_name_that_leaves_the_folder():
    with App('[components."../x"]\n') as app:
        app.rusm("run").expect(2, err="rusm.toml:1:")


@case
def store_in_a_folder_that_is_a_file():
    with copy_of("app-c", **{'"app.data"': '"rusm.toml/app.data"'}) as app:
        app.rusm("serve").expect(1, err="rusm.toml/app.data")


if __name__ == "__main__":
    main()
