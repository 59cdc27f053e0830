# SPDX-License-Identifier: MIT
"""The node is killed again and again while eight guests write: whatever a guest has answered for is
there afterwards, and the store opens each time. Each request is a guest (test/guest/rust/store)
that writes one numbered key, in one of four ways, and answers when it is durable."""
import http.client
import random
import threading
import time

from harness import PATIENCE, App, Node, check, same

WRITERS = 8
CHUNK = 500  # keys that one request looks for

APP = """
[node]
store = "killed.data"
[[serve]]
protocol = "http"
listen = "127.0.0.1:0"
[serve.routes]
"PUT /put/:writer/:number" = "store#put"
"GET /lost/:writer/:from/:number" = "store#lost_of"
"GET /pages" = "store#pages"
[capabilities.writer]
allow-storage = true
[components.store]
capability = "writer"
"""


class Writer:
    """Writes the next number until the node is gone. All below `next` were acknowledged."""

    def __init__(self, name):
        self.name = name
        self.next = 0
        self.checked = 0
        self.wrong = None

    def run(self, address):
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
        try:
            while True:
                connection.request("PUT", f"/put/{self.name}/{self.next}")
                response = connection.getresponse()
                body = response.read()
                if response.status != 200 or body != b"true":
                    self.wrong = f"{self.name}-{self.next}: {response.status} {body!r}"
                    return
                self.next += 1
        except (OSError, http.client.HTTPException):
            pass  # killed: what was on the way counts as not acknowledged
        finally:
            connection.close()

    def look(self, node, first):
        """Everything acknowledged from number `first` on is there."""
        for start in range(first, self.next, CHUNK):
            end = min(start + CHUNK, self.next)
            found = node.get(f"/lost/{self.name}/{start}/{end}").expect(200).json()
            same(found["lost"], [], f"lost of {self.name} after {self.next} acknowledged")
            check(found["written"] >= self.next,
                  f"{self.name} counted {found['written']}, {self.next} were acknowledged")
        self.checked = self.next


def write_and_kill(node, writers, seconds):
    threads = [threading.Thread(target=writer.run, args=(node.address(),)) for writer in writers]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    node.kill()
    for thread in threads:
        thread.join(PATIENCE)
    for writer in writers:
        same(writer.wrong, None, "refused")


def kill_again_and_again(rounds):
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    chance = random.Random(seed)
    writers = [Writer(f"w{number}") for number in range(WRITERS)]
    with App(APP, {"store": "test/store.wasm"}) as app:
        for _ in range(rounds):
            node = Node(app, "serve")
            for writer in writers:
                writer.look(node, writer.checked)
            write_and_kill(node, writers, chance.uniform(0.02, 0.6))
        acknowledged = sum(writer.next for writer in writers)
        check(acknowledged >= rounds, f"{acknowledged} writes in {rounds} rounds")
        with app.start() as node:
            for writer in writers:
                writer.look(node, 0)
            keys = node.get("/pages").expect(200).json()
            check(acknowledged <= keys <= acknowledged + WRITERS, f"{keys} keys in pages")
        listed = app.rusm("kv", "list", "killed").expect(0).out.split()
        same(len(listed), keys, "keys")
        print(f"# {acknowledged} writes acknowledged in {rounds} rounds")
