#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count test cases: count-tests.py --junit FILE... [--cargo LOG]

Reads what ctest and `cargo test` left. A program counts as the cases that it reports (cmocka's
summary, or lines "ok NAME" and "not ok NAME"), or as one case if it reports none; a program that
failed counts at least one failure, one that was skipped (it said so itself) counts nothing. Prints
the failed and the skipped programs, then "N passed, N failed".
Exit 1 after any failure, or when nothing was counted.
"""
import argparse
import re
import sys
import xml.etree.ElementTree

CMOCKA_PASSED = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)", re.M)
CMOCKA_FAILED = re.compile(r"^\[  FAILED  \] (\d+) test\(s\), listed below", re.M)
SHELL_PASSED = re.compile(r"^ok ", re.M)
SHELL_FAILED = re.compile(r"^not ok ", re.M)
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed", re.M)


def cases(output):
    passed = sum(int(n) for n in CMOCKA_PASSED.findall(output))
    failed = sum(int(n) for n in CMOCKA_FAILED.findall(output))
    return (passed + len(SHELL_PASSED.findall(output)),
            failed + len(SHELL_FAILED.findall(output)))


def is_skipped(case):
    """By its own exit status; a program that could not be run is a failure."""
    skipped = case.find("skipped")
    return skipped is not None and skipped.get("message") == "SKIP_RETURN_CODE=77"


def count_junit(path):
    passed = failed = 0
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"failed: no result of ctest ({error})")
        return 0, 1
    for case in root.iter("testcase"):
        output = case.findtext("system-out") or ""
        good, bad = cases(output)
        if case.get("status") == "run":
            good, bad = (good, bad) if good + bad else (1, 0)
        elif is_skipped(case):
            good, bad = 0, 0
            print(f"skipped: {case.get('name')}")
        else:
            bad = max(bad, 1)
            print(f"failed: {case.get('name')}")
        passed += good
        failed += bad
    return passed, failed


def count_cargo(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        results = CARGO.findall(file.read())
    if not results:
        print("failed: the engine's tests did not run")
        return 0, 1
    return sum(int(p) for p, _ in results), sum(int(f) for _, f in results)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--junit", nargs="+", required=True)
    parser.add_argument("--cargo")
    options = parser.parse_args()
    counts = [count_junit(path) for path in options.junit]
    if options.cargo:
        counts.append(count_cargo(options.cargo))
    passed = sum(good for good, _ in counts)
    failed = sum(bad for _, bad in counts)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
