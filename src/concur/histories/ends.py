"""In which states can a piece of a history have ended? All of them, for whoever goes on from there.

**Ends of a piece.** A configuration is a state, which of the open operations are in the order
already, and which of those without an outcome were used. We walk through the returns of the piece;
before each, whatever is open is put into the order in all ways that let the next one return (Lowe,
"Testing for linearizability", CCPE 29(4), 2017, in the form that keeps all configurations instead
of the first that works, since all ends are wanted). Exchanging what leads to the same configuration
costs nothing, because they are a set. An operation that leaves the state alone is put into the
order as soon as its outcome fits.

**What never ends.** An operation without an outcome may take effect at any later time, so it stays
with its object until it was used in every order there is; reads without one are dropped. There may
be thousands, and they have more subsets than anybody can try. But one is worth using only if
something notices. Say that a configuration covers another with the same state and the same
operations done if it used no other operations without outcome: it can do whatever that one can.
Only what nothing covers is kept, and what used few is looked at first. It follows:

* *Somebody must notice.* Let `p` have no outcome and be followed by `y`. If `y` has its outcome
  without `p` as well and leads to the same state, the order without `p` covers this one. Whatever
  could be observed before `p` has been put before it. So each is put just before what notices it,
  in the same step, since no step ends with one.
* *Nobody notices a write that is overwritten.* What leads to the same state wherever it is put, and
  tells nothing, notices nothing. And what notices *it* can be looked up, by the state that it
  leads to and the outcome there, among thousands of them. `OVERWRITE` says which commands these
  are; other operations without outcome are tried one by one.
* *Twins.* Of those with the same command, or that lead to the same state wherever they are put,
  the one called first is used first: exchange them.

Each of these arguments replaces a configuration by one that covers it, or exchanges equal ones, so
they can be used together. What waits for an earlier operation of its process
(`concur.histories.timeline`) has no twins.

**Rounding.** If operations without an outcome can take each other's place, what used few is still
too much. A walk that rounds up keeps, when there are many ways to the same state, what *all* of
them used: then more can happen than could, and what is wrong is wrong. One that rounds down keeps
some of those that used fewest: what is right is right.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, Literal

from concur.histories.admission import agrees, told_nothing, unrecorded
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.models.kv import KvModel
from concur.histories.models.register import CasRegisterModel, RegisterModel
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline
from concur.machines.kv import Delete, KeyValue, Put
from concur.machines.register import Register, Write

OVERWRITE: dict[type, tuple[type, ...]] = {
    Register: (Write,),
    RegisterModel: (Write,),
    CasRegisterModel: (Write,),
    KeyValue: (Put, Delete),
    KvModel: (Put, Delete),
}
"""Of the machine: commands after which the state of the object (one key, if there are keys) is the
same whatever it was before, and so is what they tell."""

LEAST_MAX = 16
"""For one state, and the same operations done: with more ways of having got there, by other
operations without an outcome, a walk rounds."""
SHOWN_MAX = 8
"""Operations around what cannot be placed, and states before it, that an explanation lists."""

Config = tuple[Any, frozenset[int], frozenset[int]]  # state's identity, done, used
Found = dict[tuple[Any, frozenset[int]], list[frozenset[int]]]  # state and done -> least sets used


class OutOfBudget(Exception):
    """Raised within one object; says what ran out."""


class TooMany(Exception):
    """Raised within a walk that was to end in a cut: not here."""


class Wrong(Exception):
    """No order explains the object; the lines say why."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines


class States:
    """The states of one object, each under a name that tells 1 from True."""

    def __init__(self, machine: Specification) -> None:
        self.machine = machine
        self._states: dict[Any, Any] = {}

    def name(self, state: Any) -> Any:
        name = self.machine.snapshot(state)
        self._states.setdefault(name, state)
        return name

    def __getitem__(self, name: Any) -> Any:
        return self._states[name]


class Walk:
    """One walk through the returns of a piece. Entries are numbers: of the piece, then of the
    operations without an outcome."""

    def __init__(
        self,
        states: States,
        piece: Sequence[tuple[Operation, Any]],
        timeline: Timeline,
        spend: Callable[[], None],
        configs_max: int | None,
        rounds: Literal["up", "down"],
    ) -> None:
        self.states = states
        self.machine = states.machine
        self.spend = spend
        self.configs_max = configs_max
        self.rounds = rounds
        self.exact = True  # there was no need to round
        self.operations = [op for op, _ in piece]
        self.commands = [command for _, command in piece]
        self.entry = {op.index: entry for entry, op in enumerate(self.operations)}
        self.unrecorded = unrecorded(self.machine)
        numbers: dict[Any, int] = {}
        self.asked = []  # for each entry, a number for its command ...
        self.kind = []  # ... and one for command and outcome
        for op in self.operations:
            asked = op.f, identity(op.key), identity(op.value)
            self.asked.append(numbers.setdefault(asked, len(numbers)))
            told = () if op.type == "info" else (op.type, identity(op.result), op.error)
            kind = asked, told
            self.kind.append(numbers.setdefault(kind, len(numbers)))
        self.memo: dict[tuple[Any, int], Any] = {}
        overwrite = OVERWRITE.get(type(self.machine), ())
        if (
            overwrite
            and len({identity(self.machine.key(command)) for command in self.commands}) > 1
        ):
            overwrite = ()  # the state is of several keys
        self.overwrites = [type(command) in overwrite for command in self.commands]
        self.timeline = timeline

    def ends(self, starts: Iterable[Config]) -> list[Config]:
        """Between pieces `used` has indices of events, which stay; within, it has entries."""
        calls, returns = self.timeline.calls, self.timeline.returns
        configs = [
            (state, done, frozenset(self.entry[index] for index in used))
            for state, done, used in starts
        ]
        order = sorted(range(len(calls)), key=calls.__getitem__)
        returning = sorted((e for e in order if returns[e] < NEVER), key=returns.__getitem__)
        open_: list[int] = []
        self.pending = _Pending(self)
        called = 0
        for entry in returning:
            while called < len(order) and calls[order[called]] < returns[entry]:
                one = order[called]
                if returns[one] < NEVER:
                    open_.append(one)
                else:
                    self.pending.add(one, configs[0][0])
                called += 1
            before = configs
            configs = self.step(configs, entry, open_)
            if not configs:
                raise Wrong(self.explain(entry, open_, before))
            open_.remove(entry)
        index = [op.index for op in self.operations]
        return [
            (state, done, frozenset(index[entry] for entry in used))
            for state, done, used in configs
        ]

    def step(self, configs: list[Config], target: int, open_: list[int]) -> list[Config]:
        """All least configurations in which `target` is in the order, which then returns."""
        seen: Found = {}
        found: Found = {}
        # (how many were used, a number to tell them apart, the configuration, and, if its last
        # operation has no outcome and nothing noticed it yet, the state before that)
        work: list[tuple[int, int, Config, Any]] = []
        for config in configs:
            heappush(work, (len(config[2]), len(work), self.settle(config, open_), None))
        tie = len(work)
        while work:
            self.spend()
            _, _, config, earlier = heappop(work)
            state, done, used = config
            if target in done:
                self.new(found, state, done - {target}, used)
                continue
            new = self.new(seen, state, done, used)
            if new is None:
                continue
            used = new
            if self.configs_max is not None and len(seen) > self.configs_max:
                raise TooMany
            left = [e for e in open_ if e not in done and not self.waits(e, open_, done)]
            for entry in left:
                after = self.after(state, entry)
                if after is None or (earlier is not None and self.after(earlier, entry) == after):
                    continue
                config = self.settle((after, done | {entry}, used), open_)
                heappush(work, (len(used), tie, config, None))
                tie += 1
            for entry in self.pending.worth_using(used, left, earlier is None):
                after = self.after(state, entry)
                if after is None or after == state or self.waits(entry, open_, done):
                    continue
                if earlier is not None and self.after(earlier, entry) == after:
                    continue
                config = self.settle((after, done, used | {entry}), open_)
                unnoticed = state if config[1] == done else None
                heappush(work, (len(used) + 1, tie, config, unnoticed))
                tie += 1
        made = [(state, done, used) for (state, done), least in found.items() for used in least]
        if self.configs_max is not None and len(made) > self.configs_max:
            raise TooMany
        return made

    def new(
        self, known: Found, state: Any, done: frozenset[int], used: frozenset[int]
    ) -> frozenset[int] | None:
        """Add `used` unless a part of it is known; drop those that it is a part of. Returns what to
        go on with, which may have been rounded."""
        least = known.setdefault((state, done), [])
        if any(other <= used for other in least):
            return None
        if len(least) >= LEAST_MAX:
            self.exact = False
            if self.rounds == "down":
                return None
            used = used.intersection(*least)
        least[:] = [other for other in least if not used <= other]
        least.append(used)
        return used

    def waits(self, entry: int, open_: list[int], done: frozenset[int]) -> bool:
        """Whether the operation before it, of the same process, is not in the order yet."""
        earlier = self.timeline.before.get(entry)
        return earlier is not None and earlier in open_ and earlier not in done

    def settle(self, config: Config, open_: list[int]) -> Config:
        """Put what leaves the state alone, and has that outcome, into the order."""
        state, done, used = config
        more = True
        while more:
            more = False
            for entry in open_:
                if entry in done or not self.quiet(entry) or self.waits(entry, open_, done):
                    continue
                if self.after(state, entry) == state:
                    done |= {entry}
                    more = True
        return state, done, used

    def quiet(self, entry: int) -> bool:
        op = self.operations[entry]
        return op.type == "fail" or self.machine.read_only(self.commands[entry])

    def after(self, state: Any, entry: int) -> Any:
        """The name of the next state; None if the outcome is not the one that was recorded."""
        name = state, self.kind[entry]
        known = self.memo.get(name, self)
        if known is self:
            known = self.memo[name] = self.apply(state, entry)
        return known

    def apply(self, state: Any, entry: int) -> Any:
        op, command = self.operations[entry], self.commands[entry]
        try:
            after, result = self.machine.apply(self.states[state], command)
        except Exception:  # by contract an error result for the client; the state is unchanged
            return None
        if op.type != "info" and not agrees(self.machine, command, op, result):
            return None
        return self.states.name(after)

    def explain(self, entry: int, open_: list[int], configs: list[Config]) -> list[str]:
        others = [e for e in open_ if e != entry]
        states = list(dict.fromkeys(state for state, _, _ in configs))
        lines = [describe(self.operations[entry]), "  has no place in any order"]
        if others:
            lines.append("  of what went on at the same time:")
            lines += ["    " + describe(self.operations[e]) for e in others[:SHOWN_MAX]]
            if len(others) > SHOWN_MAX:
                lines.append(f"    and {len(others) - SHOWN_MAX} more")
        shown = sorted(phrase(self.states[state]) for state in states)[:SHOWN_MAX]
        more = f" and {len(states) - SHOWN_MAX} more" if len(states) > SHOWN_MAX else ""
        lines.append(f"  before it the state can have been {' or '.join(shown)}{more}")
        return lines


class _Pending:
    """The operations without an outcome that were called, and which of them are worth using.

    Twins are in one list, the first called first. Lists of those that overwrite are known by the
    state that they lead to, the others all have to be tried.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.others: dict[int, list[int]] = {}
        self.leading_to: dict[Any, list[int]] = {}
        self.targets: list[Any] = []
        self.noticed: dict[Any, dict[Any, list[Any]]] = {}
        self.looked_at: dict[Any, int] = {}  # so many of the targets

    def add(self, entry: int, state: Any) -> None:
        walk = self.walk
        if entry in walk.timeline.before:
            self.others[-1 - entry] = [entry]
        elif not walk.overwrites[entry]:
            self.others.setdefault(walk.kind[entry], []).append(entry)
        else:
            target = walk.after(state, entry)
            if target not in self.leading_to and target is not None:
                self.leading_to[target] = []
                self.targets.append(target)
            if target is not None:
                self.leading_to[target].append(entry)

    def worth_using(
        self, used: frozenset[int], left: Sequence[int], overwriting: bool
    ) -> Iterator[int]:
        """`left`: what is open and may come next. What overwrites is not asked for just after
        another that nothing noticed yet: it would not notice it either."""
        others = [_first(twins, used) for twins in self.others.values()]
        tried = [entry for entry in others if entry is not None]
        if overwriting and self.targets:
            found: dict[Any, None] = {}
            for entry in (*left, *tried):
                if not self.walk.overwrites[entry]:
                    found.update(dict.fromkeys(self.noticing(entry)))
            for target in found:
                first = _first(self.leading_to[target], used)
                if first is not None:
                    yield first
        yield from tried

    def noticing(self, entry: int) -> list[Any]:
        """In which of the states that something leads to, wherever it is put, the entry has its
        outcome; without one, which of them it changes."""
        walk = self.walk
        op = walk.operations[entry]
        told = op.type == "ok" and not walk.unrecorded(op) and not told_nothing(op)
        name = (told, walk.asked[entry] if told else walk.kind[entry])
        table = self.noticed.setdefault(name, {})
        start = self.looked_at.get(name, 0)
        for target in self.targets[start:]:
            table.setdefault(self.outcome(target, entry, told), []).append(target)
        self.looked_at[name] = len(self.targets)
        return table.get(("ok", identity(op.result)) if told else True, [])

    def outcome(self, target: Any, entry: int, told: bool) -> Any:
        walk = self.walk
        if not told:
            after = walk.after(target, entry)
            return after is not None and (walk.operations[entry].type != "info" or after != target)
        try:
            _, result = walk.machine.apply(walk.states[target], walk.commands[entry])
        except Exception:
            return None
        kind, value, _ = walk.machine.completion(walk.commands[entry], result)
        return kind, identity(value)


def _first(twins: list[int], used: frozenset[int]) -> int | None:
    for entry in twins:
        if entry not in used:
            return entry
    return None
