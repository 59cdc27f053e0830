# SPDX-License-Identifier: MIT
"""What a program of processes may do: every interleaving that the guarantees for signals allow.

The guarantees are those of Erlang's reference manual: signals from one process to another arrive in
the order sent, everything else may be delayed for any time and in any order. So each pair has a
queue, and a step of the model is one operation of one process, or the arrival of the first signal
of one queue, or a part of a process' end.

    explains(program, outcome, rules)   is there an interleaving that has this outcome?
    outcomes(program, rules, limit)     all outcomes, or None where the search grows too large

Erlang and RUSM differ a little, on purpose, which is what Rules say (README.md).

An outcome is a tuple with an entry for each process: (state, (observation, ...)), state being
"unborn", "gone" or "blocked N" (waits without a deadline in operation N).
"""
import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Rules:
    # A kill is no queued signal: it can overtake what the same process sent before.
    kill_overtakes: bool
    # A process that was told to end winds down: until that is over it is alive, and who monitors or
    # links it now is told the true reason instead of `noproc`.
    winds_down: bool
    # Who monitors and links the same process hears of its end first by the monitors.
    downs_first: bool
    # An exit signal to oneself has arrived when the call returns.
    own_exit_at_once: bool
    # What asking for the dead brings (`noproc`) arrives in the order in which it was asked for.
    answers_in_order: bool
    # When the names of one that ends are free: "first", while who asks for it is still told the
    # true reason; "last", after the first who was told `noproc`; or "any" time in between.
    names_go: str


RUSM = Rules(True, True, True, True, True, "first")
ERLANG = Rules(False, False, False, False, False, "last")
EITHER = Rules(True, True, False, False, False, "any")  # all that one of the two allows

# Who winds down is LEAVING on the way from ALIVE or DOOMED to DYING: nothing can happen to it any
# more, and requests still arrive. Who is DYING answers them with `noproc`.
UNBORN, ALIVE, DOOMED, LEAVING, DYING, DEAD = range(6)
# Changes that others can see although the process died before it could note the result.
SEEN_BY_OTHERS = ("register", "unregister", "sendname")


class Proc:
    __slots__ = ("life", "place", "trap", "mail", "links", "watched", "watchers", "reason", "seen",
                 "halted", "known_key")

    def __init__(self, life, seen):
        self.known_key = None
        self.life = life
        self.place = 0
        self.trap = False
        self.mail = ()  # items, oldest first
        self.links = frozenset()  # peers
        self.watched = frozenset()  # (monitor, target)
        self.watchers = frozenset()  # (watcher, monitor)
        self.reason = None
        self.seen = seen  # observations, or how many of the given ones
        self.halted = False  # did something, and died before it noted it

    def copy(self):
        other = Proc.__new__(Proc)
        other.life, other.place, other.trap = self.life, self.place, self.trap
        other.mail, other.links = self.mail, self.links
        other.watched, other.watchers = self.watched, self.watchers
        other.reason, other.seen, other.halted = self.reason, self.seen, self.halted
        other.known_key = None
        return other

    def key(self):
        """For comparing states. A process is not changed any more once a key was made."""
        if self.known_key is None:
            self.known_key = (DEAD, self.seen) if self.life == DEAD else (
                self.life, self.place, self.trap, self.mail, self.links, self.watched,
                self.watchers, self.reason, self.seen, self.halted)
        return self.known_key


class World:
    """One state. `given` is an outcome to follow, or None: collect observations."""

    def __init__(self, program, given, rules):
        self.program = program
        self.given = given
        self.rules = rules
        start = () if given is None else 0
        self.procs = [Proc(ALIVE if s.is_root else UNBORN, start) for s in program]
        self.queues = {}  # (from, to, lane) -> signals, oldest first
        self.names = {}

    def copy(self):
        other = World.__new__(World)
        other.program, other.given, other.rules = self.program, self.given, self.rules
        other.procs = list(self.procs)
        other.queues = dict(self.queues)
        other.names = dict(self.names)
        return other

    def own(self, index):
        """The process, to be changed."""
        self.procs[index] = proc = self.procs[index].copy()
        return proc

    def key(self):
        return (tuple(proc.key() for proc in self.procs), frozenset(self.queues.items()),
                frozenset(self.names.items()))

    # ---- signals ----

    def send(self, source, target, signal, lane=0):
        is_end = signal[0] in ("exit", "kill")
        if source == target and (self.rules.own_exit_at_once or not is_end):
            self.arrive(source, target, signal)
        elif self.procs[target].life >= DYING:
            self.answer(source, target, signal)
        else:
            if signal[0] == "kill" and self.rules.kill_overtakes:
                lane = 1
            key = (source, target, lane)
            self.queues[key] = self.queues.get(key, ()) + (signal,)

    def answer(self, source, target, signal):
        """The target is dead."""
        lane = 0 if self.rules.answers_in_order else signal
        if signal[0] == "monitor":
            self.send(target, source, ("down", signal[1], "noproc"), lane)
        elif signal[0] == "link":
            self.send(target, source, ("exit", "noproc", True), lane)

    def arrive(self, source, target, signal):
        proc = self.own(target)
        verb = signal[0]
        if verb == "monitor":
            proc.watchers |= {(source, signal[1])}
        elif verb == "demonitor":
            proc.watchers -= {(source, signal[1])}
        elif verb == "link":
            proc.links |= {source}
        elif verb == "unlink":
            proc.links -= {source}
        elif proc.life != ALIVE:
            pass  # what remains changes only the living
        elif verb == "msg":
            proc.mail += (("msg", signal[1], source),)
        elif verb == "down":
            if (signal[1], source) in proc.watched:
                proc.watched -= {(signal[1], source)}
                proc.mail += (("down", source, signal[1], signal[2]),)
        elif verb == "kill":
            self.doom(target, "killed")
        else:
            self.arrive_exit(source, target, proc, signal[1], signal[2])

    def arrive_exit(self, source, target, proc, reason, is_linked):
        if is_linked:
            if source not in proc.links:
                return
            proc.links -= {source}
        if proc.trap:
            proc.mail += (("exit", source, reason),)
        elif reason != "normal" or source == target:
            self.doom(target, reason)

    # ---- ends ----

    def doom(self, index, reason):
        if self.rules.winds_down:
            proc = self.own(index)
            proc.life, proc.reason = DOOMED, reason
        else:
            self.end(index, reason)

    def end(self, index, reason):
        proc = self.own(index)
        proc.life, proc.reason = LEAVING, reason
        if self.rules.names_go == "first":
            self.free_names(index)
        if not self.rules.winds_down:
            self.leave(index)

    def free_names(self, index):
        self.names = {name: who for name, who in self.names.items() if who != index}

    def leave(self, index):
        self.own(index).life = DYING
        for key in [key for key in self.queues if key[1] == index]:
            for signal in self.queues.pop(key):
                self.answer(key[0], index, signal)

    def leaving(self, index):
        world = self.copy()
        world.leave(index)
        yield world
        if self.rules.names_go == "any" and index in self.names.values():
            world = self.copy()
            world.free_names(index)
            yield world

    def notices(self, proc, peer):
        """All orders in which one other process may hear of this end."""
        downs = [("down", m, proc.reason) for w, m in sorted(proc.watchers) if w == peer]
        exits = [("exit", proc.reason, True)] if peer in proc.links else []
        if self.rules.downs_first:
            return [list(order) + exits for order in itertools.permutations(downs)]
        return list(itertools.permutations(downs + exits))

    def bury(self, index):
        """Names are free now, and everybody is told."""
        proc = self.procs[index]
        peers = sorted({watcher for watcher, _ in proc.watchers} | proc.links)
        for orders in itertools.product(*(self.notices(proc, peer) for peer in peers)):
            world = self.copy()
            world.own(index).life = DEAD
            world.free_names(index)
            for peer, order in zip(peers, orders):
                for signal in order:
                    world.send(index, peer, signal)
            yield world

    # ---- operations ----

    def observe(self, index, words):
        """False: the given outcome says otherwise."""
        proc = self.procs[index]
        if self.given is None:
            proc.seen += (words,)
            return True
        state, lines = self.given[index]
        if proc.seen < len(lines):
            proc.seen += 1
            return lines[proc.seen - 1] == words
        proc.halted = True
        op = self.program[index].ops[proc.place - 1]
        return state == "gone" and op[0] in SEEN_BY_OTHERS

    def step(self, index):
        """The world after the next operation, or None if it has to wait or contradicts."""
        ops = self.program[index].ops
        world = self.copy()
        proc = world.own(index)
        if proc.place == len(ops):
            world.end(index, "normal")
            return world
        op = ops[proc.place]
        proc.place += 1
        words = OPERATIONS[op[0]](world, index, proc, *op[1:])
        if words is WAIT or (words is not None and not world.observe(index, words)):
            return None
        return world

    def successors(self):
        for index, proc in enumerate(self.procs):
            if proc.life == ALIVE and not proc.halted:
                world = self.step(index)
                if world:
                    yield world
            elif proc.life == DOOMED:
                world = self.copy()
                world.end(index, proc.reason)
                yield world
            elif proc.life == LEAVING:
                yield from self.leaving(index)
            elif proc.life == DYING:
                yield from self.bury(index)
        for key, signals in self.queues.items():
            world = self.copy()
            if len(signals) == 1:
                del world.queues[key]
            else:
                world.queues[key] = signals[1:]
            world.arrive(key[0], key[1], signals[0])
            yield world

    def state(self, index):
        """How a process stays for ever, or None if it does not."""
        proc = self.procs[index]
        if proc.life in (UNBORN, DEAD):
            return "unborn" if proc.life == UNBORN else "gone"
        return None if proc.life != ALIVE or proc.halted else f"blocked {proc.place}"

    def outcome(self):
        """The outcome if this is an end, which is so if there is no successor."""
        return tuple((self.state(i), proc.seen) for i, proc in enumerate(self.procs))

    def is_as_given(self):
        return all(state == self.state(i) and len(lines) == self.procs[i].seen
                   for i, (state, lines) in enumerate(self.given))


WAIT = object()


def with_target(operation):
    def checked(world, index, proc, target, *words):
        if world.procs[int(target)].life == UNBORN:
            return "unknown"
        return operation(world, index, proc, int(target), *words)
    return checked


def do_spawn(world, index, proc, child, how, monitor=None):
    fresh = world.own(child)
    fresh.life = ALIVE
    if how == "link":
        fresh.links |= {index}
        proc.links |= {child}
    elif how == "monitor":
        fresh.watchers |= {(index, monitor)}
        proc.watched |= {(monitor, child)}


@with_target
def do_send(world, index, proc, target, tag):
    world.send(index, target, ("msg", tag))


def do_sendname(world, index, proc, name, tag):
    target = world.names.get(name)
    if target is None:
        return "noname"
    world.send(index, target, ("msg", tag))
    return "ok"


def receive(proc, patience, matches):
    for place, item in enumerate(proc.mail):
        if matches(item):
            proc.mail = proc.mail[:place] + proc.mail[place + 1:]
            return " ".join(map(str, item))
    return "timeout" if patience == ("0",) else WAIT


def do_recv(world, index, proc, tag, *patience):
    return receive(proc, patience, lambda item: item[:2] == ("msg", tag))


def do_recvany(world, index, proc, *patience):
    return receive(proc, patience, lambda item: True)


def do_recvsig(world, index, proc, *patience):
    return receive(proc, patience, lambda item: item[0] != "msg")


@with_target
def do_link(world, index, proc, target):
    if target != index and target not in proc.links:
        proc.links |= {target}
        world.send(index, target, ("link",))


@with_target
def do_unlink(world, index, proc, target):
    if target in proc.links:
        proc.links -= {target}
        world.send(index, target, ("unlink",))


@with_target
def do_monitor(world, index, proc, target, monitor):
    if target != index:
        proc.watched |= {(monitor, target)}
        world.send(index, target, ("monitor", monitor))


def do_demonitor(world, index, proc, monitor):
    for known, target in proc.watched:
        if known == monitor:
            proc.watched -= {(known, target)}
            world.send(index, target, ("demonitor", monitor))
            break
    proc.mail = tuple(i for i in proc.mail if i[0] != "down" or i[2] != monitor)


def do_trap(world, index, proc, how):
    proc.trap = how == "on"


def do_exitself(world, index, proc, reason):
    world.end(index, reason)


@with_target
def do_exit(world, index, proc, target, reason):
    world.send(index, target, ("exit", reason, False))


@with_target
def do_kill(world, index, proc, target):
    world.send(index, target, ("kill",))


def do_register(world, index, proc, name):
    if name in world.names:
        return "RUSM_EEXIST"
    world.names[name] = index
    return "ok"


def do_unregister(world, index, proc, name):
    holder = world.names.get(name)
    if holder == index:
        del world.names[name]
        return "ok"
    return "RUSM_ENOTFOUND" if holder is None else "RUSM_EPERM"


def do_whereis(world, index, proc, name):
    return f"at {world.names.get(name, -1)}"


@with_target
def do_alive(world, index, proc, target):
    return "yes" if world.procs[target].life < DYING else "no"


def do_pause(world, index, proc):
    return None


OPERATIONS = {
    "spawn": do_spawn, "send": do_send, "sendname": do_sendname, "recv": do_recv,
    "recvany": do_recvany, "recvsig": do_recvsig, "link": do_link, "unlink": do_unlink,
    "monitor": do_monitor, "demonitor": do_demonitor, "trap": do_trap, "exitself": do_exitself,
    "crash": do_exitself, "exit": do_exit, "kill": do_kill, "register": do_register,
    "unregister": do_unregister, "whereis": do_whereis, "alive": do_alive, "pause": do_pause,
}


def explains(program, outcome, rules, limit=200000):
    """True, False, or None where the search was given up after `limit` states."""
    start = World(program, outcome, rules)
    known = {start.key()}
    stack = [start.successors()]
    if start.is_as_given() and not list(start.successors()):
        return True
    while stack:
        world = next(stack[-1], None)
        if world is None:
            stack.pop()
            continue
        key = world.key()
        if key in known:
            continue
        known.add(key)
        if len(known) > limit:
            return None
        if world.is_as_given() and is_end(world):
            return True
        stack.append(world.successors())
    return False


def is_end(world):
    """With an outcome given, an operation that contradicts is no end: look without."""
    free = world.copy()
    free.given = None
    for index, proc in enumerate(free.procs):
        free.procs[index] = proc = proc.copy()
        proc.seen = ()
    return next(free.successors(), None) is None


def outcomes(program, rules, limit=3000):
    """The set of all outcomes; None after `limit` states."""
    start = World(program, None, rules)
    known = {start.key()}
    stack = [start]
    found = set()
    while stack:
        world = stack.pop()
        more = list(world.successors())
        if not more:
            found.add(world.outcome())
        for successor in more:
            key = successor.key()
            if key not in known:
                known.add(key)
                stack.append(successor)
        if len(known) > limit:
            return None
    return found
