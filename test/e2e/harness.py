# SPDX-License-Identifier: MIT
"""Tools of the end-to-end tests: apps in temporary folders, nodes, requests, cases.

A test program is a list of functions marked with @case. Each is one test; the program prints
"ok NAME" or "not ok NAME" for each and ends with 1 after a failure. Nothing is left behind: nodes
that a failed case did not stop are killed, temporary folders removed.

  RUSM_BIN     the program under test; default: build/release/rusm
  RUSM_GUESTS  where tools/guests.sh put the guests; default: build/guests
"""
import contextlib
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
BIN = os.environ.get("RUSM_BIN", str(BUILD / "release/rusm"))
GUESTS = pathlib.Path(os.environ.get("RUSM_GUESTS", BUILD / "guests"))
APPS = pathlib.Path(__file__).parent / "apps"
PATIENCE = 30  # seconds; far more than anything takes on an idle machine

cases = []


def case(function):
    cases.append(function)
    return function


def name_of(function):
    return function.__name__.replace("_", "-")


def main():
    wanted = sys.argv[1:]
    failed = 0
    for function in cases:
        name = name_of(function)
        if wanted and name not in wanted:
            continue
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:  # a case may fail in any way; the rest still runs
            failed += 1
            print(f"not ok {name}: {error}", flush=True)
            traceback.print_exc(file=sys.stdout)
        finally:
            for leftover in list(Node.alive):
                leftover.kill()
    left = [pid for pid in children() if pid != os.getpid()]
    if left:
        print(f"not ok leaves-nothing-behind: processes {left}")
        failed += 1
    sys.exit(1 if failed else 0)


def children():
    """Processes that this program started and that still run."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def same(found, wanted, what="answer"):
    check(found == wanted, f"{what}: found {found!r}, wanted {wanted!r}")


def contains(text, part, what="text"):
    check(part in text, f"{what} lacks {part!r}:\n{text}")


# How most manifests begin: what is logged, a listener on a free port, and its routes, which follow.
ROUTED = """
[log]
level = "info"
[[serve]]
protocol = "http"
listen = "127.0.0.1:0"
[serve.routes]
"""


def eventually(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def set_limits(limits):
    """In the child, before the program starts."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, name), (most, most))


class Finished:
    """What a command printed, and how it ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def expect(self, code, out=None, err=None):
        what = f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}"
        same(self.code, code, what)
        if out is not None:
            contains(self.out, out, what)
        if err is not None:
            contains(self.err, err, what)
        return self


class App:
    """An app folder that goes away with its `with` block."""

    # Compiled code, shared by the apps of one test program.
    cache = tempfile.TemporaryDirectory(prefix="rusm-e2e-cache-")

    def __init__(self, manifest="", artefacts=None):
        """`artefacts`: name in ./wasm -> file below RUSM_GUESTS, or bytes."""
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="rusm-e2e-"))
        (self.path / "wasm").mkdir()
        self.env = dict(os.environ, RUSM_CACHE_DIR=App.cache.name)
        if manifest is not None:
            self.manifest(manifest)
        for name, source in (artefacts or {}).items():
            self.artefact(name, source)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in [node for node in Node.alive if node.app is self]:
            node.kill()
        shutil.rmtree(self.path, ignore_errors=True)

    def manifest(self, text):
        (self.path / "rusm.toml").write_text(text)

    def artefact(self, name, source):
        target = self.path / "wasm" / f"{name}.wasm"
        if isinstance(source, bytes):
            target.write_bytes(source)
        else:
            shutil.copy(GUESTS / source, target)

    def rusm(self, *args, timeout=PATIENCE, limits=None):
        """Run a command that ends by itself."""
        with subprocess.Popen([BIN, *args], cwd=self.path, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=lambda: set_limits(limits or {})) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise AssertionError(f"{args} did not end: {out!r} {err!r}") from None
        return Finished(process.returncode, out.decode(), err.decode(errors="replace"))

    def start(self, *args, **options):
        return Node(self, *(args or ("serve",)), **options)


def copy_of(folder, **changes):
    """An app made of a folder that tools/guests.sh built, listening on a port of its own."""
    source = GUESTS / folder
    manifest = (source / "rusm.toml").read_text().replace("127.0.0.1:8080", "127.0.0.1:0")
    for old, new in changes.items():
        manifest = manifest.replace(old, new)
    artefacts = sorted((source / "wasm").resolve().iterdir())
    return App(manifest, {path.stem: path for path in artefacts})


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = response.read()

    def header(self, name):
        return dict(self.headers).get(name)

    def json(self):
        return json.loads(self.body)

    def expect(self, status, body=None):
        same(self.status, status, f"status (body {self.body[:200]!r})")
        if body is not None:
            same(self.body, body.encode() if isinstance(body, str) else body, "body")
        return self


class Node:
    """A node that runs in an app folder."""

    alive = []

    def __init__(self, app, *args, env=None, wait=True, limits=None):
        """`limits`: of the system, by the names of `resource`, as RLIMIT_AS -> bytes."""
        self.app = app
        self.errors_path = app.path / "stderr.txt"
        self.lines = []
        self._is_up = False
        self._ready = threading.Event()
        started = time.monotonic()
        with open(self.errors_path, "ab") as errors:
            self.process = subprocess.Popen(
                [BIN, *args], cwd=app.path, env=dict(app.env, **(env or {})),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                preexec_fn=lambda: set_limits(limits or {}))
        Node.alive.append(self)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if wait:
            check(self._ready.wait(PATIENCE) and self._is_up,
                  f"the node did not start: {self.out()} {self.errors()}")
        self.start_seconds = time.monotonic() - started

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self in Node.alive:
            self.stop()
        self.kill()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))
            if line.startswith(b"press Ctrl-C"):
                self._is_up = True
                self._ready.set()
        self._ready.set()  # the end of the output: it will not start any more

    def out(self):
        return "\n".join(self.lines)

    def errors(self):
        return self.errors_path.read_text(errors="replace")

    def expect_logged(self, part):
        """The log is written behind the back of whatever it tells of."""
        eventually(lambda: part in self.errors(), f"{part!r} in the log: {self.errors()}")

    def urls(self):
        return [line.split()[-1] for line in self.lines if "://" in line]

    def address(self, index=0):
        host, _, port = self.urls()[index].rpartition("://")[2].rpartition(":")
        return host, int(port)

    # ---- requests ----

    def connect(self, timeout=PATIENCE):
        host, port = self.address()
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def socket(self, timeout=PATIENCE):
        return socket.create_connection(self.address(), timeout=timeout)

    def abandon(self, path, after=0.3):
        """Ask for something that will not be answered, and hang up."""
        with self.socket() as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            connection.settimeout(after)
            with contextlib.suppress(socket.timeout):
                return connection.recv(4096)
        return b""

    # ---- looking at the process ----

    def memory_kb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    # ---- the end ----

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE):
        code = self.process.wait(timeout)
        self._reader.join(PATIENCE)
        self.process.stdout.close()
        Node.alive.remove(self)
        return code

    def stop(self, number=signal.SIGINT):
        """A clean stop; returns how many processes the node said that it ended."""
        self.send_signal(number)
        same(self.wait(), 0, f"exit code (stderr: {self.errors()[-2000:]})")
        contains(self.out(), "stopping ")
        line = next(line for line in self.lines if line.startswith("stopping "))
        same(line, f"stopping {line.split()[1]} process(es)…", "the last line")
        return int(line.split()[1])

    def kill(self):
        if self in Node.alive:
            self.process.kill()
            self.wait()


class Neighbour:
    """Asks for the same page again and again beside whatever else happens."""

    def __init__(self, node, path, wanted, pause_s=0.01):
        self.node, self.path, self.wanted, self.pause_s = node, path, wanted, pause_s
        self.delays, self.wrong = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def ask(self):
        answer = self.node.get(self.path)
        return answer.status, answer.body

    def _run(self):
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                answer = self.ask()
                if answer != (200, self.wanted):
                    self.wrong.append(answer)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
            self.delays.append(time.monotonic() - started)
            self._stop.wait(self.pause_s)

    def p99_ms(self):
        return sorted(self.delays)[int(len(self.delays) * 0.99)] * 1000

    def expect_well(self, what, p99_ms=2000, most_s=5):
        """Every answer was right. A delay is bounded only so far as a loaded machine allows."""
        same(self.wrong, [], f"answers to a neighbour of {what}")
        check(len(self.delays) > 0, f"a neighbour of {what} was asked at least once")
        check(self.p99_ms() < p99_ms, f"a neighbour of {what}: p99 {self.p99_ms():.0f} ms")
        check(max(self.delays) < most_s, f"a neighbour of {what} waited {max(self.delays):.3f} s")
