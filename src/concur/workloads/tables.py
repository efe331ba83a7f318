"""Random quantities out of integer tables, the same on every platform.

`math.log` and `**` come from the C library, whose last digit differs between systems. Here
logarithms and powers are computed once, by the decimal module at a stated precision (`ln` and `exp`
of a `decimal.Context` are correctly rounded by definition), and rounded down to integers. After
that there is only integer arithmetic.
"""

from bisect import bisect_right
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

from concur.chance import WORD, Stream

_CONTEXT = Context(prec=30, rounding=ROUND_HALF_EVEN)

_BITS = 10  # of a draw choose one of the quantiles, the other 22 the number of halvings
_UNIT = 1 << 32


@lru_cache(maxsize=32)
def zipf_table(keys: int, exponent: str) -> tuple[int, ...]:
    """Cumulative weights of ranks 1..keys, the weight of rank i being i ** -exponent.

    Scaled so that the last is 2 ** 32: rank `bisect_right(table, next(stream))` (from 0) is a draw.
    """
    power = Decimal(exponent)
    weights = []
    for rank in range(1, keys + 1):
        log = _CONTEXT.multiply(_CONTEXT.ln(Decimal(rank)), power)
        weights.append(int(_CONTEXT.multiply(_CONTEXT.exp(-log), Decimal(1 << 64))))
    total = sum(weights)
    table = []
    passed = 0
    for weight in weights:
        passed += weight
        table.append(passed * WORD // total)
    return tuple(table)


def zipf(stream: Stream, keys: int, exponent: str = "0.99") -> Callable[[], int]:
    """Draws ranks from 0 (the most popular) to keys - 1."""
    table = zipf_table(keys, exponent)
    return lambda: bisect_right(table, next(stream))


@lru_cache(maxsize=1)
def _quantiles() -> tuple[tuple[int, ...], int]:
    """An exponential variable of mean 1, below ln 2, at equally likely points; and ln 2 itself."""
    size = 1 << _BITS
    table = []
    for number in range(size):
        # Conditioned on being below ln 2 the distribution function is 2 (1 - exp(-x)).
        share = _CONTEXT.divide(Decimal(2 * number + 1), Decimal(4 * size))
        log = _CONTEXT.ln(_CONTEXT.subtract(Decimal(1), share))
        table.append(int(_CONTEXT.multiply(-log, Decimal(_UNIT))))
    return tuple(table), int(_CONTEXT.multiply(_CONTEXT.ln(Decimal(2)), Decimal(_UNIT)))


def exponential_gaps(stream: Stream, mean_ns: int) -> Callable[[], int]:
    """Draws of an exponential distribution in nanoseconds: gaps of a Poisson process.

    An exponential variable is a multiple of ln 2, with as many ln 2 as a fair coin shows heads in
    a row, plus what it is below ln 2, since it has no memory. Mean within 0.01 per cent.
    """
    table, ln2 = _quantiles()
    mask = (1 << _BITS) - 1

    def gap() -> int:
        draw = next(stream)
        coins = (draw >> _BITS) | 1 << (32 - _BITS)
        heads = (coins & -coins).bit_length() - 1
        return (heads * ln2 + table[draw & mask]) * mean_ns >> 32

    return gap
