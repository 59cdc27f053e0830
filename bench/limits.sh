#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# How far beyond its limit of time a guest gets, and what its neighbours notice.
#
#   ./dev bench limits [--json] [--rounds N]
#
# Handlers of requests with limits of 100 ms that spin, also in a start function, or wait.
# limits-late is the time from the request to the 504 beyond the limit, as the client sees it (for
# cpu-ms that is time of the clock, which on a busy machine is more than the CPU time); limits-used
# is what the node says of the CPU time beyond the limit; both are medians, with the most beside
# it. limits-neighbour is the median time of a handler that answers at once, asked again and again
# meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=20 json=no
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=yes ;;
    --peers) echo "bench limits: the reference has no such limits" >&2 ;;
    --rounds) rounds=$2 && shift ;;
    *) echo "bench limits: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=test/e2e python3 - "$rounds" "$json" <<'PY'
import json
import os
import re
import sys
import threading
import time

from harness import App, Neighbour, same

ROUNDS = int(sys.argv[1])
JSON = sys.argv[2] == "yes"
LIMIT = 100.0
CASES = (("cpu-spin", "/cpu/spin"), ("cpu-start-function", "/start"),
         ("deadline-spin", "/late/spin"), ("deadline-receive", "/late/wait_for_ever"))
MANIFEST = """
[log]
level = "error"
[[serve]]
protocol = "http"
listen = "127.0.0.1:0"
[serve.routes]
"GET /hello" = "hello#home"
"GET /cpu/:action" = "cpu#any"
"GET /late/:action" = "late#any"
"GET /start" = "start-loop#any"
[capabilities.busy]
cpu-ms = 100
deadline-ms = 0
[capabilities.hasty]
cpu-ms = 0
deadline-ms = 100
[components.hello]
[components.cpu]
capability = "busy"
[components.late]
capability = "hasty"
[components.start-loop]
capability = "busy"
"""


def ms(begin):
    return (time.monotonic() - begin) * 1000


def quantile(values, q):
    return sorted(values)[min(int(len(values) * q), len(values) - 1)]


class Regular(Neighbour):
    """One that keeps its connection, so that only the answer is measured."""

    def __init__(self, node):
        super().__init__(node, "/hello", b"Hello from a sandbox of its own.\n", pause_s=0.001)
        self.connection = node.connect()

    def ask(self):
        self.connection.request("GET", self.path)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def __exit__(self, *_):
        super().__exit__()
        self.connection.close()


def end_one(node, path, late):
    begin = time.monotonic()
    node.get(path).expect(504)
    late.append(ms(begin) - LIMIT)


def measure(node, path, at_once=1):
    late, before = [], len(node.errors())
    with Regular(node) as neighbour:
        for _ in range(ROUNDS if path else 0):
            askers = [threading.Thread(target=end_one, args=(node, path, late))
                      for _ in range(at_once)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
        if not path:
            time.sleep(ROUNDS * LIMIT / 1000)
    same(neighbour.wrong, [], "answers to the neighbour")
    time.sleep(0.1)  # the log is written behind the back of whatever it tells of
    used = [int(t) - LIMIT for t in re.findall(r"has used (\d+) ms", node.errors()[before:])]
    return late, used, [1000 * delay for delay in neighbour.delays]


def report(name, value, unit, **more):
    line = {"name": name, "value": round(value, 3), "unit": unit, "threads": os.cpu_count(), **more}
    if JSON:
        print(json.dumps(line))
    else:
        print(line.pop("name"), *(f"{key}={what}" for key, what in line.items()))


def rows(guest, late, used, times):
    for name, values in (("late", late), ("used", used)):
        if values:
            report(f"limits-{name}", quantile(values, 0.5), "ms", guest=guest,
                   most=round(max(values), 3))
    p50, p99 = (round(1000 * quantile(times, q), 1) for q in (0.5, 0.99))
    report("limits-neighbour", p50 / 1000, "ms", guest=guest, p50_us=p50, p99_us=p99)


with App(MANIFEST, {"cpu": "test/odd.wasm", "late": "test/odd.wasm",
                    "start-loop": "test/start-loop.wasm",
                    "hello": "hello/wasm/hello.wasm"}) as app, app.start() as node:
    node.get("/hello").expect(200)
    rows("none", *measure(node, None))
    for name, path in CASES:
        rows(name, *measure(node, path))
    rows("deadline-spin-16-at-once", *measure(node, "/late/spin", 16))
PY
