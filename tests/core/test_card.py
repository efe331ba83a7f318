"""The card of a protocol tells what it is and what was changed, in HTML that stands for itself."""

import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser

import pytest

from concur.base import Protocol, Role, parameter
from concur.card import VALUE_LENGTH_MAX
from concur.node import Node
from concur.protocols import all_protocols

ALL = pytest.mark.parametrize("kind", all_protocols(), ids=lambda kind: kind.name)


class Made(Protocol):
    name = "made <up>"
    summary = 'Says "a < b" & nothing else.'
    paper = "Nobody & Co., <i>Nowhere</i>, 2001"

    wait_s: float = parameter(default=0.5, above=0, doc="how long it waits & sees")
    word: str = parameter(default="a", doc="any <word>")
    pair: tuple[int, int] = parameter(default=(1, 2), ascending=True)

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", Node, "r", links="stream"),
            Role("witness", Node, "w", 1, place="network", beside="replica", cost="memory"),
            Role("client", Node, "c", "clients", place="client", cost="client"),
        )


class Outline(HTMLParser):
    """Sees to it that every element is closed in turn, and keeps the text of each table row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.style: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.style.append(dict(attributes).get("class") or "")
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row[0] == name)

    def style_of(self, name: str) -> str:
        return self.style[self.rows.index(self.row(name))]


@ALL
def test_the_card_of_every_protocol_is_well_formed_small_and_on_its_own(
    kind: type[Protocol],
) -> None:
    html = kind()._repr_html_()
    outline = Outline(html)
    assert kind.__name__ in html
    assert unescape(html).count(kind.paper) >= 1
    for role in kind().roles():
        assert outline.row(role.name)
    for name, declared in kind.parameters.items():
        assert outline.row(name)[2:] == [declared.doc, declared.describe()]
    assert len(html) < 20_000
    assert not re.search(r"https?:|//|url\(|src=|href=|@import|<script|onclick|id=", html)


def test_roles_say_how_many_where_and_by_what_links() -> None:
    outline = Outline(Made()._repr_html_())
    assert outline.row("replica") == [
        "replica", "one for each replica", "with the replicas", "stream",
    ]  # fmt: skip
    assert outline.row("witness") == [
        "witness", "1", "on the host of its replica, as a memory", "datagram",
    ]  # fmt: skip
    assert outline.row("client")[1:3] == ["one for each client", "with the clients"]


def test_what_a_person_wrote_is_escaped() -> None:
    html = Made(word="<script>alert(1)</script>")._repr_html_()
    assert "<script" not in html
    assert "<i>Nowhere" not in html
    assert "<up>" not in html
    outline = Outline(html)
    assert outline.row("word")[1] == "'<script>alert(1)</script>' (default 'a')"
    assert outline.row("word")[2] == "any <word>"


def test_changed_parameters_are_marked_with_their_defaults() -> None:
    html = Made(wait_s=0.25)._repr_html_()
    outline = Outline(html)
    assert "1 of 3 changed" in html
    assert "<details open>" in html
    assert outline.row("wait_s")[1] == "0.25 (default 0.5)"
    assert outline.style_of("wait_s") == "concur-changed"
    assert outline.row("pair")[1] == "(1, 2)"
    assert outline.style_of("pair") == ""
    calm = Made()._repr_html_()
    assert "<details>" in calm
    assert "3, as by default" in calm


def test_values_that_are_not_accepted_are_marked() -> None:
    outline = Outline(Made(wait_s=-1.0, pair=(2, 1))._repr_html_())
    assert outline.row("wait_s")[1] == "-1.0 (not accepted; default 0.5)"
    assert outline.style_of("pair") == "concur-wrong"


def test_a_bound_is_told_to_the_last_digit() -> None:
    class Large(Made):
        bytes_max: int = parameter(default=1, at_most=33_554_432)

    assert Outline(Large()._repr_html_()).row("bytes_max")[3] == "a whole number at most 33554432"


def test_a_long_value_is_cut() -> None:
    shown = Outline(Made(word="x" * 5_000)._repr_html_()).row("word")[1]
    assert len(shown) < VALUE_LENGTH_MAX + 20
    assert "..." in shown


def test_a_protocol_that_is_not_finished_has_a_card_all_the_same() -> None:
    class Silent(Protocol):
        pass

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Roles: Silent names no roles" in Silent()._repr_html_()
    assert "No parameters." in Silent()._repr_html_()
    shown = Outline(Made(word=Odd())._repr_html_()).row("word")[1]  # type: ignore[arg-type]
    assert shown.startswith("a Odd whose repr raises RuntimeError (not accepted")


def test_the_card_loads_only_when_a_notebook_asks() -> None:
    program = "import sys, concur.base; print('concur.card' in sys.modules, 'html' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert printed.stdout.split() == [b"False", b"False"]
