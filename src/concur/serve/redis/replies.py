"""From results of the Redis machine to replies.

A `Shape` is a pair of functions, for RESP2 and for RESP3, that turn an encoded result into the
bytes of the reply. A result that is an error becomes an error whatever the shape.
"""

from collections.abc import Callable, Sequence
from typing import Any

from concur.machines import MachineError, Redis
from concur.serve.resp import NIL, OK, array, bulk, error, integer

Reply = Callable[[bytes], bytes]
Shape = tuple[Reply, Reply]

_decode = Redis().decode_result
_NONE = b"\xc0"


def refusal(wrong: MachineError) -> bytes:
    """Words of Redis go as they are; others say where they come from."""
    return error(f"ERR {wrong.message if wrong.type == 'Refused' else wrong}")


def _of(render: Callable[[Any], bytes]) -> Reply:
    def reply(result: bytes) -> bytes:
        value = _decode(result)
        return refusal(value) if type(value) is MachineError else render(value)

    return reply


def _shape(render: Callable[[Any, bytes], bytes]) -> Shape:
    """Of a function that takes a value, and what stands for nil."""
    return _of(lambda value: render(value, NIL[0])), _of(lambda value: render(value, NIL[1]))


def _same(render: Callable[[Any], bytes]) -> Shape:
    reply = _of(render)
    return reply, reply


def _bulk(value: bytes | None, nil: bytes) -> bytes:
    return nil if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def _done(result: bytes) -> bytes:
    return OK if result == _NONE else refusal(_decode(result))


DONE: Shape = (_done, _done)
INTEGER = _same(integer)
FLAG = _same(lambda value: b":1\r\n" if value else b":0\r\n")
BULK = _shape(_bulk)
BULKS = _shape(lambda values, nil: array([_bulk(value, nil) for value in values]))
OK_OR_NIL = _shape(lambda done, nil: OK if done else nil)
KIND = _same(lambda count: b"+string\r\n" if count else b"+none\r\n")
SCANNED = _same(lambda found: array([bulk(b"%d" % found[0]), array([*map(bulk, found[1:])])]))


def time_left(clock_ms: Callable[[], int], unit_ms: int) -> Shape:
    """Of a time to expire: what is left of it, in units."""

    def left(at_ms: int) -> bytes:
        return integer(
            at_ms if at_ms < 0 else (max(at_ms - clock_ms(), 0) + unit_ms // 2) // unit_ms
        )

    return _same(left)


def time_of(unit_ms: int) -> Shape:
    return _same(lambda at_ms: integer(at_ms if at_ms < 0 else at_ms // unit_ms))


def of_transaction(parts: Sequence[Reply | bytes]) -> Reply:
    """The array of the replies, of which some are there before the transaction runs."""

    def render(results: Sequence[bytes]) -> bytes:
        of = iter(results)
        return array([part if type(part) is bytes else part(next(of)) for part in parts])  # type: ignore[operator]

    return _of(render)
