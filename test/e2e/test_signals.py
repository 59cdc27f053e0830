#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How a node ends: SIGINT and SIGTERM end it cleanly and say how many processes that took, a
second signal ends it at once."""
import signal
import time

from harness import App, case, check, contains, copy_of, eventually, main, same

RESIDENTS = """
[components.a]
resident = true
[components.b]
resident = true
"""


def stops_on(number):
    with App(RESIDENTS, {"a": "test/peer.wasm", "b": "test/peer.wasm"}) as app:
        for command in ("run", "serve"):
            with app.start(command) as node:
                same(node.stop(number), 2, "processes")
                same(node.lines[-2:], ["", "stopping 2 process(es)…"], "the last lines")


@case
def sigint():
    """59"""
    stops_on(signal.SIGINT)


@case
def sigterm():
    stops_on(signal.SIGTERM)


@case
def idle_app_of_each_language():
    for folder in ("app-rust", "app-c"):
        with copy_of(folder) as app, app.start() as node:
            node.get("/").expect(200)
            same(node.stop(), 1, "processes")


@case
def guest_that_spins_is_ended():
    """197: however busy, a guest does not keep the node from ending."""
    manifest = "[components.a]\nresident = true\n"
    with App(manifest, {"a": "test/loop.wasm"}) as app, app.start("run") as node:
        eventually(lambda: node.cpu_seconds() > 0.1, "the guest runs")
        same(node.stop(signal.SIGTERM), 1, "processes")


@case
def guest_that_loops_in_its_start_function_is_ended():
    manifest = "[components.a]\nresident = true\n"
    with App(manifest, {"a": "test/start-loop.wasm"}) as app, app.start("run") as node:
        eventually(lambda: node.cpu_seconds() > 0.1, "the guest runs")
        node.stop()


@case
def second_signal_ends_at_once():
    with copy_of("app-c") as app, app.start() as node:
        with node.socket() as connection:
            connection.sendall(b"GET /slow/10000 HTTP/1.1\r\nhost: x\r\n\r\n")
            time.sleep(1)  # until it is in flight
            node.send_signal(signal.SIGINT)
            node.send_signal(signal.SIGTERM)
            code = node.wait()
            check(code in (128 + signal.SIGTERM, 128 + signal.SIGINT), f"exit {code}")


@case
def request_in_flight_is_answered():
    with copy_of("app-c") as app, app.start() as node:
        with node.socket() as connection:
            connection.sendall(b"GET /slow/1500 HTTP/1.1\r\nhost: x\r\n\r\n")
            time.sleep(1)  # until it is in flight; a stop gives it one second more
            node.send_signal(signal.SIGINT)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
            contains(answer.decode(), "200 OK")
            contains(answer.decode(), "waited 1500 ms")
        same(node.wait(), 0, "exit code")


@case
def same_port_at_once_again():
    """Nothing of a stopped node keeps the port, also when clients were connected."""
    with copy_of("hello") as app:
        with app.start() as node:
            port = node.address()[1]
            client = node.connect()
            client.request("GET", "/")
            client.getresponse().read()
            node.stop()
            client.close()
        app.manifest((app.path / "rusm.toml").read_text().replace(":0", f":{port}"))
        with app.start() as node:
            same(node.address()[1], port, "port")
            node.get("/").expect(200)


if __name__ == "__main__":
    main()
