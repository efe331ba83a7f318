"""In which states can a piece of a history have ended? All of them, for whoever goes on from there.

**Ends of a piece.** A configuration is a state, which of the open operations are in the order
already, and which of those without an outcome were used. We walk through the returns of the piece;
before each, whatever is open is put into the order in all ways that let the next one return (Lowe,
"Testing for linearizability", CCPE 29(4), 2017, in the form that keeps all configurations instead
of the first that works, since all ends are wanted). Exchanging what leads to the same configuration
costs nothing, because they are a set. Two things keep it small, and neither loses an end:

* An operation that leaves the state alone is put into the order as soon as its outcome fits.
* Of two configurations with the same state and the same operations done, the one that used fewer
  operations without outcome can do whatever the other can. Only the least are kept.

**What never ends.** An operation without an outcome may take effect at any later time, so it stays
with its object for ever, like the processes that cannot go on; reads without one are dropped. A
history of which many operations were lost needs memory for those, and time for their subsets.
"""

from collections.abc import Callable, Sequence
from typing import Any

from concur.histories.admission import agrees
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline

SHOWN_MAX = 8
"""Operations around what cannot be placed, and states before it, that an explanation lists."""

Config = tuple[Any, frozenset[int], frozenset[int]]  # state's identity, done, used


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

    def keep(self, names: set[Any]) -> None:
        """Forget all others."""
        self._states = {name: state for name, state in self._states.items() if name in names}


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
    ) -> None:
        self.states = states
        self.machine = states.machine
        self.spend = spend
        self.configs_max = configs_max
        self.operations = [op for op, _ in piece]
        self.commands = [command for _, command in piece]
        self.entry = {op.index: entry for entry, op in enumerate(self.operations)}
        self.memo: dict[tuple[Any, int], Any] = {}
        self.reorder(timeline)

    def reorder(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.twin = self.twins(
            [entry for entry, op in enumerate(self.operations) if op.type == "info"]
        )

    def twins(self, lost: list[int]) -> dict[int, int]:
        """For operations without an outcome: the one with the same command that was called just
        before. Exchange them: using that one first is enough."""
        found: dict[int, int] = {}
        last: dict[Any, int] = {}
        for entry in sorted(lost, key=self.timeline.calls.__getitem__):
            if entry not in self.timeline.before:
                op = self.operations[entry]
                kind = op.f, identity(op.key), identity(op.value)
                if kind in last:
                    found[entry] = last[kind]
                last[kind] = entry
        return found

    def ends(self, starts: set[Config]) -> set[Config]:
        """Between pieces `used` has indices of events, which stay; within, it has entries."""
        calls, returns = self.timeline.calls, self.timeline.returns
        configs = {
            (state, done, frozenset(self.entry[index] for index in used))
            for state, done, used in starts
        }
        order = sorted(range(len(calls)), key=calls.__getitem__)
        returning = sorted((e for e in order if returns[e] < NEVER), key=returns.__getitem__)
        open_: list[int] = []
        pending: list[int] = []
        called = 0
        for entry in returning:
            while called < len(order) and calls[order[called]] < returns[entry]:
                one = order[called]
                (open_ if returns[one] < NEVER else pending).append(one)
                called += 1
            before = configs
            configs = self.step(configs, entry, open_, pending)
            if not configs:
                raise Wrong(self.explain(entry, open_, before))
            open_.remove(entry)
        index = [op.index for op in self.operations]
        return {
            (state, done, frozenset(index[entry] for entry in used))
            for state, done, used in configs
        }

    def step(
        self, configs: set[Config], target: int, open_: list[int], pending: list[int]
    ) -> set[Config]:
        """All least configurations in which `target` is in the order, which then returns."""
        seen: dict[tuple[Any, frozenset[int]], list[frozenset[int]]] = {}
        found: dict[tuple[Any, frozenset[int]], list[frozenset[int]]] = {}
        work = [self.settle(config, open_) for config in configs]
        before = self.timeline.before
        while work:
            self.spend()
            config = work.pop()
            state, done, used = config
            if self.configs_max is not None and len(seen) > self.configs_max:
                raise TooMany
            if target in done:
                _least(found, state, done - {target}, used)
                continue
            if not _least(seen, state, done, used):
                continue
            for entry in open_:
                if entry in done or (entry in before and self.waits(before[entry], open_, done)):
                    continue
                after = self.after(state, entry)
                if after is not None:
                    work.append(self.settle((after, done | {entry}, used), open_))
            for entry in pending:
                if entry in used or (entry in before and self.waits(before[entry], open_, done)):
                    continue
                if entry in self.twin and self.twin[entry] not in used:
                    continue
                after = self.after(state, entry)
                if after is not None and after != state:
                    work.append(self.settle((after, done, used | {entry}), open_))
        return {(state, done, used) for (state, done), least in found.items() for used in least}

    def waits(self, earlier: int, open_: list[int], done: frozenset[int]) -> bool:
        """Whether the operation before it, of the same process, is not in the order yet."""
        return earlier in open_ and earlier not in done

    def settle(self, config: Config, open_: list[int]) -> Config:
        """Put what leaves the state alone, and has that outcome, into the order."""
        state, done, used = config
        before = self.timeline.before
        more = True
        while more:
            more = False
            for entry in open_:
                if entry in done or (entry in before and self.waits(before[entry], open_, done)):
                    continue
                if self.quiet(entry) and self.after(state, entry) == state:
                    done |= {entry}
                    more = True
        return state, done, used

    def quiet(self, entry: int) -> bool:
        op = self.operations[entry]
        return op.type == "fail" or self.machine.read_only(self.commands[entry])

    def after(self, state: Any, entry: int) -> Any:
        """The name of the next state; None if the outcome is not the one that was recorded."""
        known = self.memo.get((state, entry), self)
        if known is self:
            known = self.memo[state, entry] = self.apply(state, entry)
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

    def explain(self, entry: int, open_: list[int], configs: set[Config]) -> list[str]:
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


def surely(walk: Walk, starts: set[Config]) -> set[Config]:
    """What the walk leads to; nothing if it leads nowhere."""
    try:
        return walk.ends(starts) if starts else set()
    except Wrong:
        return set()


def _least(
    known: dict[tuple[Any, frozenset[int]], list[frozenset[int]]],
    state: Any,
    done: frozenset[int],
    used: frozenset[int],
) -> bool:
    """Add `used` unless a part of it is known; drop those that it is a part of."""
    sets = known.setdefault((state, done), [])
    if any(other <= used for other in sets):
        return False
    sets[:] = [other for other in sets if not used <= other]
    sets.append(used)
    return True
