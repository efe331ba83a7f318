"""Sequential consistency by search: advance the processes one access at a time, in any order.

A *frontier* says how far each process has come, and with it goes the state. From a frontier any
process may do its next operation if the state explains its outcome. The history is sequentially
consistent iff all can be brought to their end. It is exponential in the worst case (deciding it is
NP-complete, Gibbons and Korach, SIAM J. Computing 26(4), 1997), and a budget bounds it. Three
things keep it small: what does not change the state is done as soon as it can be (nobody notices);
a frontier and state that failed once are not tried again; and, for registers, `Registers` knows
more.

Pending operations may be done at any time or never; each is the last of its process.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from concur.histories.admission import agrees, separate
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.specification import Specification
from concur.histories.weaker.accesses import INITIAL, Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.order import Order

Position = tuple[int, ...]


class Rules(Protocol):
    """What the search asks: operations are numbered, states are values."""

    def initial(self) -> Any: ...

    def observe(self, state: Any, i: int) -> Any | None:
        """The state after `i`, if `i` fits now and nobody can notice it; None otherwise."""
        ...

    def change(self, state: Any, i: int, position: Sequence[int]) -> Any | None:
        """The state after `i`, if it may come now; None otherwise."""
        ...

    def memo(self, state: Any) -> Any:
        """What tells `state` from others that are reached with the same frontier."""
        ...

    def preference(self, i: int) -> int:
        """Of several operations the one with the least is tried first."""
        ...


def advance(
    chains: Sequence[Sequence[int]], optional: Sequence[bool], rules: Rules, budget: Budget
) -> list[int] | None:
    """None if there is an order. Else the furthest frontier: how many of each chain were done.

    `optional` operations need not be done. Raises OutOfBudget.
    """
    lengths = [len(chain) for chain in chains]
    needed = [
        length - 1 if chain and optional[chain[-1]] else length
        for chain, length in zip(chains, lengths, strict=True)
    ]
    tried: set[tuple[Position, Any]] = set()
    best: list[int] = [0] * len(chains)

    def settle(position: list[int], state: Any) -> Any:
        moved = True
        while moved:
            moved = False
            for p, chain in enumerate(chains):
                while position[p] < lengths[p]:
                    after = rules.observe(state, chain[position[p]])
                    if after is None:
                        break
                    state, moved = after, True
                    position[p] += 1
                    budget.spend()
        return state

    def successors(position: list[int], state: Any) -> Iterator[tuple[list[int], Any]]:
        heads = [p for p in range(len(chains)) if position[p] < lengths[p]]
        heads.sort(key=lambda p: rules.preference(chains[p][position[p]]))
        for p in heads:
            budget.spend()
            after = rules.change(state, chains[p][position[p]], position)
            if after is None:
                continue
            following = position.copy()
            following[p] += 1
            yield following, settle(following, after)

    def finished(position: list[int]) -> bool:
        return all(done >= need for done, need in zip(position, needed, strict=True))

    start = [0] * len(chains)
    state = settle(start, rules.initial())
    if finished(start):
        return None
    best = start
    stack = [successors(start, state)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        position, state = step
        if finished(position):
            return None
        name = tuple(position), rules.memo(state)
        if name in tried:
            continue
        tried.add(name)
        if sum(position) > sum(best):
            best = position
        stack.append(successors(position, state))
    return best


class Registers:
    """Rules for registers whose reads each have one source, after saturation.

    A write waits for all that the saturated order puts before it, and for all reads of the write
    that it replaces: no other write could serve them. So the state is only, for each key, which
    write is current and how many of its reads are still to come.
    """

    def __init__(self, order: Order) -> None:
        self.accesses: Accesses = order.accesses
        self.order = order
        self.reads_of: dict[int, int] = {}
        for read in self.accesses.reads:
            source = order.sources[read]
            name = source if source != INITIAL else -1 - self.accesses.key[read]
            self.reads_of[name] = self.reads_of.get(name, 0) + 1

    def initial(self) -> dict[int, tuple[int, int]]:
        """key -> current write, reads of it that are to come; only where there are any."""
        return {-1 - name: (INITIAL, count) for name, count in self.reads_of.items() if name < 0}

    def observe(self, state: dict[int, tuple[int, int]], i: int) -> Any | None:
        key = self.accesses.key[i]
        if self.accesses.is_write[i] or key not in state:
            return None
        current, left = state[key]
        if current != self.order.sources[i]:
            return None
        after = state.copy()
        if left > 1:
            after[key] = current, left - 1
        else:
            del after[key]
        return after

    def change(
        self, state: dict[int, tuple[int, int]], i: int, position: Sequence[int]
    ) -> Any | None:
        accesses = self.accesses
        key = accesses.key[i]
        if not accesses.is_write[i] or key in state:
            return None
        if any(position[p] < rank for p, rank in self.order.clocks[i].items()):
            return None
        left = self.reads_of.get(i, 0)
        if not left:
            return state
        after = state.copy()
        after[key] = i, left
        return after

    def memo(self, state: dict[int, tuple[int, int]]) -> Any:
        return tuple(sorted((key, current) for key, (current, _) in state.items()))

    def preference(self, i: int) -> int:
        """How much came before it: clocks of processes that do not communicate say nothing."""
        return self.accesses.rank[i] + sum(self.order.clocks[i].values())


class Machines:
    """Rules for any machine: states are the machine's, outcomes what it answers."""

    def __init__(self, operations: Sequence[Operation], machine: Specification) -> None:
        self.operations = operations
        self.machine = machine
        self.commands = [machine.command(op.f, op.key, op.value) for op in operations]
        several = separate(machine, operations, self.commands)
        self.names = [identity(op.key) if several else None for op in operations]

    def initial(self) -> tuple[tuple[Any, Any], ...]:
        names = dict.fromkeys(self.names)
        return tuple((name, self.machine.initial()) for name in names)

    def observe(self, state: tuple[tuple[Any, Any], ...], i: int) -> Any | None:
        op = self.operations[i]
        if not self.machine.read_only(self.commands[i]) and op.type != "fail":
            return None
        return self._apply(state, i)

    def change(
        self, state: tuple[tuple[Any, Any], ...], i: int, position: Sequence[int]
    ) -> Any | None:
        return self._apply(state, i)

    def _apply(self, state: tuple[tuple[Any, Any], ...], i: int) -> Any | None:
        op, machine, command = self.operations[i], self.machine, self.commands[i]
        name = self.names[i]
        slot = next(slot for slot, (known, _) in enumerate(state) if known == name)
        try:
            after, result = machine.apply(state[slot][1], command)
        except Exception:
            return None  # the machine refused, and nobody was told so: that did not happen here
        if op.type != "info" and not agrees(machine, command, op, result):
            return None
        return (*state[:slot], (name, after), *state[slot + 1 :])

    def memo(self, state: tuple[tuple[Any, Any], ...]) -> Any:
        return tuple(self.machine.snapshot(part) for _, part in state)

    def preference(self, i: int) -> int:
        return self.operations[i].call_ns
