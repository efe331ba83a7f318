"""Two-phase commit, as Gray and Lamport specify it ("Consensus on Transaction Commit", 2006).

Resource managers decide together whether a transaction commits or aborts. Each may prepare, and
says so, or abort on its own as long as it has not. The transaction manager commits once it has
heard from all that they are prepared, or aborts at any time before. Then it tells all, and all
obey. Nobody may commit while another aborts.

The specification has the variables rmState, tmState, tmPrepared and msgs, and no channel: messages
are a set that only grows, so any message may be received at any time, again and again. Receiving
one that changes nothing is a transition to the same state, and counts as such.

Here a state is one int. It ends in four bits for the transaction manager,

    bits 0-1  its state: 0 init, 1 committed, 2 aborted
    bit 2     Commit was sent           bit 3   Abort was sent

and each resource manager has four bits more:

    bits 0-1  its state: 0 working, 1 prepared, 2 committed, 3 aborted
    bit 2     its Prepared was sent     bit 3   the transaction manager has heard that

so an action adds a constant, which depends only on one manager's bits and on the last four. What
the actions add for a group of managers is computed once for each content of their bits.

Managers are interchangeable, messages and all: sorting their bits is a canonical form.
"""

from collections.abc import Iterable, Iterator

from concur.verify import Model

INIT, TM_COMMITTED, TM_ABORTED = range(3)
SENT_COMMIT, SENT_ABORT = 4, 8
WORKING, PREPARED, COMMITTED, ABORTED = range(4)
SENT_PREPARED, HEARD_PREPARED = 4, 8
BITS = 4
GROUP = 4
"""Managers whose actions are looked up together: 2 ** 20 entries at the most."""

NAMES = "working", "prepared", "committed", "aborted"


class TwoPhaseCommit(Model[int]):
    """With `hears_all` off, a bug: the last manager need not be prepared."""

    symmetric = True

    def __init__(self, managers: int, hears_all: bool = True) -> None:
        self.name = f"two-phase commit of {managers} managers"
        self.managers = managers
        self.shifts = tuple(BITS * number for number in range(1, managers + 1))
        self.all_heard = sum(HEARD_PREPARED << shift for shift in self.shifts)
        if not hears_all:
            self.all_heard -= HEARD_PREPARED << self.shifts[-1]
        self.symmetric = hears_all
        self.committed = sum(COMMITTED << shift for shift in self.shifts)
        self.low_bits = sum(1 << shift for shift in self.shifts)
        groups = [self.shifts[i : i + GROUP] for i in range(0, managers, GROUP)]
        self.groups = [
            (shifts[0], (1 << BITS * len(shifts)) - 1, dict[int, tuple[int, ...]]())
            for shifts in groups
        ]

    def initial(self) -> Iterable[int]:
        return [0]

    def steps(self, state: int) -> Iterator[tuple[str, int]]:
        for name, change in self.of_transaction_manager(state):
            yield name, state + change
        for number, shift in enumerate(self.shifts):
            for name, change in of_manager(state & 15, (state >> shift) & 15):
                yield f"manager {number + 1} {name}", state + change * (1 << shift)

    def successors(self, state: int) -> list[int]:
        after = [state + change for _, change in self.of_transaction_manager(state)]
        manager = state & 15
        for shift, mask, memory in self.groups:
            bits = (state >> shift) & mask
            key = bits << BITS | manager
            changes = memory.get(key)
            if changes is None:
                changes = memory[key] = tuple(
                    change << shift + BITS * number
                    for number in range(mask.bit_length() // BITS)
                    for _, change in of_manager(manager, (bits >> BITS * number) & 15)
                )
            after += [state + change for change in changes]
        return after

    def of_transaction_manager(self, state: int) -> Iterator[tuple[str, int]]:
        if state & 3 == INIT:
            if state & self.all_heard == self.all_heard:
                yield "the transaction manager commits", TM_COMMITTED + SENT_COMMIT
            yield "the transaction manager aborts", TM_ABORTED + SENT_ABORT

    def broken(self, state: int) -> tuple[str, str] | None:
        high = (state >> 1) & self.low_bits  # the upper bit of each manager's state
        aborted = high & state
        if aborted and high != aborted:
            return "consistent", "one manager has committed, another has aborted"
        return None

    def done(self, state: int) -> bool:
        return False

    def canonical(self, state: int) -> int:
        bits = sorted((state >> shift) & 15 for shift in self.shifts)
        return sum(b << shift for b, shift in zip(bits, self.shifts, strict=True)) | (state & 15)

    def show(self, state: int) -> str:
        managers = ", ".join(NAMES[(state >> shift) & 3] for shift in self.shifts)
        return f"{managers}; transaction {('open', 'committed', 'aborted')[state & 3]}"


def of_manager(manager: int, bits: int) -> Iterator[tuple[str, int]]:
    """The actions that concern one resource manager: what each adds to its bits."""
    state = bits & 3
    if bits & SENT_PREPARED and manager & 3 == INIT:
        yield "is heard to be prepared", HEARD_PREPARED - (bits & HEARD_PREPARED)
    if state == WORKING:
        yield "prepares", PREPARED + SENT_PREPARED
        yield "aborts by itself", ABORTED
    if manager & SENT_COMMIT:
        yield "is told to commit", COMMITTED - state
    if manager & SENT_ABORT:
        yield "is told to abort", ABORTED - state
