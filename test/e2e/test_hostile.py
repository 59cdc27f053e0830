#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hostile guests harm only themselves: while each does its worst, a neighbour's requests are
answered, the node's memory stays bounded, and afterwards nothing of the attacker is left."""
import http.client
import socket
import time

from harness import ROUTED, App, Neighbour, case, check, contains, eventually, main, same

HELLO = b"Hello from a sandbox of its own.\n"

# Those that end by a trap at once, or soon.
TRAPS = ("recurse", "recurse-and-call", "grow", "table-bomb", "send-1-gib", "send-4-gib",
         "pointer-beyond", "pointer-wraps", "result-unaligned", "result-beyond", "realloc-wild",
         "bad-utf8", "bad-enum", "timer-bomb", "squat-long", "tag-bomb")
# Those that go on until they are ended, or end in a way that is not to be seen from outside.
LASTING = ("loop", "start-loop", "realloc-loop", "hog", "send-all", "mail-bomb", "log-flood",
           "squat", "kv-bomb")

MANIFEST = """
[node]
store = "hostile.data"
[log]
level = "warn"
[[serve]]
protocol = "http"
listen = "127.0.0.1:0"
[serve.routes]
"GET /hello" = "hello#home"
{routes}
[capabilities.attacker]
allow-storage = true
max-memory-mb = 16
[capabilities.forker]
allow-spawn = true
[components.hello]
{components}
"""

MEMORY_KB = 500 * 1024  # of the whole node, whatever its guests do


def hostile_app(attackers, capability="attacker", residents=()):
    routes = "\n".join(f'"GET /x/{name}" = "{name}#any"' for name in attackers)
    components = "\n".join(
        [f'[components.{name}]\ncapability = "{capability}"' for name in attackers] +
        [f"[components.{name}]\nresident = true" for name in residents])
    artefacts = {name: f"test/{name}.wasm" for name in (*attackers, *residents)}
    return App(MANIFEST.format(routes=routes, components=components),
               dict(artefacts, hello="hello/wasm/hello.wasm"))


def attack(node, name, seconds=1.0):
    """The attacker's status, or None if it did not end within the time."""
    try:
        return node.get(f"/x/{name}", timeout=seconds).status
    except (socket.timeout, http.client.RemoteDisconnected):
        return None


def expect_calm(node, what):
    """Nothing runs on: the attackers went with their clients. (A client that has only stopped
    sending may still be listening, so the node gives it a moment.)"""
    time.sleep(0.7)

    def calm():
        before = node.cpu_seconds()
        time.sleep(0.25)
        return node.cpu_seconds() - before < 0.08
    eventually(calm, f"calm after {what}")


def run_attack(node, name, turns, seconds, wanted):
    """Attack again and again beside a neighbour; what was needed goes to the log of the test."""
    most = 0
    with Neighbour(node, "/hello", HELLO) as neighbour:
        for turn in range(turns):
            status = attack(node, name, seconds)
            check(status in wanted, f"turn {turn}: status {status}")
            most = max(most, node.memory_kb())
            check(most < MEMORY_KB, f"the node uses {most} KiB")
    neighbour.expect_well(name)
    print(f"# {name}: a neighbour's p99 {neighbour.p99_ms():.1f} ms of {len(neighbour.delays)},"
          f" the node at most {most // 1024} MiB")


@case
def traps():
    """All in one node, one after the other."""
    with hostile_app(TRAPS, residents=["victim"]) as app, app.start() as node:
        for name in TRAPS:
            run_attack(node, name, turns=40, seconds=20, wanted=(502,))
            print(f"ok {name}")
        expect_calm(node, "traps")
        same(node.stop(), 1, "processes: the victim alone")


def add_lasting(name):
    def run():
        with hostile_app([name], residents=["victim"]) as app, app.start() as node:
            run_attack(node, name, turns=2, seconds=0.7, wanted=(None, 200, 502, 503, 504))
            expect_calm(node, name)
            same(node.stop(), 1, "processes: the victim alone")
    run.__name__ = name.replace("-", "_")
    case(run)


for attacker in LASTING:
    add_lasting(attacker)


@case
def timers_of_the_dead():
    """What nobody will ever receive must not be kept: the attackers are gone, their targets too."""
    with hostile_app(["timer-bomb"]) as app, app.start() as node:
        for _ in range(20):
            attack(node, "timer-bomb", 20)
        before = node.memory_kb()
        for _ in range(100):
            attack(node, "timer-bomb", 20)
        grown = (node.memory_kb() - before) // 1024
        check(grown < 100, f"the node grew by {grown} MiB in 100 attacks")


@case
def fork_bomb():
    """A50: however many there are, there is room for requests, though with some thousand loops
    in the queue not every turn comes soon"""
    with hostile_app(["fork-bomb"], capability="forker") as app, app.start() as node:
        with Neighbour(node, "/hello", HELLO) as neighbour:
            attack(node, "fork-bomb", 2.0)
        check(node.memory_kb() < 4 * MEMORY_KB, f"the node uses {node.memory_kb()} KiB")
        neighbour.expect_well("a fork bomb", p99_ms=20000, most_s=25)
        memory = node.memory_kb() // 1024
        copies = node.stop()
        check(copies > 1, "there were copies")
        print(f"# fork-bomb: {copies} copies, a neighbour's p99 {neighbour.p99_ms():.1f} ms,"
              f" the node {memory} MiB")


FILES = ROUTED + """\
"GET /hello" = "hello#home"
[capabilities.reader]
preopen = [{ host = "data", guest = "/" }]
[components.hello]
[components.file-bomb]
capability = "reader"
resident = true
restart = "temporary"
"""


@case
def open_files():
    """Guests hold so many that connections are accepted all the same"""
    artefacts = {"hello": "hello/wasm/hello.wasm", "file-bomb": "test/file-bomb.wasm"}
    with App(FILES, artefacts) as app:
        (app.path / "data").mkdir()
        with app.start(limits={"RLIMIT_NOFILE": 400}) as node:
            node.expect_logged("wasi path_open of .; guests hold three quarters of the files that "
                               "the node may open; raise the limit of open files (ulimit -n)")
            check(290 <= node.open_files() <= 330, f"{node.open_files()} files are open")
            with Neighbour(node, "/hello", HELLO) as neighbour:
                time.sleep(0.5)
            neighbour.expect_well("one that holds files")
            same(node.stop(), 1, "processes: the attacker")


CROWDED = ROUTED + """\
"GET /hello" = "hello#home"
[capabilities.forker]
allow-spawn = true
max-children = 100000
max-memory-mb = {memory}
[capabilities.small]
max-memory-mb = {memory}
[components.hello]
capability = "small"
[components.fork-bomb]
capability = "forker"
resident = true
"""


def crowd(memory_mb, gib):
    """A fork bomb under `ulimit -v`: its spawns are refused, by a text that says why, and there is
    room for requests."""
    artefacts = {"hello": "hello/wasm/hello.wasm", "fork-bomb": "test/fork-bomb.wasm"}
    limits = {"RLIMIT_AS": gib << 30}
    with App(CROWDED.format(memory=memory_mb), artefacts) as app:
        contains(app.rusm("doctor", limits=limits).out, f"with ulimit -v = {gib << 20}")
        with app.start(limits=limits) as node:
            node.expect_logged(f"raise the limit of addresses (ulimit -v), now {gib << 20}, ")
            for _ in range(5):
                node.get("/hello").expect(200, HELLO)
            check("memory_limit" not in node.errors() and "no free slot" not in node.errors(),
                  f"nobody starts without room: {node.errors()[:4000]}")
            check(node.stop() > 1, "there were copies")


@case
def few_addresses():
    crowd(16, 4)
    crowd(64, 128)


@case
def all_at_once():
    names = [name for name in (*TRAPS, *LASTING) if name != "kv-bomb"]
    with hostile_app(names, residents=["victim"]) as app, app.start() as node:
        connections = []
        with Neighbour(node, "/hello", HELLO) as neighbour:
            for name in names:
                connection = node.socket()
                connection.sendall(f"GET /x/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                connections.append(connection)
            time.sleep(2)
            check(node.memory_kb() < 2 * MEMORY_KB, f"the node uses {node.memory_kb()} KiB")
            for connection in connections:
                connection.close()
        neighbour.expect_well("all of them")
        expect_calm(node, "all of them")
        same(node.stop(), 1, "processes: the victim alone")


if __name__ == "__main__":
    main()
