#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The census: what runs, said once after a burst, and not again while nothing happens."""
import time

from harness import case, check, copy_of, eventually, main, same

QUIET_S = 2.5  # longer than a census waits


def lines_of(node):
    return [line.partition(" census ")[2].strip() for line in node.errors().splitlines()
            if " census " in line]


def started(app, level):
    text = (app.path / "rusm.toml").read_text()
    app.manifest(text.replace('level = "warn"', f'level = "{level}"'))
    return app.start()


@case
def burst_is_one_line():
    """126, 127: also when what was spawned has ended by then"""
    with copy_of("app-c") as app, started(app, "info") as node:
        eventually(lambda: lines_of(node) == ["visits=1"], "the first census")
        for _ in range(50):
            node.get("/hello/x").expect(200)
        eventually(lambda: len(lines_of(node)) > 1, "a census after the requests")
        time.sleep(QUIET_S)
        lines = lines_of(node)
        check(len(lines) <= 3, f"few lines: {lines}")  # a slow machine may need two for the burst
        same(lines[-1], "visits=1", "what is left")
        time.sleep(QUIET_S)
        same(lines_of(node), lines, "nothing happens, nothing is said")
        same(node.stop(), 1, "processes")


@case
def below_info_there_is_none():
    with copy_of("app-c") as app, started(app, "warn") as node:
        before = node.threads()
        node.get("/hello/x").expect(200)
        time.sleep(QUIET_S)
        same(lines_of(node), [], "lines")
        same(node.threads(), before, "threads")


if __name__ == "__main__":
    main()
