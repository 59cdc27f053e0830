#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check who includes whom: the arrows of docs/adr and ARCHITECTURE.md, as one table.

    check-includes.py [ROOT]     exit 0 and a line, or exit 1 and a line per offence

Rules:
  - a folder of src/ includes its own headers and those of the folders below it (BELOW);
  - x_impl.h stays inside folder x;
  - public headers are rusm/*.h; node.h and store.h belong to the node and what stands above it;
  - a third party's header is seen by the folders that wrap it (THIRD_PARTY);
  - include/rusm includes nothing but rusm/*.h and standard headers;
  - own header first, then system, third party, rusm/, ours.
"""
import pathlib
import re
import sys

CORE_LOW = ["base", "sync", "timer", "io"]
CORE = CORE_LOW + ["sched", "proc"]
BELOW = {
    "base": [],
    "sync": ["base"],
    "timer": ["base", "sync"],
    "io": ["base", "sync"],
    "sched": CORE_LOW,
    "proc": CORE_LOW + ["sched"],
    "stream": CORE,
    "sup": ["base"],  # on the public process API; of ours, memory and the log
    "worker": CORE,
    "obs": ["base"],
    "sandbox": CORE,
    "manifest": ["base"],
    "kv": CORE,
    "serve": CORE + ["sandbox"],
    "hostcall": CORE + ["sandbox", "kv", "serve"],
    "attach": CORE + ["sandbox"],
    "node": CORE + ["sup", "worker", "sandbox", "manifest", "kv", "serve", "hostcall", "attach"],
    "cli": [],  # include/rusm only
}
# obs may be called from anywhere; only base, which it calls itself, stays below it.
OBS_USERS = [folder for folder in BELOW if folder not in ("base", "obs", "cli")]

# Public headers that only some folders may use; the others are values and the process API.
PUBLIC_ONLY = {"node.h": ["node", "cli"], "store.h": ["node", "cli"], "rusm.h": ["cli"]}

THIRD_PARTY = {
    "uv.h": ["io", "sched", "serve", "kv", "worker", "attach"],
    "mimalloc.h": ["base"],
    "lmdb.h": ["kv"],
    "llhttp.h": ["serve"],
    "toml++/": ["manifest"],
    "rusm_engine.h": ["sandbox"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def third_party_offence(folder, name):
    for header, folders in THIRD_PARTY.items():
        wanted = name.startswith(header) if header.endswith("/") else name == header
        if wanted and folder not in folders:
            return f"{name} may be included by {', '.join(folders)} only"
    return None


def public_offence(folder, name):
    header = name.removeprefix("rusm/")
    allowed = PUBLIC_ONLY.get(header)
    if allowed is not None and folder not in allowed:
        return f"{name} is for {', '.join(allowed)}"
    return None


def own_offence(folder, name):
    other = name.split("/")[0]
    if other == folder:
        return None
    if name.endswith("_impl.h"):
        return f"{name} stays inside src/{other}"
    if other == "obs" and folder in OBS_USERS:
        return None
    if other not in BELOW[folder]:
        allowed = ", ".join(BELOW[folder]) or "include/rusm alone"
        return f"{name} points the wrong way; src/{folder} may use {allowed}"
    return None


def offence(root, folder, bracket, name):
    found = third_party_offence(folder, name)
    if found:
        return found
    if name.startswith("rusm/"):
        return public_offence(folder, name)
    if bracket == "<" or name.startswith("rusm_engine"):
        return None
    if not (root / "src" / name).is_file():
        return f'"{name}" is not a header of src/; write it as folder/file.h'
    return own_offence(folder, name)


def section(folder, first, bracket, name):
    """Where an include belongs in a file: own header, system, third party, rusm/, ours."""
    if first and bracket == '"' and name.split("/")[0] in (folder, "rusm"):
        return 0
    if any(name.startswith(header) for header in THIRD_PARTY if header != "rusm_engine.h"):
        return 2
    if bracket == "<":
        return 1
    return 3 if name.startswith("rusm/") else 4


def order_offence(folder, path):
    """The line and text of the first include that stands too late, or None."""
    last, last_name = -1, ""
    for number, bracket, name in includes(path):
        place = section(folder, last < 0, bracket, name)
        if place < last:
            return number, f"{name} stands after {last_name}: own, system, third party, rusm/, ours"
        last, last_name = place, name
    return None


def check_sources(root):
    offences = []
    files = sorted(p for p in (root / "src").rglob("*") if p.suffix in (".c", ".h", ".cc"))
    for path in files:
        folder = path.relative_to(root / "src").parts[0]
        if folder not in BELOW:
            offences.append(f"{path.relative_to(root)}: src/{folder} is not in the table of "
                            "tools/check-includes.py")
            continue
        for number, bracket, name in includes(path):
            found = offence(root, folder, bracket, name)
            if found:
                offences.append(f"{path.relative_to(root)}:{number}: {found}")
        # C++ wraps our headers in extern "C", which moves them up.
        found = None if path.suffix == ".cc" else order_offence(folder, path)
        if found:
            offences.append(f"{path.relative_to(root)}:{found[0]}: {found[1]}")
    return len(files), offences


def check_public(root):
    offences = []
    files = sorted((root / "include" / "rusm").glob("*.h"))
    for path in files:
        for number, bracket, name in includes(path):
            if bracket == '"' and not (root / "include" / name).is_file():
                offences.append(f"{path.relative_to(root)}:{number}: {name} is not public")
    return len(files), offences


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sources, offences = check_sources(root)
    headers, more = check_public(root)
    for line in offences + more:
        print(line)
    if not offences and not more:
        print(f"{sources} files of src/ and {headers} public headers keep to the arrows")
    return 1 if offences or more else 0


if __name__ == "__main__":
    sys.exit(main())
