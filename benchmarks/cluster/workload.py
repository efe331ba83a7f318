"""What is asked of every system: puts of one size over a fixed set of keys, or reads of them.

Each connection has keys of its own (connection i of n has keys i, i + n, ...), so that every answer
can be held against what that connection wrote: a read must return the last acknowledged value,
exactly. Values differ in every put.
"""

import random

from concur.errors import ConcurError
from concur.serve.load.drive import Asker
from concur.serve.load.figures import Answers
from concur.serve.load.wire import Answer, Refusal, Wire

KEYS = 10_000
VALUE_BYTES = 128


class Wrong(ConcurError):
    """A server answered what cannot be."""


class Table:
    """What the servers must hold: the values that a read of each key may return."""

    def __init__(self, keys: int = KEYS, value_bytes: int = VALUE_BYTES) -> None:
        self.keys = [b"k%06d" % i for i in range(keys)]
        self.value_bytes = value_bytes
        self.values: list[bytes] = [b""] * keys
        self.doubtful: dict[int, set[bytes]] = {}
        """Keys of which nobody knows whether a put took effect, and what it would have put."""
        self.puts = 0
        self.refusals = 0

    def value(self, number: int) -> bytes:
        self.puts += 1
        return (b"%012d-%06d-" % (self.puts, number)).ljust(self.value_bytes, b"v")

    def check(self, number: int, got: Answer) -> None:
        """Raise Wrong unless the answer to a read is what it must be."""
        if got == self.values[number] or got in self.doubtful.get(number, ()):
            return
        raise Wrong(
            f"a read of {self.keys[number]!r} returned {got!r}, expected {self.values[number]!r}"
        )


class Asks(Asker):
    """Asks about the keys of one connection."""

    def __init__(self, table: Table, answers: Answers, index: int, count: int) -> None:
        self.table = table
        self.mine = list(range(index, len(table.keys), count))
        self.at = -1
        self.add = answers.add
        self._random = random.Random(f"{index} {table.puts}").random

    def draw(self) -> int:
        mine = self.mine
        self.at = mine[int(self._random() * len(mine))]
        return self.at

    def lost(self, why: str, now_ns: int) -> None:
        self.table.refusals += 1


class Puts(Asks):
    """Random keys, without end."""

    putting = b""

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        at = self.draw()
        self.putting = self.table.value(at)
        return wire.put(self.table.keys[at], self.putting)

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        if answer is True:
            self.add(asked_ns, now_ns)
            self.table.values[self.at] = self.putting
        elif isinstance(answer, Refusal):
            self.lost(answer.text, now_ns)
        else:
            raise Wrong(f"a put was answered {answer!r}")

    def lost(self, why: str, now_ns: int) -> None:
        super().lost(why, now_ns)
        self.table.doubtful.setdefault(self.at, set()).add(self.putting)


class PutsOfAll(Puts):
    """Every key once: what there must be before reads, and what makes a znode."""

    def draw(self) -> int:
        self.at = self.mine.pop()
        return self.at

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        return super().ask(wire, now_ns) if self.mine else None


class Gets(Asks):
    """Linearizable reads of random keys, without end."""

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        return wire.get(self.table.keys[self.draw()])

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        if isinstance(answer, Refusal):
            self.lost(answer.text, now_ns)
            return
        self.table.check(self.at, answer)
        self.add(asked_ns, now_ns)


class GetsOfAll(Gets):
    """Every key once: the read-back."""

    def draw(self) -> int:
        self.at = self.mine.pop()
        return self.at

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        return super().ask(wire, now_ns) if self.mine else None


ASKS: dict[str, type[Asks]] = {"puts": Puts, "reads": Gets}
"""Workloads, by name."""
