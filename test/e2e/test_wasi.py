#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a guest reaches through WASI: nothing without a grant, and people are told once of each
target, with the line of the manifest that would allow it; with a grant, that and no more. Requests
of guests."""
import contextlib
import http.server
import re
import ssl
import subprocess
import threading

from harness import App, case, check, contains, main, same

MANIFEST = """
[log]
level = "warn"
[[serve]]
protocol = "http"
listen = "127.0.0.1:0"
[serve.routes]
"GET /everything" = "reach#everything"
"GET /files" = "reach#files"
"GET /nothing" = "reach#nothing"
"POST /fetch" = "reach#fetch"
[capabilities.mine]
{grants}
[components.reach]
capability = "mine"
"""


def app_with(grants=""):
    return App(MANIFEST.format(grants=grants), {"reach": "test/reach.wasm"})


def denials(node):
    """The lines about refusals, without time and pid."""
    lines = [line for line in node.errors().splitlines() if " denied " in line or "limit" in line]
    return sorted(re.sub(r".*reach#\d+ +", "", line) for line in lines)


# ---- no grant ----

@case
def without_grants_there_is_nothing():
    with app_with() as app, app.start(env={"SECRET": "x"}) as node:
        for _ in range(3):  # said once all the same
            found = node.get("/everything").expect(200).json()
        same(found["variables"], 0, "environment")
        same(found["input"], 0, "bytes of standard input")
        for what in ("read", "list", "write", "connect", "listen", "datagram", "resolve"):
            check(found[what] != "ok", f"{what} works: {found}")
        node.stop()
        check("by the guest" not in node.out() + node.errors(), "standard output reached people")
        allow = "to allow it put `allow-network = true` under [capabilities.mine]"
        same(denials(node), [f"wasi:sockets create-tcp-socket of an IPv4 address; {allow}",
                             f"wasi:sockets resolve-addresses of localhost; {allow}"])


@case
def a_profile_with_a_dot_is_quoted():
    """The line that is shown can be put into the file as it is"""
    manifest = MANIFEST.replace("[capabilities.mine]", '[capabilities."my.own"]')
    manifest = manifest.format(grants="").replace('"mine"', '"my.own"')
    with App(manifest, {"reach": "test/reach.wasm"}) as app, app.start() as node:
        node.get("/everything").expect(200)
        node.stop()
        for line in denials(node):
            contains(line, ' under [capabilities."my.own"]')
        check(denials(node), "nothing was told")


@case
def who_asks_for_nothing_is_not_told_of():
    with app_with() as app, app.start() as node:
        node.get("/nothing").expect(200)
        node.stop()
        same(denials(node), [], "lines")


# ---- folders ----

def files_of(app, node):
    folder = app.path / "data"
    folder.mkdir()
    (folder / "in.txt").write_text("what is inside")
    (app.path / "secret.txt").write_text("what is outside")
    (folder / "link.txt").symlink_to("../secret.txt")
    return node.get("/files").expect(200).json()


@case
def a_folder_for_reading():
    with app_with('preopen = [{ host = "data", guest = "/data" }]') as app:
        with app.start() as node:
            found = files_of(app, node)
            node.get("/files").expect(200)
            same(found["read"], "what is inside")
            same(found["missing"], "NotFound")
            for what in ("write", "make", "remove", "above", "link"):
                same(found[what], "PermissionDenied", what)
            node.stop()
            told = denials(node)
            same(len(told), 4, f"lines: {told}")
            for line, wanted in zip(told, [
                    "create-directory-at of new; to allow it put `preopen = [{ host = ",
                    "open-at of ../secret.txt; to allow it put `{ host ",
                    "open-at of in.txt; to allow it put `preopen = [{ host = ",
                    "open-at of link.txt; to allow it put `{ host "]):
                contains(line, "wasi:filesystem " + wanted)
            contains(told[2], 'guest = "/data", read-only = false }]` under [capabilities.mine]')
        same((app.path / "data/in.txt").read_text(), "what is inside")


@case
def a_folder_for_writing():
    grant = 'preopen = [{ host = "data", guest = "/data", read-only = false }]'
    with app_with(grant) as app, app.start() as node:
        found = files_of(app, node)
        for what in ("write", "make", "remove"):
            same(found[what], "ok", what)
        for what in ("above", "link"):
            same(found[what], "PermissionDenied", what)
        node.stop()
        told = denials(node)
        same(len(told), 2, f"lines: {told}")
        contains(told[0], "wasi:filesystem open-at of ../secret.txt; ")
        contains(told[1], "wasi:filesystem open-at of link.txt; ")


# ---- the network ----

@case
def the_network_is_for_connecting():
    with app_with("allow-network = true") as app, app.start() as node:
        found = node.get("/everything").expect(200).json()
        for what in ("datagram", "resolve"):
            same(found[what], "ok", what)
        same(found["connect"], "connection-refused", "nobody listens there")
        same(found["listen"], "access-denied", "listening")
        node.stop()
        told = [line for line in denials(node) if "sockets" in line]
        same(told, ["wasi:sockets tcp bind of 127.0.0.1:0; guests connect, and no grant lets them "
                    "listen"], "lines")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/hi": b"hello, guest", "/large": b"x" * (3 << 20),
                "/cut": b"cut"}.get(self.path, b"")
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/hi")
        elif self.path == "/head":
            self.send_response(200)
            self.send_header("X-Large", "x" * (256 << 10))
        else:
            self.send_response(200 if body else 404)
            self.send_header("X-Seen", self.headers["x-asked-by"])
        self.send_header("Content-Length", str(len(body) + (self.path == "/cut")))
        self.end_headers()
        with contextlib.suppress(OSError):  # a client that refuses the head has left
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that does not trust us hangs up."""


@contextlib.contextmanager
def server(certificate=None):
    with Quiet(("127.0.0.1", 0), Answers) as listening:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            listening.socket = context.wrap_socket(
                listening.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listening.server_port
        finally:
            listening.shutdown()
            thread.join()


def fetch(node, url):
    return node.post("/fetch", url).expect(200).json()


@case
def a_request_is_answered():
    with app_with("allow-network = true") as app, app.start() as node, server() as port:
        at = f"http://127.0.0.1:{port}"
        answer = fetch(node, f"{at}/hi")
        same((answer["status"], answer["body"]), (200, "hello, guest"))
        same({k.lower(): v for k, v in answer["headers"]}.get("x-seen"), "reach", "a header")
        same(fetch(node, f"{at}/missing")["status"], 404)
        same(fetch(node, f"{at}/large")["size"], 3 << 20, "bytes")
        moved = fetch(node, f"{at}/moved")  # to follow it is for the guest
        same((moved["status"], moved["size"]), (302, 0))
        check("error" in fetch(node, f"{at}/head"), "a head of 256 KiB is an error")
        check("error" in fetch(node, "http://127.0.0.1:1/"), "nobody listens")
        same(denials(node), [], "lines")


@case
def a_request_without_the_network():
    with app_with() as app, app.start() as node, server() as port:
        for _ in range(2):
            contains(fetch(node, f"http://127.0.0.1:{port}/hi")["error"], "HttpRequestDenied")
        node.stop()
        same(denials(node), [f"wasi:http request of 127.0.0.1:{port}; to allow it put "
                             "`allow-network = true` under [capabilities.mine]"], "lines")


@case
def an_error_shows_nothing_of_the_host():
    with app_with("allow-network = true") as app, server() as port:
        with app.start(env={"RUST_BACKTRACE": "1"}) as node:
            error = fetch(node, f"http://127.0.0.1:{port}/cut")["error"]
            contains(error, "error reading a body from connection")
            check("backtrace" not in error and len(error) < 200, error)


# ---- TLS ----

def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.pem", "-addext", "keyUsage=critical,keyCertSign")
    return folder / f"{name}.pem"


def certificate(folder, by):
    """For localhost, signed by that authority."""
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (folder / "san").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", by.name, "-CAkey",
            by.with_suffix(".key").name, "-CAcreateserial", "-days", "2", "-extfile", "san",
            "-out", "server.pem")
    return folder / "server.pem"


@case
def tls_believes_whom_the_system_trusts():
    with app_with("allow-network = true") as app:
        ours, other = authority(app.path, "ours"), authority(app.path, "other")
        with server(certificate(app.path, ours)) as port:
            with app.start(env={"SSL_CERT_FILE": str(ours)}) as node:
                answer = fetch(node, f"https://localhost:{port}/hi")
                same((answer.get("status"), answer.get("body")), (200, "hello, guest"), answer)
                wrong_name = fetch(node, f"https://127.0.0.1:{port}/hi")
                contains(wrong_name["error"], "Tls", "a certificate for another name")
            with app.start(env={"SSL_CERT_FILE": str(other)}) as node:
                contains(fetch(node, f"https://localhost:{port}/hi")["error"], "Tls",
                         "a certificate of a stranger")
        with server() as port, app.start(env={"SSL_CERT_FILE": str(ours)}) as node:
            contains(fetch(node, f"https://localhost:{port}/hi")["error"], "Tls",
                     "a server that knows no TLS")


main()
