#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold the engine's crates to the licences that NOTICE promises: check-licences.py [ROOT]

Every crate that engine/Cargo.lock brings in must offer a licence of ALLOWED, and every direct
dependency must be named in NOTICE. Asks cargo ($RUSM_CARGO or `cargo`), offline.
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

ALLOWED = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "BSD-2-Clause", "BSD-3-Clause",
    "ISC", "Unicode-3.0", "Unlicense", "Zlib",
}


def metadata(root):
    command = [os.environ.get("RUSM_CARGO", "cargo"), "metadata", "--format-version", "1",
               "--locked", "--offline", "--manifest-path", str(root / "engine" / "Cargo.toml"),
               # Crates of other systems were never fetched.
               "--filter-platform", f"{platform.machine()}-unknown-linux-gnu"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def is_allowed(expression):
    """An SPDX expression without nesting deeper than one pair of brackets: all of its AND parts
    must have an OR part that is allowed. "/" is the old spelling of OR."""
    for part in re.split(r"\s+AND\s+", expression or ""):
        options = re.split(r"\s+OR\s+|\s*/\s*", part.strip("() "))
        if not any(option.strip("() ") in ALLOWED for option in options):
            return False
    return True


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    data = metadata(root)
    used = {node["id"] for node in data["resolve"]["nodes"]}
    crates = [p for p in data["packages"] if p["id"] in used and p["source"]]
    bad = [f"{p['name']} {p['version']}: licence {p['license']} is not in the list of NOTICE"
           for p in crates if not is_allowed(p["license"])]
    notice = (root / "NOTICE").read_text(encoding="utf-8")
    own = next(p for p in data["packages"] if p["id"] == data["resolve"]["root"])
    bad += [f"{d['name']} is not named in NOTICE" for d in own["dependencies"]
            if d["kind"] is None and not re.search(rf"^\s+{re.escape(d['name'])}\s", notice, re.M)]
    for line in bad:
        print(line)
    if not bad:
        print(f"{len(crates)} crates")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
