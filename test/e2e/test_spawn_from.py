#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""spawn-from by a real node: components and commands, given inline, from the store and from a URL;
and where a URL may lead."""
import contextlib
import http.server
import threading

from harness import GUESTS, App, case, check, contains, main, same

MANIFEST = """
[node]
store = "app.data"
[log]
level = "info"
[[serve]]
protocol = "http"
listen = "127.0.0.1:0"
[serve.routes]
"POST /spawn/:template" = "reach#spawn"
"POST /unlisted/:template" = "unlisted#spawn"
"POST /poor/:template" = "poor#spawn"
"PUT /keep/:key" = "reach#keep"
[capabilities.asks]
allow-spawn = true
allow-network = true
allow-storage = true
url-local-hosts = [{hosts}]
[capabilities.unlisted]
allow-spawn = true
allow-network = true
[capabilities.poor]
allow-spawn = true
[capabilities.runs]
allow-stdio = true
env = ["STATUS"]
[components.reach]
capability = "asks"
[components.unlisted]
capability = "unlisted"
[components.poor]
capability = "poor"
[components.actor]
dynamic = "wasm"
capability = "runs"
[components.tool]
dynamic = "wasi-cli"
capability = "runs"
"""

# Says one word to standard output and ends, as an actor and as a command.
SAYS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\%02x\\00\\00\\00") (data (i32.const 16) "%s\\n")
  (func (export "%s")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


def says(word, entry):
    return SAYS % (len(word) + 1, word, entry)


def app_for(port=None):
    hosts = f'"127.0.0.1:{port}", "localhost:{port}"' if port else ""
    return App(MANIFEST.format(hosts=hosts), {
        name: "test/reach.wasm" for name in ("reach", "unlisted", "poor")})


class Bundles(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.server.bundles.get(self.path)
        self.send_response(200 if body else 302)
        if not body:
            self.send_header("Location", self.server.leads_to)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def server(bundles=None, leads_to="/"):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bundles) as listening:
        listening.bundles, listening.leads_to, listening.asked = bundles or {}, leads_to, []
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listening
        finally:
            listening.shutdown()
            thread.join()


def spawn(node, template, source, who="spawn"):
    answer = node.post(f"/{who}/{template}", source).expect(200).json()
    check("pid" in answer, f"{template} from {source[:60]}: {answer.get('error')}")
    node.expect_logged(f"exit   {template}#{answer['pid']}")
    lines = [line for line in node.errors().splitlines()
             if f"exit   {template}#{answer['pid']}" in line]
    contains(lines[0], "normal")


def refusal(node, source, who="spawn", template="actor"):
    return node.post(f"/{who}/{template}", source).expect(200).json().get("error", "no error")


# ---- what runs ----

@case
def inline():
    with app_for() as app, app.start() as node:
        spawn(node, "actor", "inline:" + says("actor-inline", "run"))
        spawn(node, "tool", "inline:" + says("tool-inline", "_start"))
        node.stop()
        contains(node.out(), "actor-inline")
        contains(node.out(), "tool-inline")


@case
def from_the_store():
    with app_for() as app, app.start() as node:
        same(node.request("PUT", "/keep/actor", says("actor-kv", "run")).json(), {})
        same(node.request("PUT", "/keep/tool", (GUESTS / "test/status.wasm").read_bytes()).json(),
             {})
        spawn(node, "actor", "kv:bundles/actor")
        spawn(node, "tool", "kv:bundles/tool")
        contains(refusal(node, "kv:bundles/nothing"), "nothing")
        contains(refusal(node, "kv:bundles/actor", who="poor"), "missing the storage capability")
        node.stop()
        contains(node.out(), "actor-kv")
        contains(node.out(), "STATUS=")
        contains(node.errors(), "to allow it put `allow-storage = true` under [capabilities.poor]")


@case
def from_a_url():
    bundles = {"/actor": says("actor-url", "run").encode(),
               "/tool": (GUESTS / "test/status.wasm").read_bytes()}
    with server(bundles) as listening, app_for(listening.server_port) as app:
        with app.start() as node:
            at = f"127.0.0.1:{listening.server_port}"
            for _ in range(3):  # the second and third from the cache
                spawn(node, "actor", f"url:http://{at}/actor")
            spawn(node, "tool", f"http://{at}/tool")
            node.stop()
            same(listening.asked, ["/actor", "/tool"], "requests")
            same(node.out().count("actor-url"), 3, "words of the actor")
            contains(node.out(), "STATUS=")


# ---- where a URL may lead ----

@case
def this_machine_is_refused_unless_listed():
    with server({"/actor": says("never", "run").encode()}) as listening:
        port = listening.server_port
        with app_for(port) as app, app.start() as node:
            for host in ("127.0.0.1", "localhost"):  # by its name too: the address is judged
                error = refusal(node, f"url:http://{host}:{port}/actor", who="unlisted")
                contains(error, "is this machine, its link or a private network")
                contains(error, "`url-local-hosts`")
            contains(refusal(node, f"url:http://127.0.0.1:{port}/actor", who="poor"),
                     "missing the network capability")
            same(listening.asked, [], "requests")
            node.stop()
            contains(node.errors(), "to allow it put `allow-network = true` under "
                                    "[capabilities.poor]")
            check("never" not in node.out(), "it ran")


@case
def private_networks_are_refused_unless_listed():
    with app_for() as app, app.start() as node:
        for host in ("10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254",
                     "[fd00::1]", "[fe80::1]", "[::ffff:10.1.2.3]", "0.0.0.0", "[::]"):
            error = refusal(node, f"url:http://{host}:9/x")
            contains(error, f"fetching http://{host}:9/x: ")
            contains(error, "is this machine, its link or a private network")


@case
def a_redirect_leads_to_no_other_place():
    """What is listed is the place that the URL names, not what a server there points at."""
    with server({"/actor": says("never", "run").encode()}) as inner:
        with server(leads_to=f"http://localhost:{inner.server_port}/actor") as outer:
            with app_for(outer.server_port) as app, app.start() as node:
                error = refusal(node, f"url:http://127.0.0.1:{outer.server_port}/moved")
                contains(error, "localhost is this machine, its link or a private network")
                same(inner.asked, [], "requests")


main()
