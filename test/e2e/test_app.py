#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example app, in Rust (the published crate) and in C: every route, the same bytes from both,
crashes that stay where they are, a store that survives the node."""
import concurrent.futures
import signal
import tempfile

from harness import Neighbour, case, check, copy_of, main, same

LANGUAGES = ("app-rust", "app-c")
HOME = b'{"app":"example","greeting":null}'


def each_language(function):
    """A case per language."""
    for folder in LANGUAGES:
        def run(folder=folder):
            with copy_of(folder) as app, app.start() as node:
                function(node)
        run.__name__ = f"{function.__name__}_{folder.replace('-', '_')}"
        case(run)
    return function


@each_language
def store(node):
    same(node.get("/").expect(200).header("content-type"), "application/json", "type")
    node.get("/").expect(200, HOME)
    text = 'gu"t\\ \n\u00e9 \u0001'
    wanted = '{"app":"example","greeting":"gu\\"t\\\\ \\n\u00e9 \\u0001"}'
    node.request("PUT", "/greeting", text.encode()).expect(200, wanted)
    node.get("/").expect(200, wanted)
    node.request("PUT", "/greeting", b"\xff").expect(400)
    node.get("/").expect(200, wanted)


@each_language
def parameters(node):
    """12, 16, 131"""
    node.get("/hello/ada").expect(200, "Hello, ada!\n")
    node.get("/hello/ada?x=1").expect(200, "Hello, ada!\n")
    node.get("/hello/%41").expect(200, "Hello, %41!\n")
    node.get("//hello//ada/").expect(200, "Hello, ada!\n")
    same(node.get("/hello/x").header("content-type"), "text/plain; charset=utf-8", "type")


@each_language
def echo(node):
    """132"""
    every_byte = bytes(range(256))
    for body in (b"", b"\0", every_byte, every_byte * 1000 + b"tail"):
        node.post("/echo", body).expect(200, body)
    chunked = (every_byte[i:i + 50] for i in range(0, 256, 50))
    node.post("/echo", chunked).expect(200, every_byte)  # http.client sends it in chunks


@each_language
def service_keeps_state(node):
    node.get("/visits").expect(200, '{"names":0,"total":0}')
    node.post("/visits", "ada").expect(200, '{"name":"ada","total":1,"visits":1}')
    node.post("/visits", "bob").expect(200, '{"name":"bob","total":2,"visits":1}')
    node.post("/visits", "ada").expect(200, '{"name":"ada","total":3,"visits":2}')
    node.get("/visits").expect(200, '{"names":2,"total":3}')


@each_language
def worker_per_job(node):
    for n, primes in ((0, 0), (2, 1), (100, 25), (1000000, 78498)):
        node.post("/jobs", str(n)).expect(200, f'{{"n":{n},"primes":{primes}}}')
    node.post("/jobs", "many").expect(400)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(node.post, "/jobs", "10000") for _ in range(40)]
        for job in jobs:
            job.result().expect(200, '{"n":10000,"primes":1229}')
    same(node.stop(), 1, "processes: workers and handlers are gone")


@each_language
def job_beyond_its_memory(node):
    """The worker may have 8 MiB; the job needs 20."""
    node.post("/jobs", "20000000").expect(
        500, '{"error":"the process ended without an answer"}')
    node.expect_logged("worker#")
    node.post("/jobs", "10").expect(200)


@each_language
def no_route_and_wrong_method(node):
    """133"""
    node.get("/nope").expect(404, "not found")
    node.get("/hello/a/b").expect(404, "not found")
    node.request("DELETE", "/").expect(405, "method not allowed")
    node.request("HEAD", "/").expect(405)
    node.get("/").expect(200, HOME)


@each_language
def crash_answers_502(node):
    """136, 139: and only its own client notices"""
    with Neighbour(node, "/", HOME) as neighbour:
        for _ in range(10):
            node.get("/crash").expect(502, "handler did not reply")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for answer in pool.map(node.get, ["/crash", "/hello/x"] * 20):
                check(answer.status in (200, 502), f"status {answer.status}")
    neighbour.expect_well("a crash")
    node.expect_logged("crashed")
    same(node.stop(), 1, "processes: nothing leaks")


@each_language
def two_requests_on_one_connection(node):
    """145"""
    connection = node.connect()
    for path, wanted in (("/hello/1", b"Hello, 1!\n"), ("/crash", b"handler did not reply"),
                         ("/nope", b"not found"), ("/hello/2", b"Hello, 2!\n")):
        connection.request("GET", path)
        response = connection.getresponse()
        same(response.read(), wanted, path)
        same(response.will_close, False, f"{path} closes the connection")
    connection.close()


@each_language
def pipelined_requests(node):
    with node.socket() as connection:
        connection.sendall(b"".join(
            b"GET /hello/%d HTTP/1.1\r\nhost: x\r\n\r\n" % i for i in range(20)))
        received = b""
        while received.count(b"Hello, ") < 20:
            piece = connection.recv(65536)
            check(piece, f"closed after {received[-200:]!r}")
            received += piece
        order = [line for line in received.split(b"\r\n\r\n") if line.startswith(b"Hello, ")]
        for i, line in enumerate(order):
            check(line.startswith(b"Hello, %d!\n" % i), f"answer {i}: {line!r}")


@each_language
def waiting_handlers(node):
    """Two hundred handlers wait at once and cost no thread each."""
    before = node.threads()
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        waiting = [pool.submit(node.get, "/slow/1000") for _ in range(200)]
        node.get("/").expect(200, HOME)
        check(node.threads() <= before + 8, f"{node.threads()} threads, {before} before")
        for answer in waiting:
            answer.result().expect(200, "waited 1000 ms\n")


@case
def survives_kill_9():
    """104: what was acknowledged is there afterwards"""
    for folder in LANGUAGES:
        with copy_of(folder) as app:
            for turn in range(5):
                with app.start() as node:
                    if turn > 0:
                        node.get("/").expect(200, f'{{"app":"example","greeting":"{turn - 1}"}}')
                    for value in (f"{turn}-first", f"{turn}-second", str(turn)):
                        node.request("PUT", "/greeting", value).expect(200)
                    node.send_signal(signal.SIGKILL)
                    node.wait()
            with app.start() as node:
                node.get("/").expect(200, '{"app":"example","greeting":"4"}')


@case
def same_bytes_from_both_languages():
    requests = [
        ("GET", "/", None), ("PUT", "/greeting", "\u00e9\n"), ("GET", "/", None),
        ("PUT", "/greeting", b"\xc3"), ("GET", "/hello/x%20y", None), ("POST", "/echo", b"\0\xff"),
        ("POST", "/visits", "ada"), ("POST", "/visits", b"\xff"), ("POST", "/visits", ""),
        ("POST", "/visits", 'q"\\\u0007\b'), ("GET", "/visits", None), ("POST", "/jobs", " 7\n"),
        ("POST", "/jobs", ""), ("POST", "/jobs", "-1"), ("POST", "/jobs", "4294967295"),
        ("POST", "/jobs", "30000000"), ("GET", "/slow/1", None), ("GET", "/slow/x", None),
        ("GET", "/crash", None), ("GET", "/none", None), ("PATCH", "/visits", None),
    ]
    seen = []
    for folder in LANGUAGES:
        with copy_of(folder) as app, app.start() as node:
            answers = []
            for method, path, body in requests:
                body = body.encode() if isinstance(body, str) else body
                answer = node.request(method, path, body)
                answers.append((answer.status, answer.header("content-type"), answer.body))
            seen.append(answers)
    for request, rust, c in zip(requests, *seen):
        same(c, rust, f"{request}: C against Rust")


@case
def start_to_first_answer():
    """A figure, not a limit: the first start compiles, the second finds compiled code."""
    for folder in LANGUAGES:
        with copy_of(folder) as app, tempfile.TemporaryDirectory() as cache:
            app.env["RUSM_CACHE_DIR"] = cache
            for what in ("cold", "warm", "warm"):
                with app.start() as node:
                    node.get("/").expect(200, HOME)
                    print(f"# {folder}, {what} cache: {node.start_seconds * 1000:.0f} ms to ready")


if __name__ == "__main__":
    main()
