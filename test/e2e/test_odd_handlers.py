#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Handlers that answer strangely, and what their clients get. The node owns the framing of HTTP
and answers for whoever does not."""
import contextlib
import socket
import time

from harness import APPS, App, Neighbour, Node, case, check, contains, eventually, main, same

HELLO = b"Hello from a sandbox of its own.\n"


def odd_app():
    return App((APPS / "odd/rusm.toml").read_text(), {
        "odd": "test/odd.wasm", "stranger": "test/stranger.wasm", "hello": "hello/wasm/hello.wasm"})


def with_node(function):
    def run():
        with odd_app() as app, app.start() as node:
            function(node)
            if node in Node.alive:
                node.get("/hello").expect(200, HELLO)
    run.__name__ = function.__name__
    return case(run)


@with_node
def no_answer(node):
    """137"""
    node.get("/odd/silent").expect(502, "handler did not reply")
    same(node.stop(), 0, "processes: nothing leaks")


@case
def unknown_action():
    """134"""
    with odd_app() as app, app.start() as node:
        node.get("/hello/unknown").expect(404, "no such action")


@with_node
def errors_of_handlers(node):
    """135"""
    node.get("/odd/refuse").expect(500, "not today")
    node.get("/odd/status_1000").expect(500, "invalid response")
    node.get("/odd/empty_ok").expect(500, "reply missing `ok`")
    node.get("/odd/garbage").expect(500)
    node.get("/odd/bad_base64").expect(500)


@with_node
def answers_that_are_fine(node):
    node.get("/odd/plain").expect(200, "ok")
    node.get("/odd/no_headers").expect(200, "")
    node.get("/odd/other_ref").expect(200, "ok")
    same(node.get("/odd/status_404").expect(404, "no").header("x-odd"), "yes", "x-odd")
    cookies = [v for n, v in node.get("/odd/repeated_header").headers if n == "set-cookie"]
    same(cookies, ["a=1", "b=2"], "set-cookie")


@with_node
def header_injection(node):
    for action in ("split_header", "bad_header_name"):
        answer = node.get(f"/odd/{action}")
        check(answer.status in (500, 502), f"{action}: status {answer.status}")
        same(answer.header("x-injected"), None, "x-injected")


@with_node
def framing_belongs_to_the_node(node):
    """A52: whatever the handler says, the next answer on the connection is read right."""
    connection = node.connect()
    for action in ("framing", "status_101", "plain"):
        connection.request("GET", f"/odd/{action}")
        response = connection.getresponse()
        body = response.read()
        same(response.getheader("transfer-encoding"), None, f"{action}: transfer-encoding")
        same(int(response.getheader("content-length")), len(body), f"{action}: content-length")
        check(response.status != 101, f"{action}: 101 went out")
    same(body, b"ok", "the last body")
    connection.close()


@with_node
def first_answer_counts(node):
    connection = node.connect()
    for action in ("twice", "answer_and_crash", "answer_and_spin", "twice", "plain"):
        connection.request("GET", f"/odd/{action}")
        response = connection.getresponse()
        same((response.status, response.read()), (200, b"ok"), action)
    connection.close()


@with_node
def answer_of_a_stranger(node):
    """138, A40: only the handler can answer its request"""
    node.get("/odd/stranger").expect(200, "ok")


@with_node
def large_answer(node):
    body = node.get("/odd/large").expect(200).body
    same((len(body), body[:3], body[-1:]), (1 << 20, b"abc", bytes([97 + ((1 << 20) - 1) % 26])))
    with node.socket() as connection:  # a client that leaves in the middle
        connection.sendall(b"GET /odd/large HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(1000)
    node.get("/odd/plain").expect(200, "ok")


@with_node
def client_that_leaves(node):
    """Its handler is ended: nothing is left behind, also if it spins."""
    with Neighbour(node, "/hello", HELLO) as neighbour:
        same(node.abandon("/odd/wait_for_ever"), b"", "an early answer")
        same(node.abandon("/odd/spin"), b"", "an early answer")
    neighbour.expect_well("a handler that spins")

    for path in ("/odd/wait_for_ever", "/odd/spin"):
        node.expect_logged(f"GET {path} → 499")
    eventually(lambda: node.errors().count("  killed") >= 2, "both handlers are gone")
    with node.socket() as connection:  # answered and closed: nobody left
        connection.sendall(b"GET /odd/plain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while connection.recv(1000):
            pass
    node.expect_logged("GET /odd/plain → 200")
    check("GET /odd/plain → 499" not in node.errors(), node.errors())
    same(node.stop(), 0, "processes: nothing leaks")


@with_node
def what_a_handler_sees(node):
    same(node.get("/odd/mirror/a//b?x=%20&y").body.decode(),
         'GET /odd/mirror/a//b?x=%20&y [["action","mirror"],["*","a/b"]] 0')
    same(node.post("/odd/mirror?q", b"12345").body.decode(),
         'POST /odd/mirror?q [["action","mirror"]] 5')


@with_node
def configured_headers(node):
    """141"""
    for path, status in (("/odd/plain", 200), ("/nope", 404), ("/odd/silent", 502)):
        same(node.get(path).expect(status).header("x-node"), "yes", path)


@with_node
def broken_requests(node):
    for request in (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"\0\1\2\3\r\n\r\n",
                    b"GET /odd/plain HTTP/1.1\r\ncontent-length: 5\r\n"
                    b"transfer-encoding: chunked\r\n\r\n",
                    b"GET /odd/plain HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
                    b"POST /odd/mirror HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                    b"zz\r\n"):
        with node.socket() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
            contains(answer.decode(), "HTTP/1.1 400", f"answer to {request!r}")


@with_node
def requests_beyond_the_limits(node):
    header = b"x-a: " + b"b" * 50 + b"\r\n"
    for request, status in (
            (b"POST /odd/mirror HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\nabc", 413),
            (b"GET /odd/" + b"b" * 100000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
            (b"GET /odd/plain HTTP/1.1\r\nhost: x\r\n" + header * 4000 + b"\r\n", 431),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)):
        with node.socket() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            answer = connection.recv(4096)
            contains(answer.decode(), f"HTTP/1.1 {status} ", f"answer to {request[:60]!r}")


@with_node
def half_a_request(node):
    for part in (b"GE", b"GET /odd/plain HTTP/1.1\r\nhost:", b"POST /odd/mirror HTTP/1.1\r\n"
                 b"content-length: 100\r\n\r\nhalf"):
        with node.socket() as connection:
            connection.sendall(part)
    node.get("/odd/plain").expect(200, "ok")


if __name__ == "__main__":
    main()
