"""`concur replay --diagram`: what is drawn is what the trace says; the rest is one clear line."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from concur.protocols.multi_paxos import MultiPaxos
from concur.simulate.world import World
from tests.cli.helpers import concur, concur_json, refused

ELECTION = (
    "simulate", "multi-paxos", "--seed", "4", "--seconds", "3", "--clients", "1", "--workload",
    "mixed:think_s=0.2", "--faults", "leader-isolation", "-p", "election_timeout_s=[0.15,0.3]",
)  # fmt: skip


@pytest.fixture(scope="module")
def election(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which the leader is cut off, another is elected, and the first hears of it."""
    file = tmp_path_factory.mktemp("election") / "election.trace"
    done = concur(*ELECTION, "--trace", str(file))
    assert done.exit_code == 0, done.output
    return file


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of many messages, in which nothing fails."""
    file = tmp_path_factory.mktemp("busy") / "busy.trace"
    done = concur("simulate", "multi-paxos", "--seconds", "0.2", "--clients", "4", "--trace",
                  str(file))  # fmt: skip
    assert done.exit_code == 0, done.output
    return file


def drawn(trace: Path, folder: Path, *options: str) -> str:
    file = folder / "run.svg"
    done = concur("replay", str(trace), "--diagram", str(file), *options)
    assert done.exit_code == 0, done.output
    assert f"wrote {file}" in done.stderr
    return file.read_text("utf-8")


def steps(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_bytes().splitlines()[1:-1]]


def titles(svg: str, kind: str) -> list[str]:
    """What rests under the arrows, or marks, of one kind."""
    found = []
    for group in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g"):
        shapes = {child.get("class") for child in group}
        if kind in (group.get("class") or "").split() and shapes & {"way", "mark", "cross"}:
            found += [group[0].text or ""] if group[0].tag.endswith("title") else []
    return found


def names(titles: list[str]) -> Counter[str]:
    return Counter(title.split()[0] for title in titles)


# --- what is drawn is what happened ---------------------------------------------------------------


def test_every_message_that_a_node_handles_is_an_arrow(busy: Path, tmp_path: Path) -> None:
    last = 140
    arrows = titles(drawn(busy, tmp_path, "--to", str(last)), "arrow")
    handled = [s for s in steps(busy)[:last] if s["e"][0] == "Deliver"]
    assert names([a for a in arrows if _step(a) <= last]) == Counter(
        step["e"][3][0] for step in handled
    )
    for arrow in arrows:
        if _step(arrow) <= last:
            event = steps(busy)[_step(arrow) - 1]
            assert event["e"][0] == "Deliver"
            first = arrow.split()
            assert (first[0], first[2], first[4]) == (event["e"][3][0], event["e"][1], event["n"])


def _step(title: str) -> int:
    found = re.search(r"handled in step (\d+)", title)
    return int(found[1]) if found else 1 << 62


def test_every_message_comes_from_the_step_that_says_it(busy: Path, tmp_path: Path) -> None:
    lines = steps(busy)
    for arrow in titles(drawn(busy, tmp_path, "--to", "120"), "arrow"):
        said = re.search(r"said in step (\d+)", arrow)
        assert said is not None
        step = lines[int(said[1]) - 1]
        assert step["n"] == arrow.split()[2]
        assert arrow.split()[0] in {o[3][0] for o in step["out"] if o[0] in ("Send", "Multicast")}


def test_what_is_lost_is_drawn_as_lost(election: Path, tmp_path: Path) -> None:
    svg = drawn(election, tmp_path)
    found = concur_json(*ELECTION)["coverage"]
    lost = titles(svg, "lost")
    assert len(lost) == found["dropped: partition"] > 5
    assert all("lost on the way" in title for title in lost)


def test_timers_decisions_and_observations_are_marked(busy: Path, tmp_path: Path) -> None:
    svg = drawn(busy, tmp_path, "--to", "140")
    lines = steps(busy)[:140]
    fired = [s["e"][2] for s in lines if s["e"][0] == "Timer"]
    assert [t.split()[2] for t in titles(svg, "timer")] == fired
    assert len(titles(svg, "asked")) == sum(s["e"][0] == "Invoke" for s in lines)
    assert any("observes campaign (1, r1)" in title for title in titles(svg, "seen"))
    slots = {
        int(slot)
        for title in titles(svg, "decided")
        if title.startswith("r1 ")
        for slot in re.findall(r"slot (\d+):", title)
    }
    assert slots == set(range(1, max(slots) + 1))


def test_two_leaders_at_a_time_have_bands_of_two_colours(election: Path, tmp_path: Path) -> None:
    svg = drawn(election, tmp_path)
    bands = re.findall(
        r"<title>(\w+) leads (\(\d+, \w+\)), from ([\d.]+)(?: to ([\d.]+))? s</title>"
        r'<rect [^>]*fill="var\((--hue\d)\)"',
        svg,
    )
    (first, _, began, ended, blue), (second, _, later, _, orange) = bands
    assert first != second
    assert blue != orange
    assert float(began) < float(later) < float(ended), "the first one did not know yet"
    (fault,) = re.findall(r"<title>(the leader \w+ cut off from [^<]*)</title>", svg)
    assert fault.startswith(f"the leader {first} ")


def test_a_stopped_node_has_a_broken_line(tmp_path: Path) -> None:
    trace = tmp_path / "run.trace"
    options = ("--seconds", "2", "--clients", "1", "--workload", "mixed:think_s=0.5")
    done = concur("simulate", "multi-paxos", *options, "--faults", "wipe", "--trace", str(trace))
    assert done.exit_code == 0, done.output
    svg = drawn(trace, tmp_path)
    (stopped,), (started,) = titles(svg, "crashed"), titles(svg, "started")
    node = stopped.split()[0]
    assert stopped.startswith(f"{node} loses its disk")
    assert started.startswith(f"{node} starts, knows nothing")
    assert svg.count('<path class="down"') == 1
    assert f"loss of the disk of {node}" in svg
    reached = [t for t in titles(svg, "lost") if f"{node} is down" in t]
    assert all(f" to {node}" in title for title in reached)


def test_arrows_never_point_back_in_time(election: Path, tmp_path: Path) -> None:
    svg = drawn(election, tmp_path)
    ways = re.findall(r'class="way" d="M[-\d.]+ ([-\d.]+)L[-\d.]+ ([-\d.]+)"', svg)
    assert len(ways) > 100
    assert all(float(start) < float(end) for start, end in ways)


def test_many_clients_share_a_line_and_named_ones_do_not(busy: Path, tmp_path: Path) -> None:
    def lines(svg: str) -> list[str]:
        return list(dict.fromkeys(re.findall(r'<text class="name"[^>]*>([^<]+)<', svg)))

    assert lines(drawn(busy, tmp_path, "--to", "140")) == ["4 clients", "r1", "r2", "r3"]
    few = drawn(busy, tmp_path, "--to", "140", "--nodes", "r1,c2", "--nodes", "c3")
    assert lines(few) == ["c2", "c3", "r1"]
    assert not any(" r2" in title for title in titles(few, "arrow"))


def test_what_is_hidden_is_counted_and_not_drawn(busy: Path, tmp_path: Path) -> None:
    whole = drawn(busy, tmp_path, "--to", "140")
    less = drawn(busy, tmp_path, "--to", "140", "--hide", "Heartbeat,HeartbeatAck,decided")
    count = names(titles(whole, "arrow"))
    assert names(titles(less, "arrow")) == count - Counter(
        {"Heartbeat": count["Heartbeat"], "HeartbeatAck": count["HeartbeatAck"]}
    )
    assert titles(less, "decided") == []
    (note,) = re.findall(r'class="note"[^>]*>([^<]*not shown[^<]*)<', less)
    assert f"{count['Heartbeat']} Heartbeat" in note


def test_times_and_steps_give_the_same_part(busy: Path, tmp_path: Path) -> None:
    lines = steps(busy)
    begin, end = lines[40 - 1]["t"], lines[90 - 1]["t"]
    by_steps = drawn(busy, tmp_path, "--from", "40", "--to", "90")
    by_time = drawn(busy, tmp_path, "--from", f"{begin}ns", "--to", f"{end / 1e6:.6f}ms")
    assert titles(by_steps, "arrow") == titles(by_time, "arrow")
    assert f"{begin / 1e9:.6f} to {end / 1e9:.6f} s, steps 40 to 90" in by_steps


def test_a_diagram_ends_where_the_replay_stops(busy: Path, tmp_path: Path) -> None:
    svg = drawn(busy, tmp_path, "--stop-at", "60")
    assert "steps 1 to 60" in svg


# --- the file -------------------------------------------------------------------------------------


def test_the_same_trace_gives_the_same_bytes_that_need_nothing_else(
    election: Path, tmp_path: Path
) -> None:
    svg = drawn(election, tmp_path)
    assert drawn(election, tmp_path) == svg
    assert set(re.findall(r"https?://[^\s\"'<>)]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|@font-face|<script|<image|\bhref=|url\(", svg)
    assert "prefers-color-scheme: dark" in svg
    assert 'fill="var(--paper)"' in svg, "it brings its own background"
    assert svg.startswith("<svg ")
    assert "multi-paxos, seed 4: " in svg


def test_with_json_the_file_is_named_on_stdout(busy: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.svg"
    found = concur_json("replay", str(busy), "--to", "50", "--diagram", str(file))
    assert found["diagram"] == str(file)
    assert found["same"] is True
    assert file.read_text().endswith("</svg>\n")


def test_a_run_that_differs_from_its_trace_is_not_drawn(
    busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        MultiPaxos, "validate", lambda self, replicas: self.set_params(heartbeat_s=0.0123)
    )
    file = tmp_path / "run.svg"
    done = concur("replay", str(busy), "--diagram", str(file))
    assert done.exit_code == 1
    assert "no diagram was written" in done.stderr
    assert not file.exists()


# --- wrong input ----------------------------------------------------------------------------------


def test_too_much_for_one_diagram_says_how_to_narrow_it(busy: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.svg"
    line = refused("replay", str(busy), "--diagram", str(file))
    assert "arrows and marks from 0.000000 to " in line
    assert "at most 400 can be read" in line
    assert "r1 at 0.00" in line, "where leaders are elected"
    assert "--hide for what there is most of: " in line
    assert not file.exists()
    (fits,) = re.findall(r"up to (--to \d+) fits", line)
    assert concur("replay", str(busy), "--diagram", str(file), *fits.split()).exit_code == 0


def test_more_lines_than_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--replicas", "17", "--clients", "3", "--seconds", "0.1", "--trace", "wide.trace")
    assert concur("simulate", "multi-paxos", *options).exit_code == 0
    wide = ("replay", "wide.trace", "--diagram", "wide.svg", "--to", "80")
    assert "17 nodes take part, at most 16 lines can be read, expected --nodes" in refused(*wide)
    assert concur(*wide, "--nodes", "r1,r2,r3,clients").exit_code == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--diagram run.svg --to 50 --hide Hartbeat", "--hide Hartbeat: no such message, timer"),
        ("--diagram run.svg --from 50 --to 40", "expected the first before the second"),
        ("--diagram run.svg --from 50 --to 1us", "expected the first before the second"),
        ("--diagram run.svg --from 3 --to 4 --nodes r3", "nothing happens from"),
        ("--diagram run.svg --hide Heartbeat --stop-at 3", "--hide Heartbeat: no such message"),
    ],
)
def test_a_part_that_is_none_gets_one_clear_line(
    options: str, complaint: str, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint in refused("replay", str(busy), *options.split())
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--diagram nowhere/run.svg", "there is no folder nowhere"),
        ("--diagram .", "is a folder"),
        ("--diagram link.svg", "is a link or a device"),
        ("--diagram run.png", "--diagram run.png: expected the name of an SVG file, as in run.svg"),
        ("--diagram -", "--diagram -: expected the name of an SVG file"),
        ("--diagram run.svg --nodes r1,r9", "--nodes r9: no such node, expected some of r1, r2, "),
        ("--diagram run.svg --nodes=", "--nodes '': an empty name, expected names and commas"),
        ("--diagram run.svg --nodes r1,,r2", "--nodes 'r1,,r2': an empty name"),
        ("--diagram run.svg --hide=", "--hide '': an empty name"),
        ("--diagram run.svg --from 99999999", "--from step 99999999: the run"),
        ("--diagram run.svg --from 77s", "--from 77 s: the run"),
        ("--diagram run.svg --to 99999999", "--to step 99999999: the run"),
        ("--diagram run.svg --from 30 --stop-at 20", "--from step 30: the run, as far as it is "),
        ("--show r9", "--show r9: no such node, expected one of r1, r2, "),
        ("--diagram run.svg --from 0", "--from '0': expected a step from 1, or a time"),
        ("--diagram run.svg --to soon", "--to 'soon': expected a step from 1, or a time"),
        ("--diagram run.svg --to 3m", "--to '3m': expected a step from 1, or a time"),
        ("--diagram run.svg --to 1e3s", "--to '1e3s': expected a step from 1, or a time"),
        ("--diagram run.svg --from 2s --to 2000ms", "expected the first before the second"),
        ("--diagram run.svg --against other.trace", "expected one of them"),
        ("--from 3", "--from: says what to draw, expected --diagram FILE.svg with it"),
        ("--nodes r1", "--nodes: says what to draw"),
        ("--hide Accept --against other.trace", "--hide: says what to draw"),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(
    options: str, complaint: str, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(World, "start", lambda self: pytest.fail("something ran"))
    link = tmp_path / "link.svg"
    link.symlink_to("elsewhere.svg")
    assert complaint in refused("replay", str(busy), *options.split())
    assert list(tmp_path.iterdir()) == [link], "nothing is written"


def test_help_shows_how_to_look_at_a_part() -> None:
    shown = " ".join(concur("replay", "--help").stdout.split())
    assert "--diagram run.svg --from 3.2s --to 3.9s" in shown
    for option in ("--diagram", "--from", "--to", "--nodes", "--hide", "--stop-at", "--show"):
        assert option in shown
