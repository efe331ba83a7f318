"""Files of transactions without times: recognised, so that one can say what they are.

They tell sessions and who read what from whom, but nothing of real time, so none of the checkers
of operations applies.
"""

import re

COBRA = re.compile(rb"S.{8}[WRC]", re.DOTALL)
PLUME = re.compile(rb"\s*[rw]\(-?\d+,-?\d+,\d+,-?\d+\)\s")
AWDIT = re.compile(rb"(?:\s*(?:[rw] \d+ \d+|-{3,}|={3,})\r?\n)+")


def looks_like_cobra(head: bytes) -> bool:
    """Big-endian records: S and the number of a transaction, what it did, C."""
    return COBRA.match(head) is not None


def looks_like_dbcop(head: bytes) -> bool:
    """Five small numbers of 64 bits, little-endian, then a string with its length."""
    numbers = [int.from_bytes(head[i : i + 8], "little") for i in range(0, 48, 8)]
    return len(head) >= 48 and all(number < 1 << 32 for number in numbers) and b"\0" in head[:8]


def looks_like_plume(head: bytes) -> bool:
    """r(key,value,session,transaction) and w(...), one a line."""
    return PLUME.match(head) is not None


def looks_like_awdit(head: bytes) -> bool:
    """r key value and w key value, with --- between transactions and === between sessions."""
    return AWDIT.match(head) is not None
