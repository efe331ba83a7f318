"""Linearizability of a lock with fencing tokens, in O(n log n).

Problem: whoever gets the lock gets a number with it, the next one. Is that what one lock gave?

Idea: the tokens say who held the lock first, second, third, and a successful release names the
token that it ended. So the changes are known, acquire 1, release 1, acquire 2 ..., and `sweep`
decides. An acquire that was refused needs a phase in which the lock is held, a refused release one
in which it is not held by that token, `holder` tells of its phase.

Here: a token that nobody was told of was given to an operation without an outcome, of the owner
that later released it or was seen with it: any of this owner's, `sweep` takes them in order. After
the last token that anybody knows of there may have been one more such hold. Not decided here: which
owner it was that held a token and was never told if several may have tried to release it; and
pending or refused releases of tokens that nobody is known to have had.
"""

from collections.abc import Hashable, Sequence
from typing import Any

from concur.histories.explain import describe
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import Decision
from concur.histories.polynomial.sweep import Stuck, sweep
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline


def tokens(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one lock. None if a result or value is not of the kind it should be, or if operations
    without an outcome leave open who held the lock."""
    found = _Tokens(operations, positions, timeline, specification.initial().owner)
    for position in positions:
        if not found.note(position):
            return None
    return found.decide()


class _Tokens:
    def __init__(
        self,
        operations: Sequence[Operation],
        positions: Sequence[int],
        timeline: Timeline,
        start: Any,
    ) -> None:
        self.operations = operations
        self.positions = positions
        self.timeline = timeline
        self.start = start
        self.acquires: dict[int, int] = {}  # token -> who got it
        self.releases: dict[int, int] = {}  # token -> who ended it
        self.owners: dict[int, Any] = {0: start}  # token -> owner
        self.pending: dict[str, list[int]] = {}  # acquires, by owner
        self.maybe: dict[int, list[int]] = {}  # pending releases, by token
        self.observers: list[int] = []
        self.wrong: tuple[list[int], str] | None = None

    def note(self, position: int) -> bool:
        """Note what this operation says. False if it is none that we know how to judge."""
        op = self.operations[position]
        if op.f == "holder":
            if op.result is not None and not self._names_start(op.result):
                if not _names_token(op.result):
                    return False
                self._owns(position, *op.result)
            self.observers.append(position)
            return True
        if op.f == "acquire":
            if type(op.value) is not str:
                return False
            if op.type == "info":
                self.pending.setdefault(op.value, []).append(position)
            elif op.result is None:
                self.observers.append(position)
            elif type(op.result) is not int:
                return False
            else:
                self._once(self.acquires, op.result, position, "both got this token")
                self._owns(position, op.value, op.result)
            return True
        if not _names_token(op.value):
            return False
        owner, token = op.value
        if op.type == "info":
            self.maybe.setdefault(token, []).append(position)
        elif type(op.result) is not bool:
            return False
        elif op.result:
            self._once(self.releases, token, position, "both ended this hold")
            self._owns(position, owner, token)
        else:
            self.observers.append(position)
        return True

    def _names_start(self, result: Any) -> bool:
        """Whoever holds the lock initially is seen without a token."""
        return bool(identity(result) == identity(self.start))

    def _once(self, known: dict[int, int], token: int, position: int, text: str) -> None:
        if token in known:
            self.wrong = self.wrong or ([known[token], position], text)
        known[token] = position

    def _owns(self, position: int, owner: Any, token: int) -> None:
        lowest = 0 if self.start is not None and self.operations[position].f == "release" else 1
        if token < lowest:
            self.wrong = self.wrong or ([position], "but there was no such token")
        elif self.owners.setdefault(token, owner) != owner:
            other = self.owners[token]
            self.wrong = self.wrong or ([position], f"but that token was of {other!r}")

    def decide(self) -> Decision | None:
        if self.wrong:
            positions, text = self.wrong
            lines = [describe(self.operations[p]) for p in positions]
            return self._decision([*lines, "  " + text])
        last = max(self.owners)
        got = len(self.acquires) + sum(map(len, self.pending.values()))
        if last > got:
            return self._decision(
                [f"token {last} was given, but there were {got} acquires at most"]
            )
        lacking: dict[Any, int] = {}  # how many tokens went to an owner's pending acquires
        for token in range(1, last + 1):
            if token not in self.owners:
                owners = {self.operations[p].value[0]: None for p in self.maybe.get(token, ())}
                if len(owners) > 1:
                    return None
                if not owners:
                    text = (
                        f"token {last} was given, but nobody can have had and ended token {token}"
                    )
                    return self._decision([text])
                self.owners[token] = next(iter(owners))
            if token not in self.acquires:
                owner = self.owners[token]
                lacking[owner] = lacking.get(owner, 0) + 1
        later = self._later(lacking)
        for position in self.observers:
            op = self.operations[position]
            if op.f == "release" and op.value[1] > last and later is not None:
                return None
        if later is not None and any(token > last for token in self.maybe):
            return None
        return self._sweep(last, later)

    def _later(self, lacking: dict[Any, int]) -> str | None:
        """Who may have got one more token: the owner of the first pending acquire not needed."""
        calls = self.timeline.calls
        left = []
        for owner, pending in self.pending.items():
            pending.sort(key=calls.__getitem__)
            left += [(calls[p], owner) for p in pending[lacking.get(owner, 0) :]]
        return min(left)[1] if left else None

    def _sweep(self, last: int, later: str | None) -> Decision:
        operations, owners = self.operations, self.owners
        first = 0 if self.start is not None else 1  # the token that is held in phase `held`
        held = 0 if self.start is not None else 1
        pools: dict[int, Hashable] = {p: ("acquire", t) for t, p in self.acquires.items()}
        pools |= {p: ("release", t) for t, p in self.releases.items()}
        for owner, pending in self.pending.items():
            pools |= dict.fromkeys(pending, ("pending", owner))
        for token, maybe in self.maybe.items():
            if token not in self.releases:
                mine = [p for p in maybe if operations[p].value[0] == owners.get(token)]
                pools |= dict.fromkeys(mine, ("release", token))

        def token_in(phase: int) -> int | None:
            return None if (phase - held) % 2 else (phase - held) // 2 + first

        def pool_of(phase: int) -> Hashable:
            token = token_in(phase)
            if token is not None:
                return "release", token
            token = (phase + 1 - held) // 2 + first
            if token in self.acquires:
                return "acquire", token
            return "pending", owners[token] if token <= last else later

        def ahead(position: int, phase: int) -> int | None:
            op = operations[position]
            if position in pools:
                token = op.result if op.f == "acquire" else op.value[1]
                wanted = 2 * (token - first) + held - (op.f == "acquire")
            elif op.f == "holder" and op.result is not None:
                token = 0 if self._names_start(op.result) else op.result[1]
                wanted = 2 * (token - first) + held
            else:
                now = token_in(phase)
                suits = (now is None) is (op.f == "holder")
                if op.f == "release":
                    suits = now is None or (owners.get(now), now) != tuple(op.value)
                return phase if suits else phase + 1
            return wanted if wanted >= phase else None

        done = sweep([*pools, *self.observers], self.timeline, pools, pool_of, ahead)
        if not isinstance(done, Stuck):
            return Decision(order=lambda: done.order)
        held_by = token_in(done.phase)
        state = "free" if held_by is None else f"held with token {held_by}"
        lines = [describe(operations[done.operation])]
        lines.append(f"  but the lock was {state}, and nothing that was called so far changes that")
        if done.cause != done.operation:
            lines += ["  after", "  " + describe(operations[done.cause])]
        return Decision(lines, self._core(self.timeline.returns[done.operation]))

    def _core(self, rank: int) -> list[int]:
        """All that was called by then, and what tells in which order these were."""
        calls = self.timeline.calls
        tokens = {p: token for token, p in (*self.acquires.items(), *self.releases.items())}
        for position in self.observers:
            result = self.operations[position].result
            if _names_token(result):
                tokens[position] = result[1]
        core = {p for p in self.positions if calls[p] <= rank}
        last = max((tokens[p] for p in core if p in tokens), default=0)
        if any(self.operations[p].type == "info" for p in core):
            last = max(self.owners)  # it is these that kept it from being one in between
        return sorted(core.union(p for p, token in tokens.items() if token <= last))

    def _decision(self, lines: list[str]) -> Decision:
        """Any operation could be another hold, if its outcome were not known: all are at fault."""
        return Decision(lines, sorted(self.positions))


def _names_token(pair: Any) -> bool:
    return (
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and type(pair[0]) is str
        and type(pair[1]) is int
    )
