"""Patterns of keys as Redis has them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\\` before a character.

A pattern becomes a regular expression in which every star but the last takes the first fit and
never goes back. That is as good as trying all, and keeps a match from taking exponential time.
"""

import re
from collections.abc import Callable
from functools import lru_cache

PATTERNS_MAX = 256
"""Patterns that are remembered."""


@lru_cache(PATTERNS_MAX)
def matcher(pattern: bytes) -> Callable[[bytes], object]:
    """A function that is true of the keys that match."""
    pieces = [b"".join(piece) for piece in _pieces(pattern)]
    expression = pieces[0]
    if len(pieces) > 1:
        expression += b"".join(b"(?>.*?" + piece + b")" for piece in pieces[1:-1])
        expression += b".*" + pieces[-1]
    return re.compile(expression, re.DOTALL).fullmatch


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
