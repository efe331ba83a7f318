"""Space-time diagrams made up by hand: order is kept, nothing is written over, all is escaped."""

import math
import re
import shlex
from collections import Counter
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from concur.chance import Stream
from concur.plot.diagram import draw
from concur.plot.layout import width
from concur.plot.palette import style_of
from concur.plot.witness import NEVER, Arrow, Mark, Span, Told
from concur.protocols.multi_paxos.messages import Heartbeat, LearnRequest
from concur.score.story import Shown
from tests.cli.helpers import concur
from tests.tidy.repository import ROOT

NASTY = 'evil<script>alert("x")</script>&amp;\x00'
PING, PONG = Heartbeat((1, "r1"), 0, 1), LearnRequest(1)


def arrow(source: str, target: str, sent_us: int, took_us: int, **more: object) -> Arrow:
    message = PING if source < target else PONG
    sent = sent_us * 1000
    arrived = NEVER if more.get("lost") else sent + took_us * 1000
    return Arrow(
        name=type(message).__name__, source=source, target=target, sent_ns=sent, said_step=1,
        arrived_ns=arrived, message=message, title="what it was", **more,
    )  # type: ignore[arg-type] # fmt: skip


def told(arrows: list[Arrow], marks: list[Mark] | None = None, **more: object) -> Told:
    nodes = tuple((f"r{i}", f"r{i}") for i in range(1, 6))
    fields: dict[str, object] = {
        "nodes": nodes, "from_ns": 0, "to_ns": 2_000_000, "steps": (1, 99), "arrows": arrows,
        "marks": marks or [], "leading": [], "down": [], "faults": [], "hidden": Counter(),
    }  # fmt: skip
    return Told(**fields | more)  # type: ignore[arg-type]


def crowd(count: int) -> list[Arrow]:
    """So many messages between five nodes, at random."""
    stream = Stream(1, "crowd")
    found = []
    for _ in range(count):
        source, target = stream.below(5), stream.below(4)
        target += target >= source
        found.append(
            arrow(f"r{source + 1}", f"r{target + 1}", stream.below(1500), 50 + stream.below(300))
        )
    return found


def ways(svg: str) -> list[tuple[float, float, float, float]]:
    found = re.findall(r'class="way" d="M([-\d.]+) ([-\d.]+)L([-\d.]+) ([-\d.]+)"', svg)
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in found]


def test_heights_keep_the_order_of_time() -> None:
    arrows = crowd(120)
    drawn = ways(draw(told(arrows), title="crowd"))
    assert len(drawn) == len(arrows)
    moments = [(a.sent_ns, y) for a, (_, y, _, _) in zip(arrows, drawn, strict=True)]
    moments += [(a.arrived_ns, y) for a, (_, _, _, y) in zip(arrows, drawn, strict=True)]
    for (one, y), (other, below) in combinations(sorted(moments), 2):
        assert one == other or y <= below


def test_what_is_written_covers_nothing_else_that_is_written() -> None:
    svg = draw(told(crowd(120)), title="crowd")
    texts = re.findall(
        r'<text x="([-\d.]+)" y="([-\d.]+)" text-anchor="middle" '
        r'transform="rotate\(([-\d.]+) [-\d. ]+\)">([^<]+)<',
        svg,
    )
    assert len(texts) > 80, "most arrows have a name"
    spots = []
    for x, y, degrees, words in texts:
        turn = math.radians(float(degrees))
        wide = width(words)
        spots.append(
            [
                (
                    float(x) + off * wide * math.cos(turn) + 4 * math.sin(turn),
                    float(y) + off * wide * math.sin(turn) - 4 * math.cos(turn),
                )
                for off in (-0.5, -0.25, 0.0, 0.25, 0.5)
            ]
        )
    for one, other in combinations(spots, 2):
        assert min(math.dist(a, b) for a in one for b in other) > 4


def test_a_quiet_stretch_is_cut_short_and_says_so() -> None:
    early, late = arrow("r1", "r2", 0, 100), arrow("r2", "r1", 900_000, 100)
    svg = draw(told([early, late], to_ns=901_000_000), title="quiet")
    (_, _, _, below), (_, above, _, _) = ways(svg)
    assert 20 < above - below < 60
    assert '<path class="quiet"' in svg
    assert "a longer time, cut short" in svg


def test_lost_copied_and_unfinished_messages_look_different() -> None:
    arrows = [
        arrow("r1", "r2", 100, 100),
        arrow("r1", "r3", 100, 100, lost="lost on the way"),
        arrow("r1", "r2", 100, 300, copy=True),
        arrow("r1", "r2", 1900, 300),
        arrow("r1", "r1", 500, 50),
    ]
    svg = draw(told(arrows), title="kinds")
    kinds = re.findall(r'<g class="([\w ]+)"><title>what it was</title><path', svg)
    assert kinds == ["arrow", "lost", "copy", "arrow beyond", "arrow"]
    heads = svg.count('class="head"')
    assert heads == 3, "what is lost, or arrives after this part, has no head"


def test_many_faults_at_a_time_stand_side_by_side_and_inside_the_picture() -> None:
    faults = [Shown(0.0001 * i, 0.002, f"fault number {i} of many") for i in range(15)]
    svg = draw(told([arrow("r1", "r2", 0, 100)], faults=faults), title="faults")
    bars = re.findall(r'class="fault" x="([\d.]+)"', svg)
    assert len(set(bars)) == 15
    high = float(re.findall(r' height="([\d.]+)"', svg)[0])
    wide = float(re.findall(r' width="([\d.]+)"', svg)[0])
    spots = re.findall(r'<text x="([\d.]+)" y="([\d.]+)">([^<]*)<', svg)
    assert len(spots) >= 30
    assert all(float(x) + width(w) <= wide and float(y) < high for x, y, w in spots)


def test_everything_from_outside_is_escaped() -> None:
    mark = Mark("seen", "r1", 1000, 1, NASTY, NASTY)
    svg = draw(
        told(
            [arrow("r1", "r2", 0, 100)],
            [mark],
            leading=[Span("r1", 0, NEVER, NASTY)],
            faults=[Shown(0.0, 0.001, NASTY)],
        ),
        title=NASTY,
        note=NASTY,
    )
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_every_colour_of_a_diagram_is_given_for_both_themes() -> None:
    style = style_of("diagram.css")
    light, dark = style.partition("\ntext {")[0].split("@media (prefers-color-scheme: dark)")
    svg = draw(told(crowd(5)), title="colours")
    used = set(re.findall(r"var\((--\w+)\)", svg + style))
    for variable in used:
        assert f"{variable}: #" in light
        assert f"{variable}: #" in dark


def test_the_picture_in_the_docs_is_what_its_commands_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "diagrams.md"
    block = re.search(r"```sh\n(.*?)```", page.read_text("utf-8"), re.S)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    for line in block[1].splitlines():
        done = concur(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    kept = ROOT / "docs" / "images" / "raft-election.svg"
    assert kept.read_bytes() == (tmp_path / kept.name).read_bytes(), (
        f"run the commands of {page.name} again, look at what they draw, and keep it as {kept.name}"
    )
