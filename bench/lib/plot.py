#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A plot of cost over the number of live processes, as SVG, from lines of the bench spawn-scale.

    ./dev bench spawn-scale | bench/lib/plot.py > docs/spawn-scale.svg
"""
import math
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 56, 40, 28, 190
COLOURS = ["#1b6ca8", "#c0504d", "#4f8f3a", "#8064a2", "#d98c2b", "#2aa198", "#7f7f7f", "#b03a8c"]


def read(lines):
    """{series: [(live, nanoseconds)]}"""
    series = {}
    for line in lines:
        name, *pairs = line.split()
        fields = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if name.startswith("spawn-scale") and "peer" not in fields and "live" in fields:
            what = name.removeprefix("spawn-scale-") if name != "spawn-scale" else "spawn"
            key = f"{what}, {fields['body']}, {fields['threads']} threads"
            point = (float(fields["live"]), float(fields["value"]))
            series.setdefault(key.replace(" 1 threads", " 1 thread"), []).append(point)
    return series


def scale(series):
    xs = [x for points in series.values() for x, _ in points]
    top = max(y for points in series.values() for _, y in points) * 1.1
    low, high = math.log10(min(xs)), math.log10(max(xs))
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x, y):
        across = (math.log10(x) - low) / (high - low) if high > low else 0.5
        return LEFT + across * wide, HEIGHT - BOTTOM - y / top * tall

    return place, sorted(set(xs)), top


def text(x, y, words, anchor="middle"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{words}</text>'


def axes(place, xs, top):
    yield f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="#888" fill="none"/>'
    for x in xs:
        yield text(place(x, 0)[0], HEIGHT - BOTTOM + 16, f"{x:,.0f}")
    step = 10 ** math.floor(math.log10(top))
    step = step if top / step >= 3 else step / 4
    for i in range(1, int(top / step) + 1):
        across, up = place(xs[0], i * step)
        yield f'<path d="M{LEFT} {up:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield text(LEFT - 6, up + 4, f"{i * step:g}", "end")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "live processes")
    yield text(LEFT, 16, "ns of scheduler time each", "start")


def curves(series, place):
    for i, (name, points) in enumerate(sorted(series.items())):
        colour = COLOURS[i % len(COLOURS)]
        at = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        dash = ' stroke-dasharray="5 3"' if i >= len(COLOURS) else ""
        yield f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        up = TOP + 14 * i + 8
        right = WIDTH - RIGHT + 12
        yield f'<path d="M{right} {up - 4}h14" stroke="{colour}" stroke-width="2"{dash}/>'
        yield text(right + 18, up, name, "start")


def main():
    series = read(sys.stdin)
    if not series:
        sys.exit("plot: no line of spawn-scale came in")
    place, xs, top = scale(series)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"')
    print('     font-family="sans-serif" font-size="11">')
    print(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>')
    for part in [*axes(place, xs, top), *curves(series, place)]:
        print(part)
    print("</svg>")


if __name__ == "__main__":
    main()
