"""The HTML report: well-formed, self-contained, escaped, deterministic, whole or not there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from concur.errors import BadInput
from concur.files import check_target
from concur.plot import charts
from concur.plot.palette import HUES, VARIABLES, looks
from concur.plot.report import html, require_matplotlib, write_report
from concur.protocols import all_protocols
from concur.score.compare import Comparison
from tests.score.made import comparison, configurations, many, row, run

pytest.importorskip("matplotlib")

SEEDS = (0, 1, 2, 3)
NASTY = 'evil<script>alert("x")</script>&amp;'


@pytest.fixture(scope="module")
def text() -> str:
    return html(many(3, SEEDS), command="concur compare --seeds 0:4")


def tree(report: str) -> ElementTree.Element:
    return ElementTree.fromstring(report.partition("\n")[2])


def tags(report: str, name: str) -> list[ElementTree.Element]:
    return [e for e in tree(report).iter() if e.tag.rpartition("}")[2] == name]


def words(element: ElementTree.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def test_a_report_is_well_formed(text: str) -> None:
    assert text.startswith("<!DOCTYPE html>\n")
    assert tree(text).tag == "html"


def test_nothing_is_loaded_from_anywhere(text: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "that one names a format"
    assert not re.search(r"@import|@font-face|<link|<img|<iframe|\bsrc=|url\((?!#)", text)


def test_ids_are_unique_and_references_lead_to_them(text: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'href="#([^"]+)"', text) + re.findall(r"url\(#([^)]+)\)", text)
    assert set(targets) <= set(ids)


def test_a_report_says_what_was_compared(text: str) -> None:
    heading = words(tags(text, "h1")[0])
    assert heading == "unreplicated, multi-paxos and raft on wan-5"
    facts = words(tags(text, "dl")[0])
    for fact in ("ycsb-a", "leader-crash,partition", "28 s after 2 s", "4 (0 to 3)"):
        assert fact in facts
    assert "concur compare --seeds 0:4" in text


def test_the_table_has_a_row_for_each_protocol(text: str) -> None:
    table = tags(text, "table")[0]
    rows = [words(r) for r in table.iter("tr")]
    assert len(rows) == 4
    assert "baseline" in rows[1]
    assert all("linearizable" in r for r in rows[1:])
    assert table.find("caption") is not None


def test_every_chart_is_there_and_has_words(text: str) -> None:
    drawn = tags(text, "svg")
    titles = [words(e) for svg in drawn for e in svg if e.tag.endswith("title")]
    assert titles == [
        "Completed commands through the faults",
        "Throughput against latency",
        "Time without any answer",
        "Messages for a command",
        "CPU for a command, all nodes summed",
        "How long commands took",
    ]
    for svg in drawn:
        assert svg.get("role") == "img"
        (description,) = [words(e) for e in svg if e.tag.endswith("desc")]
        assert "multi-paxos: " in description


def test_a_protocol_has_one_colour_everywhere(text: str) -> None:
    look = charts.appearance(many(3, SEEDS))
    assert look["unreplicated"].variable == "--baseline"
    assert (look["multi-paxos"].variable, look["raft"].variable) == ("--hue0", "--hue1")
    for svg in tags(text, "svg"):
        drawn = ElementTree.tostring(svg, "unicode")
        assert "var(--hue0)" in drawn
        assert "var(--hue1)" in drawn
        assert "var(--hue2)" not in drawn
        assert not re.search("#0a0[bc]", drawn), "every stand-in colour became a variable"


def test_both_themes_give_every_colour() -> None:
    style = (Path(charts.__file__).parent / "palette.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for variable in VARIABLES.values():
        assert f"{variable}: #" in light
        assert f"{variable}: #" in dark


def test_two_dozen_protocols_look_different() -> None:
    chosen = looks([False] * 24)
    assert len({(look.colour, look.dash) for look in chosen}) == 24
    assert len({look.colour for look in chosen}) == len(HUES)


@pytest.mark.parametrize("count", [1, 12, 24])
def test_any_number_of_rows_can_be_shown(count: int) -> None:
    report = html(many(count, faults=30))
    assert len(list(tags(report, "table")[0].iter("tr"))) == count + 1


def test_two_dozen_rows_have_quantiles_for_curves_and_sorted_bars() -> None:
    found = many(24, SEEDS)
    report = html(found)
    drawn = {svg.get("aria-labelledby", "").split("-title")[0]: svg for svg in tags(report, "svg")}
    assert drawn.keys() == {
        "timeline", "scatter", "latency", "unavailable-s", "messages-per-command",
        "cpu-us-per-command", "bytes-per-command",
    }  # fmt: skip
    by_latency = sorted(found.rows, key=lambda row: row.figures["latency_ms_p50"] or 0.0)
    named = [words(e) for e in drawn["latency"].iter() if e.tag.endswith("text")]
    assert [name for name in named if name in {r.protocol for r in found.rows}] == [
        row.protocol for row in by_latency
    ], "each line has its name beside it, and no legend repeats it"
    assert "middle 80 %" in report
    assert "middle 80 %" not in html(many(charts.CURVES_MAX, SEEDS))
    by_cpu = sorted(found.rows, key=lambda row: row.figures["cpu_us_per_command"] or 0.0)
    named = [words(e) for e in drawn["cpu-us-per-command"].iter() if e.tag.endswith("text")]
    assert [n for n in named if n in {r.protocol for r in found.rows}] == [
        row.protocol for row in by_cpu
    ]


def test_bars_in_the_table_compare_a_column() -> None:
    found = many(12)
    report = html(found)
    values = [each.figures["throughput"] or 0.0 for each in found.rows]
    for line, value in zip(list(tags(report, "table")[0].iter("tr"))[1:], values, strict=True):
        cell = list(line)[2]
        share = 100 * value / max(values)
        assert cell.get("style") == f"--share: {share:.1f}%"


def test_many_configurations_of_one_protocol_are_numbered_and_explained() -> None:
    report = html(comparison(configurations(13)))
    assert words(tags(report, "h1")[0]) == "13 configurations on wan-5"
    lines = [words(r) for r in tags(report, "table")[0].iter("tr")][1:]
    assert lines[0].startswith("multi-paxos #1 batch_max=1 ")
    assert lines[12].startswith("multi-paxos #13 batch_max=13 ")
    assert "multi-paxos (batch_max" not in report
    about = [words(e) for e in tags(report, "li") if "multi-paxos #1," in words(e)]
    assert any("and 10 more" in line for line in about), "one summary for all that share it"


@pytest.mark.parametrize("count", [3, charts.CURVES_MAX + 1])
def test_the_longest_name_of_ours_is_whole_in_every_chart(count: int) -> None:
    longest = max((kind.name for kind in all_protocols()), key=len)
    found = many(count, SEEDS)
    first = msgspec.structs.replace(found.rows[0], protocol=longest, parameters={})
    found = msgspec.structs.replace(found, rows=(first, *found.rows[1:]))
    drawn = tags(html(found), "svg")
    assert len(drawn) >= 6
    for chart in drawn:
        shown = [words(text) for text in chart.iter() if text.tag.endswith("}text")]
        assert longest in shown
    assert len(f"{longest} #99") <= charts.NAME_MAX, "with a number too"


def test_names_from_outside_are_escaped() -> None:
    found = comparison([row(NASTY, 0, [run(0, 0)]), row("b<i>", 1, [run(1, 0, broken="a<b")])])
    report = html(found, command=NASTY)
    assert "<script>alert" not in report
    assert NASTY in words(tags(report, "table")[0])
    assert len(tags(report, "script")) == 1


def test_an_inconsistent_protocol_has_no_number_and_no_bar() -> None:
    found = comparison([row("good", 0, [run(0, 0)]), row("wrong", 1, [run(1, 0, valid=False)])])
    report = html(found)
    line = next(words(r) for r in tags(report, "tr") if "wrong" in words(r))
    assert "not linearizable" in line
    assert not re.search(r"\d", line)
    assert "Not drawn, because what it did was wrong: wrong" in report
    assert not any("wrong: " in words(svg) for svg in tags(report, "svg"))


def test_a_report_without_any_figure_can_be_written() -> None:
    report = html(comparison([row("wrong", 0, [run(0, 0, valid=False)])]))
    assert tags(report, "svg") == []


def test_a_run_without_commands_can_be_shown() -> None:
    found = comparison([row("idle", 0, [run(0, 0, throughput=0.0)])])
    assert "–" in words(tags(html(found), "table")[0])  # noqa: RUF001


def test_a_lead_is_marked_only_beyond_the_spread() -> None:
    assert 'class="best"' in html(many(3, SEEDS))
    assert 'class="best"' not in html(many(3))


def test_equal_comparisons_give_equal_reports(text: str) -> None:
    assert html(many(3, SEEDS), command="concur compare --seeds 0:4") == text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)


def test_faults_are_listed_with_their_letters(text: str) -> None:
    (faults,) = [e for e in tags(text, "ol") if e.get("class") == "faults"]
    assert [words(e) for e in faults] == [
        "A 6.0–7.5 s crash of r1",  # noqa: RUF001
        "B 8.0–9.7 s crash of r2",  # noqa: RUF001
    ]
    assert charts.letters(28)[-3:] == ["Z", "AA", "AB"]


def test_the_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    target.write_text("the old one")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(many(2), target)
    monkeypatch.undo()
    assert [f.name for f in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "the old one"
    write_report(many(2), target)
    assert target.read_text().endswith("</html>\n")
    assert [f.name for f in tmp_path.iterdir()] == ["report.html"]


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no folder"):
        check_target("report", tmp_path / "nowhere" / "report.html")
    with pytest.raises(BadInput, match="is a folder"):
        check_target("report", tmp_path)


def test_a_missing_matplotlib_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'concur-consensus\[plots\]'$"):
        require_matplotlib()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_a_browser_shows_it_and_sorts_the_table(tmp_path: Path) -> None:
    """Presses a heading in headless Chromium, and reads the page back."""
    assert CHROMIUM is not None
    found: Comparison = many(5)
    page = tmp_path / "report.html"
    press = "document.querySelectorAll('thead button')[2].click()"
    page.write_text(html(found).replace("</body>", f"<script>{press};{press}</script></body>"))
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    body = done.stdout.partition("<tbody>")[2].partition("</tbody>")[0]
    shown = re.findall(r'<th scope="row" data-value="([^"]+)"', body)
    expected = sorted(found.rows, key=lambda r: -(r.figures["throughput"] or 0.0))
    assert shown == [r.protocol for r in expected]
