#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run random programs of processes on us and on the BEAM, and judge what they observed.

    oracle.py --runner PROGRAM [--programs N] [--seed S] [--beam no|if-there|always]
              [--show] [--only]

--seed S       the first program's seed (default: random, printed); program i has seed S + i
--beam         `if-there` ends with 77 (skipped) where erl is missing; `always` fails
--only --show  one program, and print what both observed
Exit 0 if every outcome is legal and all determined programs agree, 1 if not, 77 skipped.
"""
import argparse
import collections
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import model
import program as programs

BATCH = 200
# Our runner knows when all is quiet. For the BEAM that is a guess: nothing has changed for so long.
SETTLE_MS = 1000
SHRINK_SETTLE_MS = 100
RETRIES = 3
COPIES = 40  # of a program that is being shrunk: what went wrong once may need many tries
SHRINK_SECONDS = 45
RUN_SECONDS = 120
SKIPPED = 77
# What a run of this many programs must have seen, or the generator has lost its use.
ENOUGH = 1000
UNDECIDED = 100  # one in so many may be too large for the model
EXPECTED = ("msg", "timeout", "unknown", "noname", "RUSM_EEXIST", "RUSM_ENOTFOUND", "RUSM_EPERM",
            "down normal", "down killed", "down noproc", "down crashed",
            "exit normal", "exit killed", "exit noproc", "exit crashed")


class Failure(Exception):
    pass


class Side:
    """Something that runs programs."""

    def __init__(self, name, command, guesses=False):
        self.name = name
        self.command = command
        self.guesses = guesses  # it wants to be told how long nothing must change

    def start(self, path, settle_ms):
        more = [str(settle_ms)] if self.guesses else []
        return subprocess.Popen([*self.command, path, *more], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, process):
        try:
            out, err = process.communicate(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure(f"{self.name} did not end within {RUN_SECONDS} s") from None
        if process.returncode != 0:
            raise Failure(f"{self.name} failed ({process.returncode}): {err.strip() or out[-500:]}")
        return parse(out)


def parse(text):
    """{number: outcome}, None for programs that had not settled."""
    result = {}
    actors = []
    for line in text.splitlines():
        words = line.split()
        if words[0] == "program":
            actors = []
            result[int(words[1])] = actors if words[2] == "settled" else None
        elif words[0] == "proc":
            actors.append((" ".join(words[2:]), []))
        else:
            actors[-1][1].append(line)
    return {number: outcome and tuple((state, tuple(lines)) for state, lines in outcome)
            for number, outcome in result.items()}


def run(sides, batch, settle_ms=SETTLE_MS):
    """batch: {number: program}. Returns a list of {number: outcome}, one per side."""
    results = [{} for _ in sides]
    for attempt in range(RETRIES):
        left = [{n: p for n, p in batch.items() if result.get(n) is None} for result in results]
        with tempfile.TemporaryDirectory() as folder:
            running = [start(side, part, folder, settle_ms * 4 ** attempt)
                       for side, part in zip(sides, left)]
            for side, process, result in zip(sides, running, results):
                if process:
                    result.update(side.finish(process))
    for side, result in zip(sides, results):
        missing = [n for n in batch if result.get(n) is None]
        if missing:
            raise Failure(f"{side.name}: program {missing[0]} does not come to rest")
    return results


def start(side, part, folder, settle_ms):
    if not part:
        return None
    path = pathlib.Path(folder) / side.name
    path.write_text("".join(programs.text(n, p) for n, p in part.items()), encoding="ascii")
    return side.start(path, settle_ms)


# ---- judging ------------------------------------------------------------------------------------

OURS_WRONG = "no legal order of signals explains what we observed"
BEAM_WRONG = "the BEAM did what the model of Erlang does not allow"
DIFFERENT = "there is one legal outcome, and the BEAM had another"


class Verdicts:
    def __init__(self):
        self.count = collections.Counter()
        self.seen = collections.Counter()

    def judge(self, program, ours, beam):
        """None, or what is wrong."""
        allowed = model.outcomes(program, model.RUSM)
        is_determined = allowed is not None and len(allowed) == 1
        self.count["programs"] += 1
        self.count["determined"] += is_determined
        self.note(ours)
        if allowed is not None and ours not in allowed:
            return OURS_WRONG
        if allowed is None and self.explain(program, ours, model.RUSM) is False:
            return OURS_WRONG
        if beam is None:
            return None
        if self.explain(program, beam, model.ERLANG) is False:
            return BEAM_WRONG
        self.count["same as the BEAM"] += ours == beam
        if is_determined and ours != beam and self.is_surely_determined(program):
            return DIFFERENT
        return None

    @staticmethod
    def is_surely_determined(program):
        allowed = model.outcomes(program, model.EITHER)
        return allowed is not None and len(allowed) == 1

    def explain(self, program, outcome, rules):
        answer = model.explains(program, outcome, rules)
        self.count["undecided"] += answer is None
        return answer

    def note(self, outcome):
        for _, lines in outcome:
            for line in lines:
                words = line.split()
                if words[0] in ("down", "exit"):
                    words[0] += " " + words[-1].split(":")[0]
                self.seen[words[0]] += 1

    def summary(self):
        return ", ".join(f"{n} {what}" for what, n in self.count.items() if n)


# ---- failures -----------------------------------------------------------------------------------

def still_wrong(sides, program, wrong):
    """True if copies of the program go wrong in the same way."""
    results = run(sides, {n: program for n in range(COPIES)}, SHRINK_SETTLE_MS)
    verdicts = Verdicts()
    judged = {}
    for n in range(COPIES):
        pair = results[0][n], results[1][n] if len(sides) > 1 else None
        if pair not in judged:
            judged[pair] = verdicts.judge(program, *pair)
        if judged[pair] == wrong:
            return pair
    return None


def shrink(sides, program, wrong):
    """A smaller program that goes wrong in the same way, and a pair of outcomes."""
    end = time.monotonic() + SHRINK_SECONDS
    found = still_wrong(sides, program, wrong)
    shrinking = found is not None
    while shrinking:
        shrinking = False
        for candidate in programs.smaller(program):
            if time.monotonic() > end:
                return program, found
            pair = still_wrong(sides, candidate, wrong)
            if pair:
                program, found, shrinking = candidate, pair, True
                break
    return program, found


def show(program, outcomes):
    print(programs.text(0, program))
    for name, outcome in outcomes:
        print(f"{name}:")
        for index, (state, lines) in enumerate(outcome or ()):
            print(f"  {index} {state}: {'; '.join(lines)}")


def report(sides, seed, program, wrong, pair):
    print(f"not ok seed {seed}: {wrong}", flush=True)
    show(program, zip(("we", "BEAM"), pair))
    small, again = shrink(sides, program, wrong)
    if again:
        print("made smaller:")
        show(small, zip(("we", "BEAM"), again))
    else:
        print(f"did not happen again in {COPIES} runs")
    sys.stdout.flush()


# ---- the whole ----------------------------------------------------------------------------------

def beam_side(folder):
    source = pathlib.Path(__file__).with_name("oracle.erl")
    subprocess.run(["erlc", "-o", folder, str(source)], check=True, timeout=RUN_SECONDS)
    return Side("BEAM", ["erl", "-noshell", "-noinput", "+S", "4", "-pa", folder, "-s", "oracle",
                         "main", "-extra"], guesses=True)


def check(options, sides):
    verdicts = Verdicts()
    failures = 0
    for first in range(0, options.programs, BATCH):
        seeds = range(options.seed + first,
                      options.seed + min(first + BATCH, options.programs))
        batch = {n: programs.generate(seed) for n, seed in enumerate(seeds)}
        results = run(sides, batch)
        for n, seed in enumerate(seeds):
            pair = results[0][n], results[1][n] if len(sides) > 1 else None
            wrong = verdicts.judge(batch[n], *pair)
            if options.show:
                show(batch[n], zip(("we", "BEAM"), pair))
            if wrong:
                failures += 1
                report(sides, seed, batch[n], wrong, pair)
            if failures == options.failures:
                return failures, verdicts
    return failures, verdicts


def parse_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner", required=True)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--beam", choices=("no", "if-there", "always"), default="if-there")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--only", action="store_true")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    options = parser.parse_args()
    if options.seed is None:
        given = os.environ.get("RUSM_TEST_SEED")
        options.seed = int(given) if given else random.SystemRandom().getrandbits(40)
    if options.only:
        options.programs = 1
    return options


def main():
    options = parse_options()
    is_there = shutil.which("erl") and shutil.which("erlc")
    if options.beam == "if-there" and not is_there:
        print("skipped: erl and erlc are not installed (./dev setup --peers)")
        return SKIPPED
    if options.beam == "always" and not is_there:
        print("not ok erl and erlc are missing: ./dev setup --peers")
        return 1
    print(f"RUSM_TEST_SEED={options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sides = [Side("RUSM", [options.runner])]
        if options.beam != "no":
            sides.append(beam_side(folder))
        try:
            failures, verdicts = check(options, sides)
        except Failure as failure:
            print(f"not ok {failure}")
            return 1
    missing = [what for what in EXPECTED if not verdicts.seen[what]]
    if missing and options.programs >= ENOUGH and not failures:
        print(f"not ok the programs never showed {', '.join(missing)}: {verdicts.summary()}")
        return 1
    if verdicts.count["undecided"] > options.programs // UNDECIDED + 1:
        print(f"not ok too many programs are too large for the model: {verdicts.summary()}")
        return 1
    print(f"{'not ok' if failures else 'ok'} {verdicts.summary()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
