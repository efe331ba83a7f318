"""128 bits that tell states apart wherever they are computed.

A packed state is made of numbers in order of discovery, so it means something in one process only.
Its fingerprint is made of what the numbers stand for: it is the same in every process, under every
PYTHONHASHSEED and on every machine. Processes that share a search agree by it on who looks after a
state, and a search that has outgrown the memory keeps it in place of the state.

The fingerprint of a `System`'s state is a sum, modulo 2**128, of BLAKE2b digests: one for what is
left of the bounds, one for each place with its local state, one for the observer's value, and one
for each envelope, as often as it is on its way. So what a transition adds to it depends on little
more than what it adds to the state, and is remembered.

Values are digested in an encoding of their own, in which types count, at every depth: 1, True and
1.0 differ, as do a NamedTuple and the tuple of its fields, because the checker takes them for
different values (`interning`).
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from concur.base import Protocol as Described
from concur.errors import BadInput
from concur.logs import Log
from concur.machines import Machine
from concur.values import Map, Set
from concur.verify.engine.interning import Numbers
from concur.verify.engine.packing import LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.model import Model

BITS = 128
MASK = (1 << BITS) - 1
LEARNT_MAX = 1 << 20
"""What transitions add, remembered: so many of them, then all is learnt anew."""
NUMBERS_MAX = 1 << 23
"""Below it, a difference of two packed states tells the differences of all fields."""


class Fingerprints(Protocol):
    """Fingerprints of the states of one model."""

    def of(self, state: Any) -> int:
        """The fingerprint of `state`: an int below 2**128."""
        ...

    def after(self, state: Any, fingerprint: int, following: Any) -> int:
        """That of a successor of `state`, which has `fingerprint`.

        `following` comes from `successors` as it is, not in canonical form.
        """
        ...


def fingerprints(model: Model[Any]) -> Fingerprints:
    """The fingerprints of a model's states, by their content."""
    return SystemFingerprints(model) if isinstance(model, System) else ValueFingerprints()


def missed_below(states: int, copies_max: int = 1) -> float:
    """A bound on the probability that two of so many states have one fingerprint.

    There are n(n-1)/2 pairs, and digests are as good as drawn at random. States that differ by 2**k
    copies of one message and in nothing else meet with probability 2**k / 2**128, others at most as
    often.
    """
    return min(1.0, states * (states - 1) / 2 * max(1, copies_max) / float(1 << BITS))


class ValueFingerprints:
    """Of states that are values: the digest of their encoding."""

    def of(self, state: Any) -> int:
        return digest(b"state", state)

    def after(self, state: Any, fingerprint: int, following: Any) -> int:
        return digest(b"state", following)


class SystemFingerprints:
    """Of packed states, whose fields are digested once each."""

    def __init__(self, system: System) -> None:
        packing = system._packing
        self._system = system
        self._budget_mask = packing.budget_mask
        self._budget_bits = packing.budget_mask.bit_length()
        self._budgets: dict[int, int] = {}
        self._fields: list[tuple[int, Numbers, list[int], bytes]] = [
            (shift, numbers, [], b"place %d" % place)
            for place, (shift, numbers) in enumerate(
                zip(packing.places, system._locals, strict=True)
            )
        ]
        self._fields.append((packing.observer, system._observed, [], b"observed"))
        self._envelopes: list[int] = []
        self._learnt: dict[int, tuple[int, dict[int, int]]] = {}
        """For what a transition adds to the state, and what was left of the bounds: the places that
        it touches; and, for their numbers before, what it adds to the fingerprint."""
        self._count = 0
        self.after = self._stepper()

    def of(self, state: int) -> int:
        packing = self._system._packing
        total = self._of_budget(state & self._budget_mask)
        for field in self._fields:
            number = (state >> field[0]) & LOCAL_MASK
            digests = field[2]
            if number >= len(digests):
                self._digest(field)
            total += digests[number]
        network, width, envelopes = state >> packing.network, packing.width, self._envelopes
        ones = (1 << width) - 1
        while network:
            number = ((network & -network).bit_length() - 1) // width
            copies = (network >> number * width) & ones
            network ^= copies << number * width
            if number >= len(envelopes):
                known = self._system._envelopes.values
                envelopes += [digest(b"envelope", envelope) for envelope in known[len(envelopes) :]]
            total += envelopes[number] * copies
        return total & MASK

    def _stepper(self) -> Callable[[int, int, int], int]:
        """`after`, with all that it uses at hand: it is asked for each new state."""
        budget_bits, budget_mask = self._budget_bits, self._budget_mask
        learnt, learn = self._learnt.get, self._learn

        def after(state: int, fingerprint: int, following: int) -> int:
            # The difference and what was left of the bounds tell what is left of them now, by how
            # much the number of each place moves, and what happens to the network. Besides, the
            # digests that go and come depend on the numbers that move, and on nothing else.
            change = following - state
            if budget_bits:
                change = change << budget_bits | state & budget_mask
            entry = learnt(change)
            if entry is not None:
                touched, known = entry
                added = known.get(state & touched)
                if added is not None:
                    return (fingerprint + added) & MASK
            return learn(change, state, fingerprint, following)

        return after

    def _learn(self, change: int, state: int, fingerprint: int, following: int) -> int:
        new = self.of(following)
        entry = self._learnt.get(change)
        if entry is None:
            touched = 0
            for shift, numbers, _, _ in self._fields:
                if (state ^ following) >> shift & LOCAL_MASK:
                    touched |= LOCAL_MASK << shift
                if len(numbers) > NUMBERS_MAX:
                    return new
            entry = self._learnt[change] = touched, {}
        entry[1][state & entry[0]] = (new - fingerprint) & MASK
        self._count += 1
        if self._count > LEARNT_MAX:
            self._learnt.clear()
            self._count = 0
        return new

    def _of_budget(self, budget: int) -> int:
        known = self._budgets.get(budget)
        if known is None:
            left = tuple(self._system._packing.left(budget).items())
            known = self._budgets[budget] = digest(b"left", left)
        return known

    def _digest(self, field: tuple[int, Numbers, list[int], bytes]) -> None:
        _, numbers, digests, what = field
        digests += [digest(what, value) for value in numbers.values[len(digests) :]]


# --- values ---------------------------------------------------------------------------------------


def digest(what: bytes, value: Any) -> int:
    """128 bits of a value in the role of `what`."""
    parts: list[bytes] = []
    _encode(value, parts.append)
    hashed = blake2b(b"".join(parts), digest_size=BITS // 8, person=what[:16])
    return int.from_bytes(hashed.digest(), "little")


def encode(value: Any) -> bytes:
    """`value` in bytes: two values that are the same have one encoding, others never share one.

    Each part begins with a letter for its kind and is followed by its length or ends itself.
    """
    parts: list[bytes] = []
    _encode(value, parts.append)
    return b"".join(parts)


def _encode(value: Any, add: Callable[[bytes], None]) -> None:
    kind = type(value)
    if kind is tuple:
        add(b"(%d:" % len(value))
        for item in value:
            _encode(item, add)
    elif kind is int:
        add(b"i%d;" % value)
    elif kind is str:
        text = value.encode("utf-8", "surrogatepass")
        add(b"s%d:" % len(text))
        add(text)
    elif value is None or kind is bool:
        add(_CONSTANTS[value])
    elif kind is bytes:
        add(b"b%d:" % len(value))
        add(value)
    elif isinstance(value, msgspec.Struct):
        items = msgspec.structs.astuple(value)
        add(b"S%s%d:" % (_name(kind), len(items)))
        for item in items:
            _encode(item, add)
    elif kind is Map:
        pairs = sorted((encode(key), item) for key, item in value._items.items())
        add(b"M%d:" % len(pairs))
        for key, item in pairs:
            add(key)
            _encode(item, add)
    elif kind is Set or kind is frozenset:
        members = sorted(map(encode, value._items if kind is Set else value))
        add(b"%s%d:" % (b"E" if kind is Set else b"e", len(members)))
        for member in members:
            add(member)
    else:
        _encode_rare(value, kind, add)


def _encode_rare(value: Any, kind: type[Any], add: Callable[[bytes], None]) -> None:
    if kind is float:
        add(b"f%s;" % value.hex().encode())
    elif kind is Log:
        add(b"L")
        _encode((value.base, len(value), value.chain()), add)  # the chain digests all entries
    elif isinstance(value, Enum):
        add(b"n%s" % _name(kind))
        _encode(value.name, add)
    elif isinstance(value, tuple):
        add(b"T%s%d:" % (_name(kind), len(value)))
        for item in value:
            _encode(item, add)
    elif isinstance(value, type):
        add(b"t%s" % _name(value))
    elif isinstance(value, Described):  # what children of a node were made from
        add(b"P%s" % _name(kind))
        _encode(tuple(sorted(vars(value).items())), add)
    elif isinstance(value, Machine):
        add(b"m%s" % _name(kind))
        _encode(value.name, add)
    elif is_dataclass(value):
        add(b"D%s" % _name(kind))
        _encode(tuple(getattr(value, field.name) for field in fields(value)), add)
    else:
        raise BadInput(
            f"a state holds a {kind.__module__}.{kind.__qualname__}, which has no fingerprint; "
            "expected None, bool, int, float, str, bytes, tuples, frozen sets, Sets, Maps, Logs, "
            "Structs and frozen dataclasses"
        )


_CONSTANTS: dict[bool | None, bytes] = {None: b"N", False: b"0", True: b"1"}


_names: dict[type[Any], bytes] = {}


def _name(kind: type[Any]) -> bytes:
    known = _names.get(kind)
    if known is None:
        name = f"{kind.__module__}.{kind.__qualname__}".encode()
        known = _names[kind] = b"%d:%s" % (len(name), name)
    return known
