"""`identity.json`: whose storage a directory is, how far its making got, and the incarnation.

The file is replaced as a whole, and says in `state` what is under way, so that an interrupted
beginning is never taken for a node with an empty past:

| state | means | what opens it |
| --- | --- | --- |
| `initialising` | a new node is being made; it has said nothing | `initialise=True`, again |
| `wiping` | old files are being set aside | `wiped=True`, again |
| `ready` | a journal exists | anything |

`began` is how the node began when its journal was made, `new` or `wiped`: until something has been
persisted it begins so again. A node without durable fields persists nothing, so for it `handed`
counts: whether a store was ever handed out. `incarnation` grows with every opening, and is durable
before a store is handed out: the one stored plus one, or the wall clock's seconds if that is
more, so that a node which lost its disk does not use one again either, unless its clock ran back
meanwhile.
"""

from zlib import crc32

import msgspec

from concur.serve.disk import Damaged, Disk, Mismatch, replace

FORMAT = 1
FILE = "identity.json"
INITIALISING, WIPING, READY = "initialising", "wiping", "ready"

ADVICE = (
    "open it as wiped, which sets the old files aside, if the protocol recovers wiped nodes and a "
    "majority of the others is well; or put the files back"
)


class Identity(msgspec.Struct, frozen=True):
    """Whose storage it is. `protocol` and `machine` are names."""

    cluster: str
    node: str
    protocol: str
    machine: str


class Record(msgspec.Struct, frozen=True):
    """What `identity.json` says."""

    format: int
    cluster: str
    node: str
    protocol: str
    machine: str
    state: str
    began: str
    handed: bool
    incarnation: int
    checksum: str = ""

    def sealed(self) -> "Record":
        """With the checksum of all the rest."""
        blank = msgspec.structs.replace(self, checksum="")
        return msgspec.structs.replace(self, checksum=f"{crc32(msgspec.json.encode(blank)):08x}")


class _Format(msgspec.Struct):
    format: int


def write(
    disk: Disk, identity: Identity, *, state: str, began: str, handed: bool, incarnation: int
) -> None:
    """Make it durable that this is so now."""
    whose = msgspec.structs.asdict(identity)
    record = Record(
        format=FORMAT, state=state, began=began, handed=handed, incarnation=incarnation, **whose
    ).sealed()
    replace(disk, FILE, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def read(disk: Disk, identity: Identity) -> Record | None:
    """What the directory says, None if it says nothing.

    Raises Mismatch if it belongs to somebody else, Damaged if it cannot be read.
    """
    if FILE not in disk.names():
        return None
    data = disk.read(FILE)
    try:
        found = msgspec.json.decode(data, type=_Format).format
        record = msgspec.json.decode(data, type=Record) if found <= FORMAT else None
    except (ValueError, RecursionError):
        raise Damaged(f"{disk}: {FILE} is damaged; {ADVICE}") from None
    if record is None:
        raise Mismatch(
            f"{disk}: storage of format {found}, expected {FORMAT} or lower: it was written by a "
            "later version"
        )
    if record.sealed() != record:
        raise Damaged(f"{disk}: {FILE} is damaged: its checksum differs; {ADVICE}")
    for what in identity.__struct_fields__:
        ours, theirs = getattr(identity, what), getattr(record, what)
        if ours != theirs:
            raise Mismatch(f"{disk}: storage of {what} {theirs!r}, expected {ours!r}")
    return record
