"""Linearizability against any specification: a search for an order, made as small as possible.

The search is that of Wing and Gong ("Testing and verifying concurrent objects", JPDC 17, 1993)
in the just-in-time form of Lowe ("Testing for linearizability", CCPE 29(4), 2017), with a memo
of what was tried. It is exponential in the worst case, since the problem is NP-complete; the
budget bounds it, and the answer then is "unknown".

**Configurations.** Walk through the returns in order of time. Before return number `p` a
configuration is `(p, done, used, state)`: `done` are those of the operations now open that are
already in the order (operations that returned earlier all are), `used` the same for operations
without a known outcome, `state` what the machine is then in. Operations are put into the order
only to let the next return happen: if operation `x` returns next and is not done, we look for
sequences of open operations that end in `x`, short ones first. `done` has a bit per open operation,
and bits are reused once an operation has returned, so a bit set is as wide as the history is
concurrent and not as long as the history. Where nothing is open, `done` is 0, and what the memo
carries across is just the set of states in which everything before can have ended: such quiescent
points cut the search into pieces without further ado.

**What need not be tried.** Say that configuration A covers B if p and state agree and A has at
least the open operations done that B has, and of those that B did not need as many pending ones
left. Any order that completes B also completes A. So B is dropped whenever A is tried:

* *Observers at once.* An operation that cannot change the state (a read, or a refused
  compare-and-set) is put into the order as soon as its outcome fits. In an order that has it later,
  it can be moved here: it was called already, and nobody can tell.
* *Pending operations only if they matter.* Reads without an outcome are left out from the start. A
  pending operation that leaves the state as it is, is not used, nor is one after which every
  operation of the object is refused, or leads where it leads without, or observes what it
  observes without (a lost write of a value that nobody read). If one is used, no observer
  fits in between, and the next operation leads to the same state without it, that path is dropped:
  the configuration without it covers it. The memo keeps for each (p, done, state) only the
  smallest sets `used`. Each argument replaces a configuration by one with fewer pending operations
  used, so they cannot go round in a circle.
* *Twins in order.* Of open operations with equal command and outcome, only the one that returns
  first is tried; of pending ones with equal command only the first called: exchange them.
* *No idle anticipation.* If `y` was put before the returning `x` and no observer saw what was
  between, but `x` then `y` is allowed and leads to the same state, `y` can wait.

* *No state that the next read rules out*, or out of which not everything can come that did, if the
  machine has a `concur.histories.lookahead`.

At entangled instants (`concur.histories.timeline`) an operation has to wait for an earlier one of
its process as well. Twins and anticipation exchange operations, which is not sound then: they are
off.
"""

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import inf
from time import perf_counter
from typing import Any, NamedTuple

from concur.histories.admission import BLIND, told_nothing, unrecorded
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.lookahead import OBSERVERS, Fact, Lookahead, Prospect
from concur.histories.polynomial.base import Decision
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline

REMEMBERED_MAX = 2_000_000
"""Configurations that are remembered, some 300 bytes each: the budget in memory."""

CLOCK_STEPS = 128
"""The wall clock is read once in so many expansions."""
SHOWN_MAX = 12
"""How many concurrent operations, and how many states, an explanation lists."""

KINDS_MAX = 200
"""With more kinds of operations, finding out whether one could tell two states apart costs more
than it saves."""

HELD_MAX = 2_000_000
"""So many open operations are remembered, of all returns together, which takes 16 MB; then we
forget them all. A thousand clients have a thousand of them before each return."""

_ACK = 0
_REFUSED = -1  # no successor

Config = tuple[int, int, int, int]  # p, done, used, state
Path = tuple[Any, int] | None  # operations put into the order, the last one first


class OutOfBudget(Exception):
    """Raised inside the search when steps, seconds or memory run out; says which."""


class Window(NamedTuple):
    """What is open before a return, in order of return. (Indexed by whether it is an observer.)"""

    changers: list[int]
    watchers: list[int]


class Search:
    """One search over one object (or over the whole history).

    `entries` are positions in `operations` and `commands`; leave out what did not happen and reads
    without an outcome. `steps` counts configurations expanded and successors tried.
    """

    def __init__(
        self,
        specification: Specification,
        operations: Sequence[Operation],
        entries: Sequence[int],
        commands: Sequence[Any],
        timeline: Timeline,
        tell_bools_apart: bool,
        lookahead: Lookahead | None = None,
        prospects: Callable[[Sequence[Fact]], Prospect] | None = None,
    ) -> None:
        self.steps = 0
        self._lookahead = lookahead
        self._typed_commands = [
            commands[e] for e in sorted(entries, key=timeline.calls.__getitem__)
        ]
        self._operations = operations
        self._machine = _Transitions(specification, tell_bools_apart)
        self._exact = any(e in timeline.before for e in entries)
        calls, returns = timeline.calls, timeline.returns
        entries = sorted(entries, key=calls.__getitem__)
        position_of = {position: entry for entry, position in enumerate(entries)}
        self._position = entries
        ops = [operations[position] for position in entries]
        self._command = [
            self._machine.intern(op, commands[position])
            for op, position in zip(ops, entries, strict=True)
        ]
        self._accepts = [self._machine.accepts(op) for op in ops]
        own: Callable[[Any, str, Any], bool] = getattr(specification, "observes", _never)
        observes = OBSERVERS.get(type(specification), own)
        self._observer = [
            op.type == "fail"
            or self._machine.read_only(command)
            or observes(commands[position], op.type, op.result)
            for op, command, position in zip(ops, self._command, entries, strict=True)
        ]
        kinds: dict[Any, int] = {}  # twins have equal kinds
        self._kind = [
            kinds.setdefault(pair, len(kinds))
            for pair in zip(self._command, self._accepts, strict=True)
        ]
        self._samples = list(dict(zip(self._kind, range(len(ops)), strict=True)).values())
        self._unseen_pairs: dict[tuple[int, int], bool] = {}
        before = {
            position_of[later]: position_of[earlier]
            for later, earlier in timeline.before.items()
            if later in position_of and earlier in position_of
        }
        self._before = [before.get(entry, -1) for entry in range(len(entries))]
        self._result = [op.result for op in ops]
        self._layout([calls[e] for e in entries], [returns[e] for e in entries], ops)
        self._prospect: Prospect | None = None
        if prospects is not None:
            facts = zip(
                range(len(ops)),
                self._typed_commands,
                [op.type for op in ops],
                self._result,
                self._opened,
                self._return,
                strict=True,
            )
            self._prospect = prospects([Fact(*fact) for fact in facts])
        self._looked: dict[int, tuple[int, int]] = {}  # at states, by the prospect

    def _layout(self, calls: list[int], returns: list[int], ops: list[Operation]) -> None:
        """Give every operation a bit, and number the returns."""
        self._bit = [0] * len(ops)
        self._return = [-1] * len(ops)  # number of the return; -1 if pending
        self._returning: list[int] = []
        self._called: list[int] = []  # how many operations are called before return p
        self._pending: list[int] = []
        self._pending_called: list[int] = []  # how many of them are called before return p
        self._opened = [0] * len(ops)  # how many returns came before the call
        self._reads: list[int] = []  # observers with a value, in order of return
        self._next_read: list[int] = []  # index in _reads of the first that returns at p or later
        events = [(rank, entry, False) for entry, rank in enumerate(calls)]
        events += [
            (rank, entry, True)
            for entry, rank in enumerate(returns)
            if ops[entry].return_ns is not None
        ]
        events.sort()
        free: list[int] = []
        slots = called = 0
        slot = [0] * len(ops)
        for _, entry, is_return in events:
            if is_return:
                self._return[entry] = len(self._returning)
                self._next_read.append(len(self._reads))
                if self._observer[entry] and ops[entry].type == "ok":
                    self._reads.append(entry)
                self._returning.append(entry)
                self._called.append(called)
                self._pending_called.append(len(self._pending))
                free.append(slot[entry])
                continue
            called = entry + 1
            self._opened[entry] = len(self._returning)
            if ops[entry].return_ns is None:
                self._bit[entry] = 1 << len(self._pending)
                self._pending.append(entry)
            else:
                if not free:
                    free.append(slots)
                    slots += 1
                slot[entry] = free.pop()
                self._bit[entry] = 1 << slot[entry]
        twins: dict[int, int] = {}
        for number, entry in enumerate(self._pending):
            kind = -1 - number if self._exact else self._command[entry]
            twins[kind] = twins.get(kind, 0) | 1 << number
        self._pending_twins = list(twins.values())  # equal pending operations, as sets of bits
        self._windows: list[Window | None] = [None] * len(self._returning)
        self._held = 0  # operations in all of them
        self._at, self._now = 0, Window([], [])  # the last one asked for
        self._returning.append(-1)  # a sentinel after the last return
        self._open_from(0, self._called[0] if self._called else 0)

    def _window(self, p: int) -> "Window":
        """What is open before return `p`: `_now`, moved there return by return.

        That is never far, other than where the search has gone step by step itself."""
        while self._at < p:
            gone = self._returning[self._at]
            del self._now[self._observer[gone]][0]  # of all that were open it returns first
            self._at += 1
            self._open_from(self._called[self._at - 1], self._called[self._at])
            self._tick()
        while self._at > p:
            self._at -= 1
            for entry in range(self._called[self._at], self._called[self._at + 1]):
                if self._return[entry] >= 0:
                    self._now[self._observer[entry]].remove(entry)
            again = self._returning[self._at]
            self._now[self._observer[again]].insert(0, again)
            self._tick()
        changers, watchers = self._now
        self._held += len(changers) + len(watchers)
        if self._held > HELD_MAX:
            self._windows = [None] * len(self._windows)
            self._held = len(changers) + len(watchers)
        window = self._windows[p] = Window(changers.copy(), watchers.copy())
        return window

    def _open_from(self, first: int, after: int) -> None:
        for entry in range(first, after):
            if self._return[entry] >= 0:
                insort(self._now[self._observer[entry]], entry, key=self._return.__getitem__)

    def run(self, steps_max: int, deadline: float) -> Decision:
        """Decide. `deadline` is a time of `perf_counter`. Raises OutOfBudget."""
        self._steps_max = steps_max
        self._deadline = deadline
        self._clock = 0
        self._tried: dict[tuple[int, int, int], list[int]] = {}
        self._remembered = 0
        self._blamed_at, self._blamed = 0, dict[int, None]()
        end = len(self._returning) - 1
        start, _ = self._settle(0, 0, 0, self._machine.initial)
        if start[0] == end:
            return Decision(order=lambda: self._order([]))
        deepest, blocked = start[0], [start]
        self._new(start)
        stack = [self._orders(start)]
        paths: list[Path] = []  # from each level to the next
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                if paths:
                    paths.pop()
                continue
            config, path = found
            p = config[0]
            if p == end:
                paths.append(path)
                return Decision(order=lambda: self._order(paths))
            if not self._new(config):
                continue
            if p > deepest:
                deepest, blocked = p, []
            if p == deepest and len(blocked) < SHOWN_MAX:
                blocked.append(config)
            stack.append(self._orders(config))
            paths.append(path)
        return Decision(self._explain(deepest, blocked))

    def _order(self, paths: list[Path]) -> list[int]:
        """The order found, as positions: what was put to get on, and what could be observed."""
        self._deadline = inf
        order: list[int] = []
        (p, done, used, state), _ = self._settle(0, 0, 0, self._machine.initial, order)
        for path in paths:
            entries = []
            while path is not None:
                path, entry = path
                entries.append(entry)
            for entry in reversed(entries):
                order.append(entry)
                accepts = self._accepts[entry]
                state = self._machine.after(state, self._command[entry], accepts)
                if self._return[entry] < 0:
                    used |= self._bit[entry]
                else:
                    done |= self._bit[entry]
                (p, done, used, state), _ = self._settle(p, done, used, state, order)
        return [self._position[entry] for entry in order]

    def _orders(self, start: Config) -> Iterator[tuple[Config, Path]]:
        """All configurations in which the next return has happened, fewest operations first."""
        p = start[0]
        x = self._returning[p]
        x_bit, x_command, x_accepts = self._bit[x], self._command[x], self._accepts[x]
        x_changes = not self._observer[x]
        pending, called = self._pending, (1 << self._pending_called[p]) - 1
        after = self._machine.after
        bits, commands, accepts, kinds = self._bit, self._command, self._accepts, self._kind
        exact = self._exact
        # (done, used, state, path, state before the last step, that step or -1 if it was observed)
        queue: list[tuple[int, int, int, Path, int, int]]
        queue = [(start[1], start[2], start[3], None, _REFUSED, -1)]
        for done, used, state, path, earlier, last in queue:
            self._spend(1)
            idle = last >= 0 and self._return[last] < 0  # the last step was a pending operation
            if x_changes and not (exact and self._waits(x, p, done)):
                target = after(state, x_command, x_accepts)
                if target >= 0 and not (
                    last >= 0
                    and not exact
                    and self._could_wait(earlier, last, x_command, x_accepts, target, idle)
                ):
                    yield self._settle(p, done | x_bit, used, target)[0], (path, x)
            seen = {kinds[x]}
            for y in (self._windows[p] or self._window(p)).changers:
                if y == x or done & bits[y] or (exact and self._waits(y, p, done)):
                    continue
                if not exact:
                    if kinds[y] in seen:
                        continue
                    seen.add(kinds[y])
                self._spend(1)
                target = after(state, commands[y], accepts[y])
                if target < 0 or (idle and after(earlier, commands[y], accepts[y]) == target):
                    continue
                config, observed = self._settle(p, done | bits[y], used, target)
                if config[0] > p:
                    yield config, (path, y)
                elif self._new(config):
                    step = (_REFUSED, -1) if observed else (state, y)
                    queue.append((*config[1:], (path, y), *step))
            for twins in self._pending_twins:
                left = twins & called & ~used
                if not left:
                    continue
                lowest = left & -left
                y = pending[lowest.bit_length() - 1]
                if exact and self._waits(y, p, done):
                    continue
                self._spend(1)
                target = after(state, commands[y], None)
                if target < 0 or target == state or self._unseen(state, target):
                    continue
                if idle and after(earlier, commands[y], None) == target:
                    continue
                config, observed = self._settle(p, done, used | lowest, target)
                if config[0] > p:
                    yield config, (path, y)
                elif self._new(config):
                    step = (_REFUSED, -1) if observed else (state, y)
                    queue.append((*config[1:], (path, y), *step))

    def _unseen(self, state: int, target: int) -> bool:
        """Whether whatever `target` allows, `state` allows as well, with nothing to tell them."""
        known = self._unseen_pairs.get((state, target))
        if known is None:
            known = len(self._samples) <= KINDS_MAX
            for z in self._samples if known else ():
                self._spend(1)
                there = self._machine.after(target, self._command[z], self._accepts[z])
                here = self._machine.after(state, self._command[z], self._accepts[z])
                if there >= 0 and (here < 0 if self._observer[z] else here != there):
                    known = False
                    break
            self._unseen_pairs[state, target] = known
        return known

    def _could_wait(
        self,
        earlier: int,
        last: int,
        x_command: int,
        x_accepts: "frozenset[int] | None",
        target: int,
        idle: bool,
    ) -> bool:
        """Whether `last`, put just before the returning operation, was not needed there."""
        without = self._machine.after(earlier, x_command, x_accepts)
        if without < 0:
            return False
        if idle and without == target:
            return True
        return self._machine.after(without, self._command[last], self._accepts[last]) == target

    def _settle(
        self, p: int, done: int, used: int, state: int, order: list[int] | None = None
    ) -> tuple[Config, bool]:
        """Put every observer that fits into the order and let all returns that can, happen.

        Also tells whether an observer was put; `order` is told which.
        """
        after = self._machine.after
        returning, bits = self._returning, self._bit
        observed = False
        end = len(returning) - 1
        while p < end:
            for y in (self._windows[p] or self._window(p)).watchers:
                if (
                    not done & bits[y]
                    and after(state, self._command[y], self._accepts[y]) == state
                    and not (self._exact and self._waits(y, p, done))
                ):
                    done |= bits[y]
                    observed = True
                    if order is not None:
                        order.append(y)
            bit = bits[returning[p]]
            if not done & bit:
                break
            done ^= bit
            p += 1
        return (p, done, used, state), observed

    def _waits(self, entry: int, p: int, done: int) -> bool:
        """Whether an earlier operation of the same process must come first and has not."""
        earlier = self._before[entry]
        return earlier >= 0 and self._return[earlier] >= p and not done & self._bit[earlier]

    def _new(self, config: Config) -> bool:
        """Note `config` as tried, unless it or one that covers it was."""
        p, done, used, state = config
        if self._lookahead and not self._hopeful(p, done, used, state):
            return False
        if self._prospect and not self._promising(p, done, used, state):
            return False
        sets = self._tried.setdefault((p, done, state), [])
        if any(smaller & used == smaller for smaller in sets):
            return False
        sets.append(used)
        self._remembered += 1
        if self._remembered > REMEMBERED_MAX:
            raise OutOfBudget(f"memory ({REMEMBERED_MAX:,} configurations)")
        return True

    def _hopeful(self, p: int, done: int, used: int, state: int) -> bool:
        """Whether the next read to return may still see what it saw."""
        assert self._lookahead is not None
        if p == len(self._next_read):
            return True
        for number in range(self._next_read[p], len(self._reads)):
            read = self._reads[number]
            if self._opened[read] > p or not done & self._bit[read]:
                break
        else:
            return True
        end = self._return[read]
        changers = (self._windows[end] or self._window(end)).changers
        candidates = [
            e
            for e in chain(self._returning[p:end], changers)
            if not self._observer[e] and (self._opened[e] > p or not done & self._bit[e])
        ]
        candidates += [
            e for e in self._pending[: self._pending_called[end]] if not used & self._bit[e]
        ]
        commands = self._typed_commands
        self._spend(1)
        if self._lookahead(
            self._machine.states[state],
            commands[read],
            self._result[read],
            (commands[e] for e in candidates),
        ):
            return True
        self._blame(p, read)
        return False

    def _promising(self, p: int, done: int, used: int, state: int) -> bool:
        """Whether everything that came out later can still come out of this state."""
        prospect = self._prospect
        assert prospect is not None
        known = self._looked.get(state)
        if known is None:
            known = self._looked[state] = prospect.look(self._machine.states[state])
        culprit, latest = known
        culprits = [culprit] if culprit >= 0 else []
        if not culprits and latest and p < len(self._windows):
            due, changers = prospect.due, (self._windows[p] or self._window(p)).changers
            late = [e for e in changers if due[e] < latest and not done & self._bit[e]]
            for e in self._pending[: self._pending_called[p]]:
                if due[e] < latest and not used & self._bit[e]:
                    late.append(e)
            culprits = [c for e in late for c in (e, self._returning[due[e]])]
        for culprit in culprits:
            self._blame(p, culprit)
        return not culprits

    def _blame(self, p: int, entry: int) -> None:
        if p >= self._blamed_at:
            if p > self._blamed_at:
                self._blamed_at, self._blamed = p, {}
            self._blamed[entry] = None

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self._steps_max:
            raise OutOfBudget(f"{self._steps_max} steps")
        self._tick()

    def _tick(self) -> None:
        self._clock += 1
        if self._clock % CLOCK_STEPS == 0 and perf_counter() > self._deadline:
            raise OutOfBudget("time")

    def _explain(self, p: int, blocked: list[Config]) -> list[str]:
        """Everything before return `p` has an order, and no such order lets it happen."""
        self._deadline = inf
        x = self._returning[p]
        lines = [
            self._describe(x),
            "  does not fit, although everything that returned before it has an order.",
        ]
        blamed = [e for e in self._blamed if e != x] if self._blamed_at >= p else []
        if blamed:
            lines[1] = "  does not fit into any order that leaves room for"
            lines[2:] = ["  " + self._describe(e) for e in blamed[:SHOWN_MAX]]
        changers, watchers = self._window(p)
        open_ = [e for e in changers + watchers if e != x]
        pending = self._pending[: self._pending_called[p]]
        for title, entries in (("concurrent with it", open_), ("outcome unknown", pending)):
            if entries:
                lines.append(f"{title}:")
                lines += ["  " + self._describe(e) for e in entries[:SHOWN_MAX]]
                if len(entries) > SHOWN_MAX:
                    lines.append(f"  and {len(entries) - SHOWN_MAX} more")
        states = list(dict.fromkeys(state for _, _, _, state in blocked))
        lines.append("states it may have met, before anything concurrent:")
        lines += [f"  {phrase(self._machine.states[state])}" for state in states]
        return lines

    def _describe(self, entry: int) -> str:
        return describe(self._operations[self._position[entry]])


class _Transitions:
    """The machine with states, commands and outcomes as small integers, and each step cached."""

    def __init__(self, specification: Specification, tell_bools_apart: bool) -> None:
        self._specification = specification
        self._unrecorded = unrecorded(specification)
        self._state_key: Callable[[Any], Any] = (
            specification.snapshot if tell_bools_apart else _itself
        )
        self.states: list[Any] = []
        self._state_ids: dict[Any, int] = {}
        self._commands: list[Any] = []
        self._command_fs: list[str] = []
        self._command_ids: dict[Any, int] = {}
        self._outcome_ids: dict[Any, int] = {None: _ACK}
        self._steps: dict[tuple[int, int], tuple[int, int, bool]] = {}
        self.initial = self._state(specification.initial())

    def intern(self, op: Operation, command: Any) -> int:
        key = op.f, identity(op.key), identity(op.value)
        number = self._command_ids.setdefault(key, len(self._commands))
        if number == len(self._commands):
            self._commands.append(command)
            self._command_fs.append(op.f)
        return number

    def read_only(self, command: int) -> bool:
        return self._specification.read_only(self._commands[command])

    def accepts(self, op: Operation) -> frozenset[int] | None:
        """The outcomes that agree with what was recorded; None if any does."""
        if op.type == "info" or self._unrecorded(op):
            return None
        if told_nothing(op):
            return frozenset((_ACK, self._outcome(op.type, op.result, op.error)))
        return frozenset((self._outcome(op.type, op.result, op.error),))

    def after(self, state: int, command: int, accepts: frozenset[int] | None) -> int:
        """The next state, or a negative number if the outcome contradicts the record."""
        step = self._steps.get((state, command))
        if step is None:
            step = self._step(state, command)
        target, outcome, acknowledged = step
        if accepts is None or outcome in accepts or (acknowledged and _ACK in accepts):
            return target
        return _REFUSED

    def _step(self, state: int, command: int) -> tuple[int, int, bool]:
        before, wanted = self.states[state], self._commands[command]
        f = self._command_fs[command]
        try:
            after, result = self._specification.apply(before, wanted)
        except Exception:  # by contract an error result for the client; the state is unchanged
            step = _REFUSED, _REFUSED, False
        else:
            type_, value, error = self._specification.completion(wanted, result)
            acknowledged = result is None and f in BLIND and type_ == "ok"
            step = self._state(after), self._outcome(type_, value, error), acknowledged
        self._steps[state, command] = step
        return step

    def _state(self, state: Any) -> int:
        number = self._state_ids.setdefault(self._state_key(state), len(self.states))
        if number == len(self.states):
            self.states.append(state)
        return number

    def _outcome(self, type_: str, value: Any, error: str | None) -> int:
        key = ("fail", error) if type_ == "fail" else (type_, identity(value))
        return self._outcome_ids.setdefault(key, len(self._outcome_ids))


def _itself(state: Any) -> Any:
    return state


def _never(command: Any, type_: str, result: Any) -> bool:
    return False
