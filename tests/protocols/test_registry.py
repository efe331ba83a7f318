"""Finding a protocol by name, by import path, and in other people's packages."""

import sys
from pathlib import Path

import pytest

from concur.base import Protocol
from concur.errors import BadInput
from concur.protocols import all_protocols, protocol
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.unreplicated import Unreplicated


def test_every_protocol_is_found_by_its_name() -> None:
    found = all_protocols()
    assert {MultiPaxos, Unreplicated} <= set(found)
    assert [p.name for p in found] == sorted({p.name for p in found})
    assert all(protocol(p.name) is p for p in found)


def test_every_protocol_says_what_it_is() -> None:
    for each in all_protocols():
        assert each.name
        assert each.summary
        assert each.paper
        assert each().clone() == each()
        assert each().roles()


def test_a_class_is_found_by_its_import_path() -> None:
    assert protocol("concur.protocols.multi_paxos:MultiPaxos") is MultiPaxos


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "",
        "no.such.module:X",
        "concur.protocols.multi_paxos:Nothing",
        "concur.protocols.multi_paxos:Replica",
        "concur.base:Protocol",
        "concur.base:parameter",
        ":",
        "concur.base:",
        ":X",
    ],
)
def test_what_is_no_protocol_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        protocol(name)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value) or "cannot import" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"multi-paxos.*unreplicated"):
        protocol("nonsense")


@pytest.mark.parametrize(
    "text", ["raise RuntimeError('two\\nlines')", "1 / 0", "import nowhere", "def ("]
)
def test_a_module_that_cannot_be_imported_is_refused_in_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_protocol.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("broken_protocol", None)
    with pytest.raises(BadInput) as caught:
        protocol("broken_protocol:X")
    assert "\n" not in str(caught.value)


def test_a_protocol_in_a_file_needs_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from concur.base import Protocol\nclass Mine(Protocol):\n    pass\n"
    (tmp_path / "my_protocol.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = protocol("my_protocol:Mine")
    assert issubclass(found, Protocol)
    assert found.name == "Mine"
