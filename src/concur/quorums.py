"""Quorums: which sets of votes are enough, and why.

Consensus rests on one fact: any two quorums that matter share a member, who remembers. A
`QuorumSystem` counts votes of known members against three sizes and refuses, when it is made, sizes
whose quorums could miss each other:

* phase 1 (win an election, read what was chosen) and phase 2 (choose a value) must intersect:
  `phase1_size + phase2_size > N`. A majority of each is the usual case; H. Howard, D. Malkhi and
  A. Spiegelman, "Flexible Paxos: Quorum intersection revisited" (OPODIS 2016) showed that phase 2
  quorums need not intersect each other.
* a fast quorum chooses without a leader, so a phase 1 quorum must intersect any *two* of them in a
  common member: `phase1_size + 2 * fast_size > 2 * N` (L. Lamport, "Fast Paxos", 2006, section
  3.1; H. Howard, A. Charapko and R. Mortier, "Fast Flexible Paxos", 2021).

Votes from outside the members never count.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache

import msgspec

from concur.errors import BadInput


class QuorumSystem(msgspec.Struct, frozen=True):
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

    def count(self, votes: Collection[str]) -> int:
        """How many members voted; outsiders and repetitions do not count."""
        assert not isinstance(votes, str), "votes are a collection of ids, not one id"
        return sum(map(votes.__contains__, self.members))

    def describe(self) -> str:
        """Sizes and fault tolerance, in one sentence or two."""
        n = len(self.members)
        if n == 1:
            return f"1 member, {self.members[0]}, decides alone; it may not crash"
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
        width = max(len(member) for member in self.members)
        marks = ("#" if member in given else "." for member in self.members)
        voters = self.count(given)
        lines = [
            "member   " + " ".join(member.ljust(width) for member in self.members).rstrip(),
            "voted    " + " ".join(mark.ljust(width) for mark in marks).rstrip(),
        ]
        phases = {"phase 1": self.phase1_size, "phase 2": self.phase2_size, "fast": self.fast_size}
        for phase, size in phases.items():
            if size:
                lines.append(f"{phase:9}{self._bar(voters, size)}  {_verdict(voters, size)}")
        if voters < max(phases.values()):
            silent = " ".join(member for member in self.members if member not in given)
            lines.append(f"silent   {silent}")
        outsiders = _sorted(given.difference(self.members))
        if outsiders:
            lines.append(f"ignored  {' '.join(outsiders)} (not a member)")
        return "\n".join(lines)

    def _bar(self, voters: int, size: int) -> str:
        cells = "#" * voters + "-" * (size - voters)
        return (cells[:size] + "|" + cells[size:]).ljust(len(self.members) + 1)


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


@lru_cache(maxsize=1024, typed=True)
def _system(members: tuple[str, ...], phase1: int, phase2: int, fast: int) -> QuorumSystem:
    return QuorumSystem(members, phase1, phase2, fast)


def _check(members: tuple[str, ...], phase1: int, phase2: int, fast: int) -> None:
    n = len(members)
    if n == 0:
        raise BadInput("no quorum: 0 members, expected at least 1")
    for member in members:
        if not isinstance(member, str) or not member:
            raise BadInput(f"bad quorum member {member!r}: expected an id such as 'r1'")
    repeated = sorted({member for member in members if members.count(member) > 1})
    if repeated:
        raise BadInput(f"bad quorum members: {repeated[0]!r} is listed twice, expected once")
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


def _sorted(members: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(members, key=lambda member: (len(member), member)))


def _of(size: int, n: int) -> str:
    return f"{size} of {n} votes" if size < n else f"all {n} votes"


def _may_crash(f: int, n: int) -> str:
    return f"any {f} of {n} may crash" if f else "none may crash"


def _verdict(voters: int, size: int) -> str:
    return f"{voters} of {size}" + (": reached" if voters >= size else f": {size - voters} short")
