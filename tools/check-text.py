#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check what formatters do not: check-text.py [ROOT]

  - the first lines of every source name the licence (SPDX);
  - no tab, no blank at the end of a line, a newline at the end of the file, 100 columns in code;
  - no marks of unfinished work;
  - links between our own documents lead to files.
"""
import os
import pathlib
import re
import sys

CODE = {".c", ".h", ".cc", ".rs", ".sh", ".py", ".cmake", ".map"}
TEXT = CODE | {".md", ".toml", ".wit", ".txt", ".in"}
NAMED = {"dev", "run", "CMakeLists.txt"}
SKIPPED = {".git", "build", "target", "gen", ".cache"}
DATA = {"data", "corpus", "regress", "guests"}  # test inputs are as they are
# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|H" r"ACK)\b")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        if any(part in DATA for part in pathlib.Path(folder).relative_to(root).parts[1:]):
            continue
        for name in sorted(names):
            path = pathlib.Path(folder) / name
            if path.suffix in TEXT or name in NAMED:
                yield path


def is_code(path):
    return path.suffix in CODE or path.name in NAMED


def line_offences(path, number, line):
    if "\t" in line and path.suffix != ".md":
        yield f"{number}: a tab"
    if line != line.rstrip():
        yield f"{number}: blanks at the end of the line"
    if len(line) > 100 and path.suffix in (".c", ".h", ".cc", ".sh", ".py") and "://" not in line:
        yield f"{number}: {len(line)} columns"
    if UNFINISHED.search(line):
        yield f"{number}: unfinished work: {line.strip()}"


def link_offences(root, path, text):
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        if not (path.parent / target).exists() and not (root / target.lstrip("/")).exists():
            yield f"link to {target}, which does not exist"


def offences(root, path):
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield "not UTF-8"
        return
    if is_code(path) and text and "SPDX-License-Identifier: MIT" not in text[:200]:
        yield "no SPDX line at the top"
    if text and not text.endswith("\n"):
        yield "no newline at the end"
    for number, line in enumerate(text.splitlines(), 1):
        yield from line_offences(path, number, line)
    if path.suffix == ".md":
        yield from link_offences(root, path, text)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    count = bad = 0
    for path in files(root):
        count += 1
        for found in offences(root, path):
            bad += 1
            print(f"{path.relative_to(root)}:{found if found[0].isdigit() else ' ' + found}")
    if not bad:
        print(f"{count} files")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
