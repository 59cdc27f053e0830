# SPDX-License-Identifier: MIT
"""Random programs of processes: made from a seed, written as text, made smaller.

A program is a list of Script; index = the process. README.md describes the operations.
"""
import dataclasses
import random

TAGS = ("a", "b", "c")
NAMES = ("x", "y")
CRASHES = ("crashed:one", "crashed:two")
REASONS = ("normal", "killed", "noproc") + 2 * CRASHES


@dataclasses.dataclass
class Script:
    is_root: bool
    is_lazy: bool
    ops: list  # of tuples of words

    def text(self, index):
        kind = "root" if self.is_root else "child"
        lines = [f"proc {index} {kind} {'lazy' if self.is_lazy else 'eager'}"]
        return "\n".join(lines + ["  " + " ".join(map(str, op)) for op in self.ops])


def text(number, program):
    scripts = [script.text(index) for index, script in enumerate(program)]
    return "\n".join([f"program {number}"] + scripts) + "\n"


class Generator:
    """One program. Two styles: in `free` ones all processes do what they like at the same time; in
    `token` ones mostly one acts, then hands the token to another, so that little is left to chance.

    What Erlang and we do differently by intention is left out here, see README.md: a process uses
    one name only, and only one of two processes links and unlinks the pair.
    """

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.style = self.rng.choice(("free", "token", "token"))
        self.count = self.rng.randint(2, 4)
        roots = self.rng.randint(1, self.count)
        self.scripts = [Script(i < roots, self.rng.random() < 0.4, []) for i in range(self.count)]
        self.unborn = list(range(roots, self.count))
        self.born = list(range(roots))
        self.names = [self.rng.choice(NAMES) for _ in self.scripts]
        self.monitors = [0] * self.count
        self.owners = {}
        self.doomed = set()
        self.tokens = 0
        for who in range(self.count):
            if self.rng.random() < 0.4:
                self.add(who, "trap", "on")
            if self.rng.random() < 0.3:
                self.add(who, "register", self.names[who])

    def add(self, who, *op):
        self.scripts[who].ops.append(op)

    def owner(self, one, other):
        pair = frozenset((one, other))
        return self.owners.setdefault(pair, self.rng.choice((one, other)))

    def spawn(self, who):
        child = self.unborn.pop(0)
        how = self.rng.choice(("plain", "link", "monitor"))
        self.owners[frozenset((who, child))] = who
        if how == "monitor":
            self.add(who, "spawn", child, how, self.new_monitor(who))
        else:
            self.add(who, "spawn", child, how)
        self.born.append(child)

    def new_monitor(self, who):
        self.monitors[who] += 1
        return self.monitors[who] - 1

    def other(self, who):
        others = [i for i in self.born if i != who]
        living = [i for i in others if i not in self.doomed]
        if living and self.rng.random() < 0.7:
            others = living
        return self.rng.choice(others) if others and self.rng.random() < 0.93 else who

    def end_other(self, who):
        """An end, mostly with somebody who watches it."""
        whom = self.other(who)
        if self.rng.random() < 0.75:
            self.add(who, "monitor", whom, self.new_monitor(who))
        if self.rng.random() < 0.4:
            self.add(who, "kill", whom)
        else:
            self.add(who, "exit", whom, self.rng.choice(REASONS))
        self.doomed.add(whom)
        if self.style == "token" and self.rng.random() < 0.85:
            if self.rng.random() < 0.3 and who != whom and self.owner(who, whom) == who:
                self.scripts[who].ops.insert(-1, ("link", whom))
            self.add(who, "recvsig")
            self.use_the_dead(who, whom)

    def use_the_dead(self, who, whom):
        roll = self.rng.random()
        if roll < 0.25 and who != whom and self.owner(who, whom) == who:
            self.add(who, "link", whom)
            self.add(who, "recvsig")
        elif roll < 0.4:
            self.add(who, "monitor", whom, self.new_monitor(who))
            self.add(who, "recvsig")
        elif roll < 0.6:
            self.add(who, *self.rng.choice((("alive", whom), ("whereis", self.names[whom]),
                                            ("register", self.names[who]), ("send", whom, "a"))))

    def link(self, who):
        whom = self.other(who)
        if whom == who or self.owner(who, whom) == who:
            self.add(who, self.rng.choice(("link", "link", "unlink")), whom)

    def take_back_late(self, who):
        """A link or a monitor that is taken back while or after the other one ends."""
        whom = self.other(who)
        if self.rng.random() < 0.5 and who != whom and self.owner(who, whom) == who:
            self.add(who, "trap", "off")
            self.add(who, "link", whom)
            self.add(who, "kill", whom)
            for _ in range(self.rng.randint(1, 6)):
                self.add(who, "alive", whom)  # a lazy process does not look at its mail here
            self.add(who, "unlink", whom)
            self.add(who, "whereis", self.names[whom])
        else:
            first, second = self.new_monitor(who), self.new_monitor(who)
            self.add(who, "monitor", whom, first)
            self.add(who, "monitor", whom, second)
            self.add(who, "kill", whom)
            self.add(who, "recvsig")
            self.add(who, "demonitor", first)
            self.add(who, "demonitor", second)
            self.add(who, "recvsig", "0")
        self.doomed.add(whom)

    def demonitor(self, who):
        if self.monitors[who]:
            self.add(who, "demonitor", self.rng.randrange(self.monitors[who]))

    def poll(self):
        return ("0",) if self.rng.random() < (0.3 if self.style == "token" else 0.4) else ()

    def receive(self, who):
        verb = self.rng.choice(("recv", "recvany", "recvsig"))
        words = (self.rng.choice(TAGS),) if verb == "recv" else ()
        self.add(who, verb, *words, *self.poll())

    def words(self, who):
        verb = self.rng.choice(("register", "register", "unregister", "whereis", "sendname"))
        own = verb in ("register", "unregister")
        words = (self.names[who] if own else self.rng.choice(NAMES),)
        if verb == "unregister" and self.rng.random() < 0.6:
            words = (self.rng.choice(NAMES),)
        self.add(who, verb, *words, *([self.rng.choice(TAGS)] if verb == "sendname" else []))

    def act(self, who):
        """One thing that a process does; False: it was its last."""
        roll = self.rng.random()
        if self.unborn and roll < 0.25:
            self.spawn(who)
        elif roll < 0.35:
            self.add(who, "send", self.other(who), self.rng.choice(TAGS))
        elif roll < 0.45:
            self.link(who)
        elif roll < 0.51:
            self.add(who, "monitor", self.other(who), self.new_monitor(who))
        elif roll < 0.55:
            self.demonitor(who)
        elif roll < 0.60:
            self.add(who, "trap", self.rng.choice(("on", "on", "on", "off")))
        elif roll < 0.74:
            self.end_other(who)
        elif roll < 0.83:
            self.words(who)
        elif roll < 0.86:
            self.add(who, "alive", self.other(who))
        elif roll < 0.87:
            self.add(who, "pause")
        elif roll < 0.89:
            self.take_back_late(who)
        elif roll < 0.91:
            verb, reasons = self.rng.choice((("exitself", REASONS), ("crash", CRASHES)))
            self.add(who, verb, self.rng.choice(reasons))
            self.doomed.add(who)
            return False
        else:
            self.receive(who)
        return True

    def pass_token(self, who):
        heirs = [i for i in self.born if i not in self.doomed and i != who]
        if not heirs:
            return who
        heir = self.rng.choice(heirs)
        self.tokens += 1
        self.add(who, "send", heir, f"t{self.tokens}")
        self.add(heir, "recv", f"t{self.tokens}")
        return heir

    def make_token(self):
        who = 0
        for _ in range(self.rng.randint(5, 11)):
            for _ in range(self.rng.randint(1, 3)):
                if not self.act(who):
                    return
            who = self.pass_token(who)

    def make_free(self):
        alive = list(self.born)
        self.known = set(alive)
        for _ in range(self.rng.randint(5, 16)):
            if not alive:
                return
            who = self.rng.choice(alive)
            if not self.act(who):
                alive.remove(who)
            alive += [i for i in self.born if i not in self.known]
            self.known.update(self.born)

    def make(self):
        if self.style == "token":
            self.make_token()
        else:
            self.make_free()
        for who, script in enumerate(self.scripts):
            last = script.ops[-1][0] if script.ops else None
            if last not in ("exitself", "crash") and self.rng.random() < 0.7:
                self.add(who, "recv", "never")  # so that others meet it alive
        return self.scripts


def generate(seed):
    return Generator(seed).make()


def smaller(program):
    """All programs that lack one operation of this one, ends first; of a pair that only makes sense
    together (a token, a spawn and what the child does) both go."""
    for index in range(len(program)):
        for place in reversed(range(len(program[index].ops))):
            yield without(program, index, place)
        if program[index].is_lazy:
            yield [dataclasses.replace(script, is_lazy=script.is_lazy and i != index)
                   for i, script in enumerate(program)]


def without(program, index, place):
    removed = program[index].ops[place]
    result = []
    for i, script in enumerate(program):
        ops = [op for k, op in enumerate(script.ops) if (i, k) != (index, place)]
        if removed[0] in ("send", "recv") and str(removed[-1]).startswith("t"):
            ops = [op for op in ops if op[-1] != removed[-1] or op[0] not in ("send", "recv")]
        result.append(dataclasses.replace(script, ops=ops))
    return result
