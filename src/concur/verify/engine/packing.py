"""Where things are in a packed state, and what keeps one field from running into the next.

From the lowest bit: what is left of each bound; the number of each place's local state; the number
of the observer's value; and for each envelope how many copies are on their way. A counter of copies
has a guard bit on top. Whoever expands a state looks at all guard bits at once, and no step may
send so many copies that a counter without its guard bit set could run over.
"""

from collections.abc import Mapping

from concur.errors import BadInput

LOCAL_BITS = 24
"""Width of a number of a local state or of an observed value: 16 million of each."""
LOCAL_MASK = (1 << LOCAL_BITS) - 1
UNBOUNDED = -1
"""As a bound: as often as one likes, and nothing is counted."""


class Packing:
    """The layout for so many places, with these bounds.

    `copies_max` is rounded up to one less than a power of two; None: the network is a set.
    """

    def __init__(self, places: int, bounds: Mapping[str, int], copies_max: int | None) -> None:
        self.bounds = dict(bounds)
        self.fields: dict[str, tuple[int, int]] = {}
        """(shift, mask) of each bound that is counted."""
        shift = 0
        for bound, most in self.bounds.items():
            if not isinstance(most, int) or most < UNBOUNDED:
                raise BadInput(
                    f"bound {bound!r}: {most!r}, expected {UNBOUNDED} for none, 0 or more"
                )
            if most > 0:
                self.fields[bound] = (shift, (1 << most.bit_length()) - 1)
                shift += most.bit_length()
        self.budget_mask = (1 << shift) - 1
        self.full_budget = sum(self.bounds[bound] << at for bound, (at, _) in self.fields.items())
        self.places = tuple(shift + LOCAL_BITS * place for place in range(places))
        """Shift of each place's number."""
        self.observer = shift + LOCAL_BITS * places
        self.bounds_width = shift
        self.key_mask = (1 << LOCAL_BITS * (places + 1)) - 1
        self.network = self.observer + LOCAL_BITS
        self.is_set = copies_max is None
        if copies_max is None:
            self.width = self.copies_max = 1
        else:
            if copies_max < 1:
                raise BadInput(f"envelopes_max: {copies_max}, expected at least 1")
            self.width = copies_max.bit_length() + 1
            self.copies_max = (1 << copies_max.bit_length()) - 1
        self.ones = self.guard = 0
        """The lowest and the highest bit of each counter, counted from where the network begins."""

    def grow(self, envelope: int) -> None:
        """Make room for the envelope of that number, which is one more than the last."""
        low = 1 << envelope * self.width
        self.ones |= low
        if not self.is_set:
            self.guard |= low << self.width - 1

    def copy(self, envelope: int) -> int:
        """What one copy of that envelope adds to a state."""
        return 1 << self.network + envelope * self.width

    @property
    def is_conditional(self) -> bool:
        """Whether a step can depend on what is left of a bound otherwise than by using it up."""
        return False

    def key(self, state: int) -> int:
        """The numbers of all local states, and of the observer's value."""
        return state >> self.bounds_width & self.key_mask

    def covers(self, state: int, other: int) -> bool:
        """Whether `state` is `other`, but for messages that are on their way in `state` alone.

        Both have the same `key`, and no guard bit is set.
        """
        if (state ^ other) & self.budget_mask:
            return False
        if self.is_set:
            return not other & ~state
        guard = self.guard << self.network
        return ((state | guard) - other) & guard == guard

    def fits(self, copies: int) -> bool:
        """Whether so many more copies turn on a guard bit at the most, and never run over it."""
        return self.is_set or copies <= self.copies_max + 1

    def left(self, state: int) -> dict[str, int]:
        """What is left of each bound that is counted."""
        return {bound: (state >> shift) & mask for bound, (shift, mask) in self.fields.items()}

    def price(self, costs: tuple[str, ...], state: int) -> int | None:
        """What to take from `state`, or its budget alone; None if it cannot pay.

        Raises KeyError for a cost that has no bound.
        """
        price = 0
        for bound in dict.fromkeys(costs):
            field = self.fields.get(bound)
            if field is not None:
                shift, mask = field
                times = costs.count(bound)
                if times > (state >> shift) & mask:
                    return None
                price += times << shift
            elif self.bounds[bound] == 0:
                return None
        return price
