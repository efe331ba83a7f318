"""Random numbers that stay what they are: counter-based streams, one for each seed and purpose.

A run is replayed and shrunk by changing one thing and keeping everything else. With one shared
generator that is impossible: a fault that is removed shifts every later draw. So each stream is a
pure function of (seed, purpose) and draws of one never depend on draws of another:

    delays = Stream(seed, "delay", "r1", "r2")
    losses = Stream(seed, "loss", "r1", "r2")

Draw `i` of a stream is word `i % 16` of BLAKE2b(key = digest of seed and purpose, message =
i // 16 as 8 little-endian bytes). BLAKE2b is specified bit by bit (RFC 7693), so draws are the same
on every platform, Python version and PYTHONHASHSEED. Not for secrets: a seed is short and printed.
"""

import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import chain, count
from typing import Self, TypeVar, cast

T = TypeVar("T")

WORD = 1 << 32
"""One more than the largest draw: `next(stream)` is uniform in [0, WORD)."""

_words = struct.Struct("<16I").unpack


class Stream(chain[int]):
    """An endless iterator of uniform 32-bit integers, and what one usually makes of them.

    `seed` is any int; `purpose` is any number of strings and ints, and streams whose seed or
    purpose differ (also in type: `1` is not `"1"`) are independent. Raises TypeError for other
    purposes. A subclass of `itertools.chain` so that `next(stream)` never enters Python code
    except for one block in sixteen draws. Cannot be copied or pickled: rebuild it from its key.
    """

    __slots__ = ()

    def __new__(cls, seed: int, *purpose: str | int) -> Self:
        return cast(Self, cls.from_iterable(_blocks(_key(seed, *purpose))))

    def below(self, n: int) -> int:
        """A uniform int in [0, n), without bias. Raises ValueError unless n > 0."""
        if not 0 < n <= WORD:
            return self._below_large(n)
        # Lemire, "Fast random integer generation in an interval" (2019): the high word of the
        # product is uniform once the few low words that would be over-represented are redrawn.
        product = next(self) * n
        if product & 0xFFFFFFFF < n:
            surplus = WORD % n
            while product & 0xFFFFFFFF < surplus:
                product = next(self) * n
        return product >> 32

    def uniform(self, lo: float, hi: float) -> float:
        """A float in [lo, hi) (rounding may give hi), with 53 random bits; takes two draws."""
        fraction = ((next(self) >> 5) * 67108864 + (next(self) >> 6)) / 9007199254740992
        return lo + (hi - lo) * fraction

    def between(self, lo: int, hi: int) -> int:
        """A uniform int in [lo, hi], both included. Raises ValueError if lo > hi."""
        return lo + self.below(hi - lo + 1)

    def chance(self, p: float) -> bool:
        """True with probability p. Takes one draw whatever p is, so that changing a rate, even
        to 0 or 1, leaves the later draws of the stream as they were."""
        return next(self) < p * 4294967296.0

    def choice(self, options: Sequence[T]) -> T:
        """One of the options. Raises ValueError if there are none."""
        return options[self.below(len(options))]

    def sample(self, options: Sequence[T], k: int) -> list[T]:
        """k different positions of `options`, in random order. Raises ValueError if too few."""
        if not 0 <= k <= len(options):
            raise ValueError(f"cannot sample {k} of {len(options)} options")
        pool = list(options)
        for i in range(k):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """All options in random order, as a new list."""
        return self.sample(options, len(options))

    def _below_large(self, n: int) -> int:
        if n <= 0:
            raise ValueError(f"no integer is at least 0 and below {n}")
        bits = (n - 1).bit_length()
        words = -(-bits // 32)
        while True:
            draw = 0
            for _ in range(words):
                draw = draw << 32 | next(self)
            draw >>= 32 * words - bits
            if draw < n:
                return draw


def _key(*parts: str | int) -> bytes:
    """A digest of the parts in which types and boundaries count: ("a", "b") is not ("ab",)."""
    digest = blake2b(digest_size=32, person=b"concur.chance")
    for part in parts:
        if isinstance(part, str):
            kind, data = b"s", part.encode()
        elif isinstance(part, int):
            kind, data = b"i", b"%d" % part
        else:
            raise TypeError(f"a stream is keyed by strings and ints, not {type(part).__name__}")
        digest.update(kind + b"%d:" % len(data) + data)
    return digest.digest()


def _blocks(key: bytes) -> Iterator[tuple[int, ...]]:
    keyed = blake2b(key=key)
    for number in count():
        block = keyed.copy()
        block.update(number.to_bytes(8, "little"))
        yield _words(block.digest())
