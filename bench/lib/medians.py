#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Medians of bench rounds: "ROUND NAME KEY=VALUE..." lines in, one line a figure out.

    medians.py [--json] < lines

Round 0 is left out. Lines belong together when they differ in measured keys only (MEASURED). A
line with peer= is compared with ours of the same name, threads and size, once per body of ours.
Where a rate was measured on one thread and on several, a line NAME-scaling says what the others
bring.
"""
import json
import statistics
import sys

# "processes" says how many an average was taken over; it tells no figure from another.
MEASURED = ["value", "cpu_ns", "p50_us", "p99_us", "rss_mb", "processes"]


def read(lines):
    """{(name, ((key, text), ...)): {measured key: [numbers]}} in order of appearance."""
    figures = {}
    for line in lines:
        number, name, *pairs = line.split()
        fields = dict(pair.split("=", 1) for pair in pairs)
        key = (name, tuple((k, v) for k, v in fields.items() if k not in MEASURED))
        rows = figures.setdefault(key, {})
        if number != "0":
            for k in MEASURED:
                if k in fields:
                    rows.setdefault(k, []).append(float(fields[k]))
    return {key: rows for key, rows in figures.items() if rows}


def tidy(number):
    """Four significant digits or whole numbers: no digits that mean nothing."""
    return round(number) if abs(number) >= 1000 else float(f"{number:.4g}")


def summary(rows):
    result = {k: tidy(statistics.median(numbers)) for k, numbers in rows.items()}
    spread = max(rows["value"]) - min(rows["value"])
    middle = statistics.median(rows["value"])
    result["spread_pct"] = tidy(100 * spread / middle) if middle else 0
    return result


def emit(name, fields, as_json):
    if as_json:
        numbers = {"value", "ratio", "threads", "spread_pct", *MEASURED}
        typed = {
            k: (json.loads(str(v)) if k in numbers or str(v).isdigit() else v)
            for k, v in fields.items()
        }
        print(json.dumps({"name": name, **typed}))
    else:
        print(name, " ".join(f"{k}={v}" for k, v in fields.items()))


def own_lines(figures):
    for (name, identity), rows in figures.items():
        fields = dict(identity)
        if "peer" not in fields:
            result = summary(rows)
            yield name, {"value": result.pop("value"), **fields, **result}


def scaling_lines(figures):
    for (name, identity), rows in figures.items():
        fields = dict(identity)
        if "peer" in fields or fields["threads"] == "1" or not fields["unit"].endswith("/s"):
            continue
        one = figures.get((name, tuple((k, "1" if k == "threads" else v) for k, v in identity)))
        if one:
            ratio = statistics.median(rows["value"]) / statistics.median(one["value"])
            rest = {k: v for k, v in fields.items() if k != "unit"}
            yield f"{name}-scaling", {"value": round(ratio, 2), "unit": "x", **rest}


def peer_lines(figures):
    for (name, identity), rows in figures.items():
        fields = dict(identity)
        if "peer" not in fields:
            continue
        theirs = statistics.median(rows["value"])
        for (other, other_identity), other_rows in figures.items():
            ours = dict(other_identity)
            body = ours.pop("body", None)
            if "peer" in ours or other != name:
                continue
            if {**ours, "peer": fields["peer"]} == fields:
                ratio = statistics.median(other_rows["value"]) / theirs if theirs else 0
                rest = {k: v for k, v in fields.items() if k not in ("peer", "unit")}
                extra = {k: tidy(statistics.median(rows[k])) for k in rows if k != "value"}
                yield name, {
                    "peer": fields["peer"],
                    "value": tidy(theirs),
                    "ratio": round(ratio, 2),
                    **rest,
                    "body": body,
                    **extra,
                }


def main():
    figures = read(sys.stdin)
    if not figures:
        sys.exit("medians: no figures")
    as_json = "--json" in sys.argv[1:]
    for lines in (own_lines, scaling_lines, peer_lines):
        for name, fields in lines(figures):
            emit(name, fields, as_json)


if __name__ == "__main__":
    main()
