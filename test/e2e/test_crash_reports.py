#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Crash reports of guests that bring along names and DWARF of their own making: the report is
there, each frame is one line of ordinary length, and the node has lost neither time nor memory."""
import re
import struct

from harness import App, case, check, contains, main, same

MANIFEST = """
[log]
level = "error"
[components.guest]
resident = true
restart = "temporary"
"""


# ---- core modules, by hand ----

def leb(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def counted(data):
    return leb(len(data)) + data


def section(kind, data):
    return bytes([kind]) + counted(data)


def custom(name, data):
    return section(0, counted(name.encode()) + data)


def module(function=None, **debug):
    """Its `run` is an unreachable, called `function`; sections .debug_* by their names."""
    wasm = b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") + section(3, b"\1\0")
    wasm += section(7, b"\1" + counted(b"run") + b"\0\0") + section(10, b"\1\3\0\0\x0b")
    for name, data in debug.items():
        wasm += custom(".debug_" + name, data)
    if function is not None:
        wasm += custom("name", section(1, b"\1\0" + counted(function.encode())))
    return wasm


def crash(wasm):
    """The lines of its back-trace, without time and pid. Some seconds and megabytes are plenty."""
    with App(MANIFEST, {"guest": wasm}) as app, app.start("run") as node:
        before = node.memory_kb()
        node.expect_logged("exit   guest#")
        check(node.memory_kb() < before + (200 << 10), "the report took memory")
        contains(node.errors(), "unreachable, lived ")
        check("stuck" not in node.errors(), node.errors())
        same(node.stop(), 0, "processes")
        lines = [line for line in node.errors().splitlines() if " trace " in line]
        check(all(len(line) < 700 for line in lines), f"a long line: {lines}")
        return [re.sub(r".*guest#\d+ +", "", line) for line in lines]


# ---- names ----

@case
def a_name_that_stands_for_more_than_memory():
    name = "_Z1f1AIiE" + "".join(f"S_I{back * 50}E" for back in
                                 ["S0_", "S1_", "S2_", "S3_", "S4_", "S5_", "S6_", "S7_"])
    (line,) = crash(module(name))
    check(line.endswith("!f"), line)


@case
def names_are_of_one_line():
    (line,) = crash(module("first\n 1:  0x1 - forged!second\x1b[31m"))
    contains(line, "!first\\n 1:  0x1 - forged!second\\u{1b}[31m")
    (line,) = crash(module("é" * 3_000_000))
    check(line.endswith("é..."), line[-20:])


@case
def names_that_are_not_mangled_stay():
    for name in ("f", "i", "main"):  # the first two are the codes of types in C++
        (line,) = crash(module(name))
        check(line.endswith(f"!{name}"), line)


# ---- DWARF ----

KINDS = (bytes([1, 0x11, 1, 0x11, 1, 0x12, 6, 0, 0]) +  # a unit that lies from 0 to ...
         bytes([2, 0x2e, 1, 0x11, 1, 0x12, 6, 0, 0]) +  # a function, the same
         bytes([3, 0x1d, 1, 0, 0]) +                    # an inlined call
         bytes([4, 0x2e, 0, 0x55, 0x17, 0, 0, 0]))      # a function with a list of ranges


def entry(kind, children):
    return bytes([kind]) + struct.pack("<II", 0, 1000) + children + b"\0"


def info(children):
    unit = struct.pack("<HIB", 4, 0, 4) + entry(1, children)
    return struct.pack("<I", len(unit)) + unit


@case
def calls_inlined_into_calls_without_end():
    deep = 500_000
    nested = entry(2, b"\3" * deep + b"\0" * deep)
    (line,) = crash(module("work", abbrev=KINDS, info=info(nested)))
    check(line.endswith("!work"), line)


@case
def functions_that_lie_everywhere():
    ranges = struct.pack("<II", 1, 2) * 20_000 + bytes(8)
    functions = (b"\4" + bytes(4)) * 20_000
    (line,) = crash(module("work", abbrev=KINDS, info=info(functions), ranges=ranges))
    check(line.endswith("!work"), line)


if __name__ == "__main__":
    main()
