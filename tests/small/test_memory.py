"""One-sided memory: permissions, atomic requests, and what a crash leaves."""

from concur.base import Protocol, Role
from concur.effects import Send, Start
from concur.node import Config
from concur.parts.memory import (
    CasCell,
    CellSwapped,
    CellValue,
    CellWritten,
    LastingMemory,
    Memory,
    Permit,
    Permitted,
    ReadCell,
    WriteCell,
)
from concur.testing.laboratory import Replayed


class Cells(Protocol):
    def roles(self) -> tuple[Role, ...]:
        return (Role("memory", Memory, "m"),)


def memory(kind: type[Memory] = Memory, **durable: object) -> Memory:
    image = {("", field): value for field, value in durable.items()}
    made = kind("m1", Cells(), Config(("m1",), ()), durable=image)
    made.step(Start("restart" if image else "new", 1), Replayed([]))
    return made


def ask(node: Memory, source: str, message: object) -> object:
    effects = node.deliver(source, message)  # type: ignore[arg-type]
    (answer,) = [effect for effect in effects if isinstance(effect, Send)]
    assert answer.to == source
    return answer.message


def test_a_write_without_permission_is_refused() -> None:
    node = memory()
    assert ask(node, "r1", WriteCell(1, "x", b"a")) == CellWritten(1, False)
    assert ask(node, "r1", ReadCell(2, "x")) == CellValue(2, None)


def test_permission_moves_from_one_writer_to_the_next() -> None:
    node = memory()
    assert ask(node, "r1", Permit(1, ("r1",))) == Permitted(1, True)
    assert ask(node, "r1", WriteCell(2, "x", b"a")) == CellWritten(2, True)
    assert ask(node, "r2", Permit(1, ("r2",))) == Permitted(1, True)
    assert ask(node, "r1", WriteCell(3, "x", b"b")) == CellWritten(3, False)
    assert ask(node, "r1", ReadCell(4, "x")) == CellValue(4, b"a")


def test_nobody_hands_the_permission_to_others_by_default() -> None:
    assert ask(memory(), "r1", Permit(1, ("r1", "r2"))) == Permitted(1, False)


def test_compare_and_set_tells_what_the_cell_held() -> None:
    node = memory()
    ask(node, "r1", Permit(1, ("r1",)))
    assert ask(node, "r1", CasCell(2, "x", None, b"a")) == CellSwapped(2, True, None)
    assert ask(node, "r1", CasCell(3, "x", None, b"b")) == CellSwapped(3, False, b"a")
    assert ask(node, "r1", CasCell(4, "x", b"a", b"b")) == CellSwapped(4, True, b"a")


def test_what_a_crash_leaves_depends_on_the_kind_of_memory() -> None:
    for kind, kept in ((Memory, {}), (LastingMemory, {"cells", "writers"})):
        node = memory(kind)
        ask(node, "r1", Permit(1, ("r1",)))
        ask(node, "r1", WriteCell(2, "x", b"a"))
        assert {field for _, field in node.persisted()} == set(kept)
        again = memory(kind, **{field: value for (_, field), value in node.persisted().items()})
        assert again.cells == (node.cells if kept else kind.cells)
