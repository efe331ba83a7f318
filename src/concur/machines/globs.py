"""Patterns of keys as Redis has them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\\` before a character.

Every star but the last takes the first fit and never goes back, which is as good as trying all;
what follows the last star has a length, and stands at the end of the key or nowhere. So a match
tries each piece between two stars at each place of the key at most once: `cost` is a bound, and
whoever has many keys to look at can see beforehand what that takes.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

PATTERNS_MAX = 256
"""Patterns that are remembered."""


class Glob:
    """A pattern, ready to be held against keys."""

    __slots__ = ("_all", "_begin", "_end", "_end_length", "_searched", "_starred")

    def __init__(self, pattern: bytes) -> None:
        first, *rest = _pieces(pattern)
        middle = [piece for piece in rest[:-1] if piece]  # between two stars, stands somewhere
        begin = b"".join(first) + b"".join(b"(?>.*?" + b"".join(p) + b")" for p in middle)
        end = rest[-1] if rest else []
        self._starred = bool(rest)
        self._begin = re.compile(begin, re.DOTALL)
        self._end = re.compile(b"".join(end), re.DOTALL)
        self._end_length = len(end)
        self._searched = max((sum(map(_cost, piece)) for piece in middle), default=0)
        self._all = pattern.strip(b"*") == b"" != pattern

    def matching(self, keys: Sequence[bytes]) -> Sequence[bytes]:
        return keys if self._all else list(filter(self.fits, keys))

    def fits(self, key: bytes) -> bool:
        if not self._starred:
            return self._begin.fullmatch(key) is not None
        begun = self._begin.match(key)
        if begun is None:
            return False
        at = len(key) - self._end_length
        return begun.end() <= at and self._end.fullmatch(key, at) is not None

    def cost(self, key: bytes) -> int:
        """Characters that may be compared to find out, but for some that do not depend on both:
        regular expressions do over 100 million in a second, and to compare one with a choice of
        several takes as long as three."""
        return len(key) * self._searched


@lru_cache(PATTERNS_MAX)
def glob(pattern: bytes) -> Glob:
    return Glob(pattern)


def _cost(character: bytes) -> int:
    return 3 if character[:1] == b"[" else 1


def _pieces(pattern: bytes) -> list[list[bytes]]:
    """Regular expressions of single characters, in the pieces between the stars."""
    pieces: list[list[bytes]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        at += 1
        if char == b"*":
            pieces.append([])
        elif char == b"?":
            pieces[-1].append(b".")
        elif char == b"[":
            expression, at = _choice(pattern, at)
            pieces[-1].append(expression)
        else:
            if char == b"\\" and at < len(pattern):
                char = pattern[at : at + 1]
                at += 1
            pieces[-1].append(re.escape(char))
    return pieces


def _choice(pattern: bytes, at: int) -> tuple[bytes, int]:
    """What follows `[`, as one that is not closed is closed by the end; and where it ends."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    ranges = b""
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            at += 1
            low = high = pattern[at]
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            at += 2
        else:
            low = high = pattern[at]
        at += 1
        ranges += b"\\x%02x-\\x%02x" % (low, high)
    if not ranges:
        return (b"." if negated else b"(?!)"), at + 1
    return b"[" + b"^" * negated + ranges + b"]", at + 1
