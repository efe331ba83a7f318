"""`Memory`: cells that other machines read and write without asking the CPU that they belong to.

One-sided access, as network cards with RDMA offer it. A memory stands beside a replica (`Role(...,
beside="replica", cost="memory")`), shares its crash fate, and answers at the cost of a network card
even while the replica's CPU is paused. Every request is one step, so it is atomic. The replica on
the same host reads the cells directly, with `self.peek(memory, address)`.

    Role("memory", Memory, "m", beside="replica", place="replica", cost="memory", links="stream")

**Permissions.** Only the permitted writers may write and compare-and-set; anyone may read. `Permit`
replaces them, all at once, so that whoever takes the permission on a memory has taken it from
everybody else: the switch that Mu uses in place of a promise (M. Aguilera, N. Ben-David,
R. Guerraoui, V. Marathe, A. Xygkis, I. Zablotchi, "Microsecond consensus for microsecond
applications", OSDI 2020, section 4.1; and "The impact of RDMA on agreement", PODC 2019, for what
permissions give in theory). Who may change them is `may_permit`, which a subclass overrides.

**Old requests.** A permission that was lost and taken again does not make requests from before
valid, and a memory cannot tell those from new ones. So talk to a memory over links of the kind
"stream", as a network card's reliable connection is: a late request cannot overtake a new one.

**What a crash leaves.** `Memory` forgets its cells when its host crashes. `LastingMemory` keeps
them and the permission, as non-volatile or battery-backed memory does: what it has answered is
durable, without a disk. Which of the two it is, the role says by naming the class.
"""

from concur.base import Protocol
from concur.messages import Message
from concur.node import Node, durable, invariant, on
from concur.values import Map

CELLS_MAX = 1 << 20
"""Cells of one memory; a write to one more is refused."""

CELL_BYTES_MAX = 1 << 20
"""Bytes of one cell; longer values are refused."""


class ReadCell(Message, frozen=True):
    """What is at `address`? Answered by CellValue."""

    op: int
    address: str


class WriteCell(Message, frozen=True):
    """Put `value` at `address`. Answered by CellWritten."""

    op: int
    address: str
    value: bytes


class CasCell(Message, frozen=True):
    """Put `new` at `address` if it holds `old`, None being an empty cell; see CellSwapped."""

    op: int
    address: str
    old: bytes | None
    new: bytes


class Permit(Message, frozen=True):
    """Let `writers` write, and nobody else. Answered by Permitted."""

    op: int
    writers: tuple[str, ...]


class CellValue(Message, frozen=True):
    op: int
    value: bytes | None


class CellWritten(Message, frozen=True):
    """`done` is False if the writer has no permission, or the memory no room."""

    op: int
    done: bool


class CellSwapped(Message, frozen=True):
    """`value` is what the cell held before; `done` says whether it was replaced."""

    op: int
    done: bool
    value: bytes | None


class Permitted(Message, frozen=True):
    op: int
    done: bool


class Memory(Node[Protocol]):
    """Passive: it answers ReadCell, WriteCell, CasCell and Permit, and does nothing of its own."""

    cells: Map[str, bytes] = Map()
    writers: tuple[str, ...] = ()

    def may_permit(self, source: str, writers: tuple[str, ...]) -> bool:
        """Whether `source` may hand the permission to `writers`. By default anyone may take it for
        itself, and nobody for others."""
        return writers == (source,)

    @on(ReadCell)
    def read(self, source: str, m: ReadCell) -> None:
        self.send(source, CellValue(m.op, self.cells.get(m.address)))

    @on(WriteCell)
    def write(self, source: str, m: WriteCell) -> None:
        done = self._may_put(source, m.address, m.value)
        if done:
            self.cells = self.cells.put(m.address, m.value)
        self.send(source, CellWritten(m.op, done))

    @on(CasCell)
    def compare_and_set(self, source: str, m: CasCell) -> None:
        held = self.cells.get(m.address)
        done = held == m.old and self._may_put(source, m.address, m.new)
        if done:
            self.cells = self.cells.put(m.address, m.new)
        self.send(source, CellSwapped(m.op, done, held))

    @on(Permit)
    def switch_permission(self, source: str, m: Permit) -> None:
        done = self.may_permit(source, m.writers)
        if done:
            self.writers = m.writers
            self.observe("permitted", *m.writers)
        self.send(source, Permitted(m.op, done))

    def _may_put(self, source: str, address: str, value: bytes) -> bool:
        if source not in self.writers or len(value) > CELL_BYTES_MAX:
            return False
        return address in self.cells or len(self.cells) < CELLS_MAX

    @invariant
    def cells_stay_under_their_limit(self) -> bool:
        return len(self.cells) <= CELLS_MAX


class LastingMemory(Memory):
    """Outlives a crash of its host, and its process: what it has answered is durable."""

    cells: Map[str, bytes] = durable(Map())
    writers: tuple[str, ...] = durable(())
