"""Quorums: which sets of votes are enough, and why.

Consensus rests on one fact: any two quorums that matter share a member, who remembers. Phase 1 (win
an election, read what was chosen) and phase 2 (choose a value) must intersect; H. Howard,
D. Malkhi and A. Spiegelman, "Flexible Paxos: Quorum intersection revisited" (OPODIS 2016), FP,
showed that phase 2 quorums need not intersect each other. A fast quorum chooses without a leader,
so a phase 1 quorum must intersect any *two* of them in a common member.

| made by | a quorum is | why any phase 1 quorum meets any phase 2 quorum |
| --- | --- | --- |
| `majority` | more than half of the members | two halves and more do not fit into the whole |
| `flexible` | so many for phase 1, so many for phase 2 | `phase1 + phase2 > N` (FP) |
| `fast` | the same, and a larger one without a leader | `phase1 + 2 * fast > 2 * N` |
| `grid` | a row for phase 1, a column for phase 2 | they cross in one member (FP's grid quorums) |
| `weighted` | votes of enough weight | `phase1 + phase2 >` the weight of all |
| `joint` | one of the old members and one of the new | both contain one of either system |

All have the interface of `Quorums` and refuse, when they are made, what could miss each other.
Votes from outside the members never count.

Further sources: L. Lamport, "Fast Paxos" (2006), section 3.1; H. Howard, A. Charapko and
R. Mortier, "Fast Flexible Paxos" (2021); D. Gifford, "Weighted Voting for Replicated Data" (SOSP
1979); H. Heydari, G. Silvestre and A. Bessani, "How Hard is Asynchronous Weight Reassignment?"
(ICDCS 2023), on weighted majority quorum systems; D. Ongaro and J. Ousterhout, "In Search of an
Understandable Consensus Algorithm" (ATC 2014), section 6, on joint consensus.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import msgspec

from concur.errors import BadInput


class Quorums(msgspec.Struct, frozen=True):
    """What every quorum system can say. For annotations; the functions of this module make them.

    Votes are a collection of ids (a tuple, a `Set`, a `Map` by voter ...), never an iterator. More
    votes never make less of a quorum.
    """

    @property
    def members(self) -> tuple[str, ...]:
        """Whose votes count."""
        raise NotImplementedError

    def is_phase1(self, votes: Collection[str]) -> bool:
        """The votes contain a phase 1 quorum: they elect, or tell what was chosen."""
        raise NotImplementedError

    def is_phase2(self, votes: Collection[str]) -> bool:
        """The votes contain a phase 2 quorum: what they voted for is chosen."""
        raise NotImplementedError

    def is_fast(self, votes: Collection[str]) -> bool:
        """The votes contain a fast quorum; never true without a fast path."""
        return False

    def crash_tolerance(self) -> int:
        """The largest t for which both phases have a quorum whichever t members are down. Exact."""
        raise NotImplementedError

    def describe(self) -> str:
        """Sizes and fault tolerance, in a sentence or a few."""
        raise NotImplementedError

    def explain(self, votes: Iterable[str]) -> str:
        """Draw in ASCII who voted, what each phase still lacks, and which votes do not count."""
        raise NotImplementedError

    def count(self, votes: Collection[str]) -> int:
        """How many members voted; outsiders and repetitions do not count."""
        assert not isinstance(votes, str), "votes are a collection of ids, not one id"
        return sum(map(votes.__contains__, self.members))


class QuorumSystem(Quorums, frozen=True):
    """Members, and how many of them each phase needs. Use `majority`, `flexible` or `fast`.

    Members are kept sorted (r2 before r10). `fast_size` is 0 where there is no fast path. Raises
    BadInput for no members, a repeated one, a size out of 1..N, or quorums that may not intersect.
    """

    members: tuple[str, ...]
    phase1_size: int
    phase2_size: int
    fast_size: int = 0

    def __post_init__(self) -> None:
        _check(self.members, self.phase1_size, self.phase2_size, self.fast_size)
        msgspec.structs.force_setattr(self, "members", _sorted(self.members))

    # Called for each vote that arrives: `len` settles most calls without a look at the members.
    # A protocol that counts on its own may compare with the sizes, if it counts members only.

    def is_phase1(self, votes: Collection[str]) -> bool:
        """The votes (a collection of ids, never an iterator) contain a phase 1 quorum."""
        return len(votes) >= self.phase1_size and self.count(votes) >= self.phase1_size

    def is_phase2(self, votes: Collection[str]) -> bool:
        """The votes contain a phase 2 quorum: what they voted for is chosen."""
        return len(votes) >= self.phase2_size and self.count(votes) >= self.phase2_size

    def is_fast(self, votes: Collection[str]) -> bool:
        """The votes contain a fast quorum; never true without a fast path."""
        return 0 < self.fast_size <= len(votes) and self.count(votes) >= self.fast_size

    def crash_tolerance(self) -> int:
        """As `Quorums.crash_tolerance`; the fast path may need more members than these phases."""
        return len(self.members) - max(self.phase1_size, self.phase2_size)

    def describe(self) -> str:
        """Sizes and fault tolerance, in one sentence or two."""
        n = len(self.members)
        if n == 1:
            return _alone(self.members)
        if self.phase1_size == self.phase2_size:
            text = (
                f"{n} members: a command and a new leader each need {_of(self.phase2_size, n)}; "
                f"{_may_crash(n - self.phase2_size, n)}"
            )
        else:
            text = (
                f"{n} members: a command needs {_of(self.phase2_size, n)}; "
                f"{_may_crash(n - self.phase2_size, n)} under a leader that stays. "
                f"A new leader needs {_of(self.phase1_size, n)}; "
                f"{_may_crash(n - self.phase1_size, n)} when it has to be replaced"
            )
        if self.fast_size:
            text += f". The fast path needs {_of(self.fast_size, n)}; "
            text += _may_crash(n - self.fast_size, n)
        return text

    def explain(self, votes: Iterable[str]) -> str:
        """Draw in ASCII who voted, what each phase still lacks, and which votes do not count.

        One column for each member: `#` voted, `.` did not. One bar for each phase: `#` a vote,
        `-` a vote that is missing, `|` where the phase is satisfied.
        """
        given = frozenset(votes)
        voters = self.count(given)
        lines = _ballots(self.members, given)
        phases = {"phase 1": self.phase1_size, "phase 2": self.phase2_size, "fast": self.fast_size}
        for phase, size in phases.items():
            if size:
                bar = _bar(voters, size, len(self.members))
                lines.append(f"{phase:9}{bar}  {_verdict(voters, size)}")
        short = voters < max(phases.values())
        return "\n".join(lines + _absent(self.members, given, short))


class Grid(Quorums, frozen=True):
    """Members in rows of equal length, as given. Use `grid`.

    A row and a column cross in exactly one member, so a phase 1 quorum (all of some row) and a
    phase 2 quorum (all of some column) share that member. Two rows share nobody, and need not.
    Raises BadInput for no members, a repeated one, or rows of unequal lengths.
    """

    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        _check_members(self.members)
        if len({len(row) for row in self.rows}) > 1:
            raise BadInput("impossible grid: rows of unequal lengths, expected equal ones")

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(member for row in self.rows for member in row)

    def is_phase1(self, votes: Collection[str]) -> bool:
        """All of some row voted."""
        return len(votes) >= len(self.rows[0]) and _contain_one(votes, self.rows)

    def is_phase2(self, votes: Collection[str]) -> bool:
        """All of some column voted."""
        return len(votes) >= len(self.rows) and _contain_one(votes, zip(*self.rows, strict=True))

    def crash_tolerance(self) -> int:
        """The fewest members that break every row are one of each; columns likewise."""
        return min(len(self.rows), len(self.rows[0])) - 1

    def describe(self) -> str:
        n, rows, columns = len(self.members), len(self.rows), len(self.rows[0])
        if n == 1:
            return _alone(self.members)
        return (
            f"{n} members in {_many(rows, 'row')} of {columns}: a command needs all of a column, "
            f"{_of(rows, n)}; {_may_crash(columns - 1, n)} under a leader that stays. A new leader "
            f"needs all of a row, {_of(columns, n)}; {_may_crash(rows - 1, n)} when it has to be "
            "replaced"
        )

    def explain(self, votes: Iterable[str]) -> str:
        """As `Quorums.explain`: the grid, with brackets around those who voted."""
        given = frozenset(votes)
        width = max(len(member) for member in self.members)
        lines = []
        for number, row in enumerate(self.rows, 1):
            cells = (f"[{m}]".ljust(width + 2) if m in given else f" {m} ".ljust(width + 2)
                     for m in row)  # fmt: skip
            lines.append(f"{f'row {number}':9}{' '.join(cells)}".rstrip())
        for phase, kind, enough in (
            ("phase 1", "row", self.is_phase1(given)),
            ("phase 2", "column", self.is_phase2(given)),
        ):
            lines.append(f"{phase:9}{f'a whole {kind}: reached' if enough else f'no whole {kind}'}")
        short = not (self.is_phase1(given) and self.is_phase2(given))
        return "\n".join(lines + _absent(self.members, given, short))


class Weighted(Quorums, frozen=True):
    """Members, each with a weight, and the weight that each phase needs. Use `weighted`.

    Two disjoint sets weigh no more together than all members do, so with thresholds whose sum is
    above that a phase 1 and a phase 2 quorum cannot be disjoint (Gifford's r + w > N, where a
    member of weight w has w votes). Weight 0 is a member whose vote never counts. Members are kept
    sorted. Raises BadInput for thresholds that could miss each other or can never be reached.
    """

    weights: tuple[tuple[str, int], ...]
    phase1_weight: int
    phase2_weight: int

    def __post_init__(self) -> None:
        _check_members(self.members)
        for member, weight in self.weights:
            if type(weight) is not int or not 0 <= weight <= WEIGHT_MAX:
                raise BadInput(
                    f"impossible weight of {member}: {weight!r}, expected 0 to {WEIGHT_MAX}"
                )
        total, first, second = self.total, self.phase1_weight, self.phase2_weight
        for name, needed in (("phase 1", first), ("phase 2", second)):
            if type(needed) is not int or not 1 <= needed <= total:
                raise BadInput(
                    f"impossible {name} weight of {needed!r}: expected 1 to {total}, the weight of "
                    "all members"
                )
        if first + second <= total:
            raise BadInput(
                f"impossible quorums: a phase 1 weight of {first} and a phase 2 weight of {second} "
                f"of {total} may share nobody, so a new leader can miss a chosen command; expected "
                f"weights whose sum is above {total}"
            )
        weight_of = dict(self.weights)
        ordered = tuple((member, weight_of[member]) for member in _sorted(self.members))
        msgspec.structs.force_setattr(self, "weights", ordered)

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(member for member, _ in self.weights)

    @property
    def total(self) -> int:
        """The weight of all members."""
        return sum(weight for _, weight in self.weights)

    def weigh(self, votes: Collection[str]) -> int:
        """The weight of the members that voted."""
        assert not isinstance(votes, str), "votes are a collection of ids, not one id"
        return sum(weight for member, weight in self.weights if member in votes)

    def is_phase1(self, votes: Collection[str]) -> bool:
        """The votes weigh enough to elect."""
        return self.weigh(votes) >= self.phase1_weight

    def is_phase2(self, votes: Collection[str]) -> bool:
        """The votes weigh enough to choose."""
        return self.weigh(votes) >= self.phase2_weight

    def crash_tolerance(self) -> int:
        """Whichever t are down, no t take away more weight than the t heaviest."""
        return min(self._survives(self.phase1_weight), self._survives(self.phase2_weight))

    def _survives(self, needed: int) -> int:
        left, down = self.total, 0
        for weight in sorted((weight for _, weight in self.weights), reverse=True):
            left -= weight
            if left < needed:
                break
            down += 1
        return down

    def describe(self) -> str:
        n, first, second = len(self.members), self.phase1_weight, self.phase2_weight
        if n == 1:
            return _alone(self.members)
        listed = ", ".join(f"{member} {weight}" for member, weight in self.weights)
        text = f"{n} members of weight {self.total} in all ({listed}): "
        if first == second:
            return (
                f"{text}a command and a new leader each need votes of weight {second}; "
                f"{self._may_crash(second)}"
            )
        return (
            f"{text}a command needs votes of weight {second}; {self._may_crash(second)} under a "
            f"leader that stays. A new leader needs votes of weight {first}; "
            f"{self._may_crash(first)} when it has to be replaced"
        )

    def _may_crash(self, needed: int) -> str:
        down = self._survives(needed)
        if down:
            return _may_crash(down, len(self.members))
        heaviest = max(self.weights, key=lambda pair: pair[1])[0]
        return f"{heaviest}, the heaviest, may not crash"

    def explain(self, votes: Iterable[str]) -> str:
        """As `Quorums.explain`, with weights; bars count weight, up to BAR_MAX of it."""
        given = frozenset(votes)
        reached, total = self.weigh(given), self.total
        weights = tuple(str(weight) for _, weight in self.weights)
        width = max(map(len, (*self.members, *weights)))
        lines = _ballots(self.members, given, width)
        lines.insert(1, "weight   " + " ".join(weight.ljust(width) for weight in weights).rstrip())
        for phase, needed in (("phase 1", self.phase1_weight), ("phase 2", self.phase2_weight)):
            bar = _bar(reached, needed, total) + "  " if total <= BAR_MAX else ""
            lines.append(f"{phase:9}{bar}{_verdict(reached, needed)}")
        short = reached < max(self.phase1_weight, self.phase2_weight)
        return "\n".join(lines + _absent(self.members, given, short))


class Joint(Quorums, frozen=True):
    """Two quorum systems at once, while members change from one to the other. Use `joint`.

    A quorum is a quorum of the old *and* of the new system. So each phase 1 quorum of the joint
    system contains one of the old and one of the new: it meets every phase 2 quorum of the old
    system, of the new one, and of the joint one. That is why a change may go from old to joint and
    from joint to new, one step at a time, but never from old to new in one step: a quorum of the
    old and one of the new may share nobody (Raft, section 6).
    """

    old: Quorums
    new: Quorums

    def __post_init__(self) -> None:
        for name, system in (("old", self.old), ("new", self.new)):
            if not isinstance(system, Quorums):
                raise BadInput(
                    f"impossible joint quorums: {name} is {system!r}, expected a quorum system "
                    "such as majority(members)"
                )

    @property
    def members(self) -> tuple[str, ...]:
        return _sorted(dict.fromkeys((*self.old.members, *self.new.members)))

    def is_phase1(self, votes: Collection[str]) -> bool:
        """A phase 1 quorum of both."""
        return self.old.is_phase1(votes) and self.new.is_phase1(votes)

    def is_phase2(self, votes: Collection[str]) -> bool:
        """A phase 2 quorum of both."""
        return self.old.is_phase2(votes) and self.new.is_phase2(votes)

    def is_fast(self, votes: Collection[str]) -> bool:
        """A fast quorum of both; never true unless both have a fast path."""
        return self.old.is_fast(votes) and self.new.is_fast(votes)

    def crash_tolerance(self) -> int:
        """The smaller of the two: t members that are down are at most t of each, and may all be
        members of the one that tolerates less."""
        return min(self.old.crash_tolerance(), self.new.crash_tolerance())

    def describe(self) -> str:
        n = len(self.members)
        return (
            f"{n} members, while they change: what needs a quorum needs one of the old members and "
            f"one of the new; {_may_crash(self.crash_tolerance(), n)}. "
            f"Old: {self.old.describe()}. New: {self.new.describe()}"
        )

    def explain(self, votes: Iterable[str]) -> str:
        """As `Quorums.explain`, for one system after the other."""
        given = tuple(votes)
        known = frozenset(self.members)
        parts = []
        for name, system in (("old", self.old), ("new", self.new)):
            # Who is a member of only one of them is no stranger to the other.
            mine = [vote for vote in given if vote not in known or vote in system.members]
            parts.append(f"{name}\n{system.explain(mine)}")
        return "\n".join(parts)


def majority(members: Collection[str]) -> QuorumSystem:
    """More than half of the members, for both phases. Memoised. Raises BadInput for no members."""
    half = len(members) // 2 + 1
    return _system(tuple(members), half, half, 0)


def flexible(members: Collection[str], phase1: int, phase2: int) -> QuorumSystem:
    """Flexible Paxos: a small phase 2 quorum makes commands cheap and elections demanding.

    Memoised. Raises BadInput unless phase1 + phase2 > N and both are in 1..N.
    """
    return _system(tuple(members), phase1, phase2, 0)


def fast(
    members: Collection[str], classic: int | None = None, fast: int | None = None
) -> QuorumSystem:
    """Fast Paxos: `classic` votes for both phases under a leader, `fast` votes without one.

    Default: a majority and ceil(3N/4). Not floor: 3 of 5 lets two fast quorums and a majority share
    nobody. Memoised. Raises BadInput unless 2 * classic > N and classic + 2 * fast > 2N.
    """
    n = len(members)
    size = n // 2 + 1 if classic is None else classic
    return _system(tuple(members), size, size, -(-3 * n // 4) if fast is None else fast)


def grid(members: Collection[str], rows: int, columns: int | None = None) -> Grid:
    """Members, in the order given, fill `rows` rows: a row elects, a column chooses.

    With many rows and few columns, elections are cheap and commands dear; the other way round, few
    rows make commands cheap. Twenty members in 4 rows of 5 choose with 4 votes. Memoised. Raises
    BadInput unless rows * columns is the number of members.
    """
    return _grid(tuple(members), rows, columns)


def weighted(
    weights: Mapping[str, int] | Iterable[tuple[str, int]],
    phase1: int | None = None,
    phase2: int | None = None,
) -> Weighted:
    """Members with whole-number weights; a phase needs votes of so much weight.

    Default: more than half of the weight of all, for both phases; with one threshold given, the
    other is the least that goes with it. Memoised. Raises BadInput unless phase1 + phase2 is above
    the weight of all and both can be reached.
    """
    pairs = tuple(map(tuple, weights.items() if isinstance(weights, Mapping) else weights))
    for pair in pairs:
        if len(pair) != 2:
            raise BadInput(f"bad quorum member {pair!r}: expected an id and its weight")
    return _weighted(pairs, phase1, phase2)


def joint(old: Quorums, new: Quorums) -> Joint:
    """Quorums of both systems, for the time of a change from `old` to `new`. Memoised."""
    return _joint(old, new)


WEIGHT_MAX = 1 << 31
"""Weights above it are refused: they are ratios, not amounts."""

BAR_MAX = 80
"""Weight up to which `Weighted.explain` draws a bar."""


@lru_cache(maxsize=1024, typed=True)
def _grid(members: tuple[str, ...], rows: int, columns: int | None) -> Grid:
    n = len(members)
    _check_members(members)
    if type(rows) is not int or rows < 1:
        raise BadInput(f"impossible grid of {rows!r} rows: expected a whole number of at least 1")
    wide = n // rows if columns is None else columns
    if type(wide) is not int or wide < 1 or rows * wide != n:
        shape = _many(rows, "row") + (f" of {columns}" if columns is not None else "")
        shapes = ", ".join(f"{r} x {n // r}" for r in range(1, n + 1) if n % r == 0)
        raise BadInput(f"impossible grid of {n} members in {shape}: expected one of {shapes}")
    return Grid(tuple(members[wide * row : wide * (row + 1)] for row in range(rows)))


@lru_cache(maxsize=1024, typed=True)
def _weighted(
    weights: tuple[tuple[str, int], ...], phase1: int | None, phase2: int | None
) -> Weighted:
    # Wrong weights are for the constructor to refuse: what is summed here need only be numbers.
    total = sum(weight for _, weight in weights if type(weight) is int)
    half = total // 2 + 1
    first = max(1, total + 1 - phase2) if type(phase2) is int else half
    second = max(1, total + 1 - phase1) if type(phase1) is int else half
    return Weighted(
        weights,
        first if phase1 is None else phase1,
        second if phase2 is None else phase2,
    )


@lru_cache(maxsize=1024)
def _joint(old: Quorums, new: Quorums) -> Joint:
    return Joint(old, new)


@lru_cache(maxsize=1024, typed=True)
def _system(members: tuple[str, ...], phase1: int, phase2: int, fast: int) -> QuorumSystem:
    return QuorumSystem(members, phase1, phase2, fast)


def _check(members: tuple[str, ...], phase1: int, phase2: int, fast: int) -> None:
    n = len(members)
    _check_members(members)
    for name, size, least in (("phase 1", phase1, 1), ("phase 2", phase2, 1), ("fast", fast, 0)):
        if type(size) is not int or not least <= size <= n:
            raise BadInput(f"impossible {name} quorum of {size!r}: expected 1 to {n}, of {n}")
    if phase1 + phase2 <= n:
        raise BadInput(
            f"impossible quorums: phase 1 of {phase1} and phase 2 of {phase2} among {n} members "
            f"may share nobody, so a new leader can miss a chosen command; "
            f"expected sizes whose sum is above {n}"
        )
    if fast and phase1 + 2 * fast <= 2 * n:
        raise BadInput(
            f"impossible quorums: phase 1 of {phase1} and two fast quorums of {fast} among {n} "
            f"members may share nobody, so a new leader cannot tell which value was chosen; "
            f"expected a fast quorum of at least {(2 * n - phase1) // 2 + 1}"
        )


def _check_members(members: tuple[str, ...]) -> None:
    if len(members) == 0:
        raise BadInput("no quorum: 0 members, expected at least 1")
    for member in members:
        if not isinstance(member, str) or not member:
            raise BadInput(f"bad quorum member {member!r}: expected an id such as 'r1'")
    repeated = sorted({member for member in members if members.count(member) > 1})
    if repeated:
        raise BadInput(f"bad quorum members: {repeated[0]!r} is listed twice, expected once")


def _contain_one(votes: Collection[str], groups: Iterable[tuple[str, ...]]) -> bool:
    assert not isinstance(votes, str), "votes are a collection of ids, not one id"
    return any(all(map(votes.__contains__, group)) for group in groups)


def _sorted(members: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(members, key=lambda member: (len(member), member)))


def _alone(members: tuple[str, ...]) -> str:
    return f"1 member, {members[0]}, decides alone; it may not crash"


def _many(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _of(size: int, n: int) -> str:
    return f"{size} of {n} votes" if size < n else f"all {n} votes"


def _may_crash(f: int, n: int) -> str:
    return f"any {f} of {n} may crash" if f else "none may crash"


def _verdict(voters: int, size: int) -> str:
    return f"{voters} of {size}" + (": reached" if voters >= size else f": {size - voters} short")


def _ballots(members: tuple[str, ...], given: frozenset[str], width: int = 0) -> list[str]:
    width = width or max(len(member) for member in members)
    marks = ("#" if member in given else "." for member in members)
    return [
        "member   " + " ".join(member.ljust(width) for member in members).rstrip(),
        "voted    " + " ".join(mark.ljust(width) for mark in marks).rstrip(),
    ]


def _bar(reached: int, needed: int, whole: int) -> str:
    cells = "#" * reached + "-" * (needed - reached)
    return (cells[:needed] + "|" + cells[needed:]).ljust(whole + 1)


def _absent(members: tuple[str, ...], given: frozenset[str], short: bool) -> list[str]:
    """Who could still vote, if votes are missing, and who voted without being a member."""
    lines = []
    if short:
        lines.append("silent   " + " ".join(member for member in members if member not in given))
    outsiders = _sorted(given.difference(members))
    if outsiders:
        lines.append(f"ignored  {' '.join(outsiders)} (not a member)")
    return lines
