#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`rusm kv`, beside a running node and without one."""
import contextlib
import fcntl
import os
import pathlib
import socket
import stat
import subprocess
import threading

from harness import BIN, PATIENCE, App, case, contains, eventually, main, same
from killing import APP

ALL_BYTES = bytes(range(256)) * 4


@contextlib.contextmanager
def idle_app():
    with App(APP, {"store": "test/store.wasm"}) as app:
        yield app


def both(function):
    """The case, once while the node runs and once while it does not."""
    def run():
        with idle_app() as app:
            function(app)
        with idle_app() as app, app.start():
            function(app)
    run.__name__ = function.__name__
    return case(run)


def kv(app, *args, stdin=b""):
    """As App.rusm, with bytes."""
    done = subprocess.run([BIN, "kv", *args], cwd=app.path, env=app.env, input=stdin,
                          capture_output=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


def start_kv(app, *args, **options):
    return subprocess.Popen([BIN, "kv", *args], cwd=app.path, env=app.env, **options)


def store_path(app):
    return app.path / "killed.data"


@both
def values_come_back_as_they_were(app):
    (app.path / "in").write_bytes(ALL_BYTES)
    same(kv(app, "set", "b/k", "in"), (0, b"set b/k (1024 bytes)\n", b""))
    same(kv(app, "get", "b/k"), (0, ALL_BYTES, b""))
    same(kv(app, "get", "b/k", "-"), (0, ALL_BYTES, b""))
    same(kv(app, "get", "b/k", "out"), (0, b"wrote 1024 bytes to out\n", b""))
    same((app.path / "out").read_bytes(), ALL_BYTES)
    same(kv(app, "set", "b/empty", "-"), (0, b"set b/empty (0 bytes)\n", b""))
    same(kv(app, "get", "b/empty"), (0, b"", b""))
    same(kv(app, "set", "b/a/b", "-", stdin=b"x"), (0, b"set b/a/b (1 bytes)\n", b""))
    same(kv(app, "list", "b"), (0, b"a/b\nempty\nk\n", b""))
    same(kv(app, "rm", "b/k"), (0, b"removed b/k\n", b""))
    same(kv(app, "delete", "b/k"), (0, b"no value at b/k\n", b""))
    same(kv(app, "get", "b/k"), (1, b"", b"kv failed: no value at b/k\n"))
    same(kv(app, "list", "other"), (0, b"(bucket `other` is empty)\n", b""))
    same(kv(app, "set", "c/é\a\u009b1m", "-"),
         (0, "set c/é\\x07\\xc2\\x9b1m (0 bytes)\n".encode(), b""))
    same(kv(app, "list", "c"), (0, "é\\x07\\xc2\\x9b1m\n".encode(), b""))


@both
def limits_are_errors(app):
    big = b"v" * (16 << 20)
    same(kv(app, "set", "b/big", "-", stdin=big)[0], 0)
    same(kv(app, "get", "b/big")[1] == big, True)
    code, _, err = kv(app, "set", "b/big", "-", stdin=big + b"v")
    same((code, err), (1, b"kv failed: - is too large: a value has at most 16777216 bytes\n"))
    code, _, err = kv(app, "set", "b/" + "k" * 509, "-")
    same((code, err),
         (1, b"kv failed: bucket and key have 510 bytes together, the limit is 509\n"))
    same(kv(app, "set", "b/" + "k" * 508, "-")[0], 0)
    code, _, err = kv(app, "set", b"b/\xff", "-")
    same((code, err), (1, b"kv failed: the key is not UTF-8\n"))
    code, _, err = kv(app, "set", "b/k", "nowhere")
    same((code, err), (1, b"kv failed: reading nowhere: No such file or directory\n"))


@case
def wrong_use():
    with idle_app() as app:
        same(kv(app, "fetch")[::2],
             (2, b"error: unknown `rusm kv` action `fetch` (use set | get | list | rm)\n"))
        same(kv(app, "set", "b/k")[::2],
             (2, b"error: `rusm kv set` takes 2 argument(s), got 1\n"))
        same(kv(app, "get")[::2],
             (2, b"error: `rusm kv get` takes <bucket>/<key> [<out-file>]\n"))
        same(kv(app, "get", "a")[::2], (2, b"error: expected `<bucket>/<key>`, got \"a\"\n"))
        same(kv(app, "get", "/k")[::2],
             (2, b"error: both bucket and key must be non-empty in \"/k\"\n"))
        code, out, err = kv(app)
        same((code, out), (2, b""))
        contains(err.decode(), "rusm kv — ")
        same(kv(app, "get", "b/k", "--listen", "x")[0], 2)
        same(store_path(app).exists(), False, "a store")
        app.manifest("")
        same(kv(app, "get", "b/k"),
             (1, b"", "kv failed: no durable store configured — set ‹store› in the [node] table "
                      "of rusm.toml\n".encode()))
        app.manifest("[node]\nstore = 1\n")
        same(kv(app, "get", "b/k")[0], 2)


@case
def a_closed_stream_does_not_take_the_store_in():
    """What opens the store must not get the number of a standard stream."""
    with idle_app() as app:
        same(kv(app, "set", "b/k", "-", stdin=ALL_BYTES)[0], 0)
        for args, closed in ((["get", "b/k"], 1), (["list", "b"], 1), (["rm", "b/none"], 1),
                             (["set", "b/k", "-"], 0), (["get", "b/none"], 2)):
            code = subprocess.run(
                ["/bin/sh", "-c", f'"$@" {closed}{"<" if closed == 0 else ">"}&-', "sh", BIN, "kv",
                 *args], cwd=app.path, env=app.env, capture_output=True, timeout=PATIENCE,
                check=False).returncode
            same((args, code), (args, 1))
        same(kv(app, "get", "b/k"), (0, ALL_BYTES, b""))


@case
def what_cannot_be_said_is_an_error():
    with idle_app() as app, open("/dev/full", "wb") as full:
        same(kv(app, "set", "b/k", "-", stdin=b"v")[0], 0)
        for args in (["set", "b/k", "rusm.toml"], ["get", "b/k"], ["list", "b"], ["list", "none"],
                     ["rm", "b/k"]):
            with start_kv(app, *args, stdout=full, stderr=subprocess.PIPE) as process:
                same(process.communicate(timeout=PATIENCE)[1],
                     b"kv failed: writing standard output: No space left on device\n")
                same(process.returncode, 1)


@case
def guests_and_the_command_see_the_same():
    with idle_app() as app, app.start() as node:
        node.request("PUT", "/put/w/1").expect(200, "true")  # with a time to live
        node.request("PUT", "/put/w/2").expect(200, "true")
        same(kv(app, "list", "killed"), (0, b"w-00000001\nw-00000002\n", b""))
        same(kv(app, "get", "killed/w-00000001"), (0, b"w/1/w/1/", b""))
        same(kv(app, "get", "written/w"), (0, b"2", b""))
        same(kv(app, "set", "written/w", "-", stdin=b"41")[0], 0)
        node.request("PUT", "/put/w/4").expect(200, "true")
        same(kv(app, "get", "written/w"), (0, b"42", b""))
        same(kv(app, "set", "written/w", "-", stdin=b"no number")[0], 0)
        contains(node.request("PUT", "/put/w/8").expect(500).body.decode(), "is no number")
        same(kv(app, "rm", "killed/w-00000001")[0], 0)
        same(node.get("/lost/w/1/3").json()["lost"] if kv(app, "rm", "written/w")[0] == 0 else None,
             [1])


@case
def long_lists_come_whole():
    with idle_app() as app, app.start() as node:
        connection = node.connect()
        for number in range(0, 4400, 4):
            connection.request("PUT", f"/put/w/{number}")
            same(connection.getresponse().read(), b"true")
        connection.close()
        wanted = "".join(f"w-{number:08}\n" for number in range(0, 4400, 4)).encode()
        same(kv(app, "list", "killed")[1] == wanted, True, "all keys in order")
        with start_kv(app, "list", "killed", stdout=subprocess.PIPE, pipesize=4096) as slow:
            same(slow.stdout.read(5), wanted[:5])  # its pipe is full, and there is a second page
            same(kv(app, "list", "other")[0], 0)
            same(slow.stdout.read() == wanted[5:], True, "the rest")
            same(slow.wait(PATIENCE), 0, "exit code")


@case
def who_waits_for_a_value_does_not_hold_the_store():
    """A value that is slow to come: meanwhile a node starts, and is asked by others."""
    with idle_app() as app:
        fifo = app.path / "slow"
        os.mkfifo(fifo)
        with start_kv(app, "set", "b/k", "slow", stdout=subprocess.DEVNULL) as slow, \
                open(fifo, "wb") as value:
            with app.start():  # somebody reads the fifo, or it would not be open
                same(kv(app, "set", "b/k", "-", stdin=b"early")[0], 0)
                value.write(b"late")
                value.close()
                same(slow.wait(PATIENCE), 0, "exit code")
                same(kv(app, "get", "b/k"), (0, b"late", b""))


@case
def a_second_node_is_refused():
    with idle_app() as app, app.start() as node:
        refused = app.rusm("serve").expect(1, err="serve failed: opening the store at ")
        contains(refused.err, f"process {node.process.pid} holds it")
        same(kv(app, "set", "b/k", "-", stdin=b"v")[0], 0)
        node.stop()
        same(os.path.exists(f"{store_path(app)}-sock"), False, "the socket")
        same(kv(app, "get", "b/k"), (0, b"v", b""))


@case
def what_a_killed_node_leaves_is_no_hindrance():
    with idle_app() as app:
        with app.start() as node:
            same(kv(app, "set", "b/k", "-", stdin=b"v")[0], 0)
            node.kill()
        path = pathlib.Path(f"{store_path(app)}-sock")
        same(path.exists(), True, "the socket is left")
        same(kv(app, "get", "b/k"), (0, b"v", b""))
        with app.start():
            mode = path.stat().st_mode
            same((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600), "the socket")
            same(kv(app, "get", "b/k"), (0, b"v", b""))


@case
def callers_that_misbehave_hold_nobody_up():
    """Silence, nonsense and half a question; the next caller is answered, and so is a stop."""
    with idle_app() as app, app.start() as node:
        path = f"{store_path(app)}-sock"
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"RKV1\x09" + b"\0" * 11, b"RKV1",
                      b"RKV1\x01\0\xff\xff\xff\xff\0\0\0\0\0\0",
                      b"RKV1\x02\0\1\0\1\0\0\0\xff\xff\xff\xff"):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(path)
                caller.sendall(words)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(path)
            same(kv(app, "set", "b/k", "-", stdin=b"v")[0], 0)  # after the silent one's 5 s
            silent.settimeout(PATIENCE)
            same(silent.recv(1), b"", "the silent one is dropped")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(path)
            node.stop()
        eventually(lambda: not os.path.exists(path), "the socket is gone")


def answer_in_a_nodes_place(listener, answer):
    """To whatever is asked, until the listener goes."""
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as caller:
                while caller.recv(4096):
                    caller.sendall(answer)


@case
def a_list_that_leads_nowhere_is_an_error():
    """What answers says that there is more, and not from where on."""
    with idle_app() as app:
        same(kv(app, "set", "b/k", "-", stdin=b"v")[0], 0)
        with open(store_path(app), "rb") as held, socket.socket(socket.AF_UNIX) as listener:
            fcntl.flock(held, fcntl.LOCK_EX)
            listener.bind(f"{store_path(app)}-sock")
            listener.listen()
            threading.Thread(target=answer_in_a_nodes_place, daemon=True,
                             args=(listener, b"RKV1" + bytes(4) + b"\1" + bytes(7))).start()
            same(kv(app, "list", "b"), (1, b"", b"kv failed: the node's answer cannot be read\n"))


@case
def a_long_path_is_no_hindrance():
    deep = "d" * 100
    with App(APP.replace("killed.data", f"{deep}/{deep}/k.data"),
             {"store": "test/store.wasm"}) as app, app.start():
        same(kv(app, "set", "b/k", "-", stdin=b"v")[0], 0)
        same(kv(app, "get", "b/k"), (0, b"v", b""))


if __name__ == "__main__":
    main()
