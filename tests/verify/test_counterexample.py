"""Counter-examples: made small, told, drawn, replayed by real nodes, kept, and made a test."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines.kv import Get, Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.testing.transcripts import parse
from concur.verify.budget import Budget
from concur.verify.scenario import Scenario
from concur.verify.stories.counterexample import Counterexample, NotSo
from concur.verify.stories.minimise import needed
from concur.verify.stories.retrace import Retrace
from concur.verify.verify import verify_scenario
from tests.cli.helpers import concur, concur_json, refused
from tests.mutants.multi_paxos import P7
from tests.mutants.raft import R3, PastTheLog, SendsBeforeSync, StaleTail
from tests.mutants.viewstamped_replication import NoRecovery
from tests.verify.ping import Batching, Choosing, PingPong, Saving, Timed
from tests.verify.stamps import ByTheClock, CommitWait

ROOT = Path(__file__).parents[2]
CALM: dict[str, Any] = {"pre_vote": False, "check_quorum": False, "batch_max": 1}
PUTS = ((Put("x", "a"),), (Put("x", "b"),))
LEADERS = "at_most_one_leader_per_ballot"
VOTES: dict[str, Any] = {"commands": 0, "timeouts_max": "election=2", "faults": "crash=1"}

MUTANTS: dict[str, Scenario] = {
    LEADERS: Scenario(protocol=R3(**CALM), **VOTES),
    "votes_never_exceed_the_promise": Scenario(
        protocol=P7(batch_max=1), commands=PUTS, timeouts_max="election=2", faults="crash=1"
    ),
    "no_step_raises": Scenario(
        protocol=PastTheLog(**CALM), commands=PUTS, timeouts_max="election=1,heartbeat=1"
    ),
    "agreement": Scenario(
        protocol=NoRecovery(batch_max=1), commands=PUTS, timeouts_max="view=1", faults="crash=1"
    ),
    "linearizability": Scenario(
        protocol=PingPong(), replicas=1, clients=2, commands=((Put("x", "a"), Get("x")), ()),
        timeouts_max=0,
    ),
}  # fmt: skip
"""What breaks, and a scenario in which walks soon find out."""
NEEDED = {
    LEADERS: 8,
    "votes_never_exceed_the_promise": 5,
    "no_step_raises": 7,
    "agreement": 10,
    "linearizability": 6,
}
"""How many events it takes to break each of them."""


@cache
def found(property: str) -> Counterexample:
    """As walks come upon it."""
    scenario = MUTANTS[property]
    for seed in range(0, 100_000, 1000):
        answer = verify_scenario(
            scenario, strategy="walks", seed=seed, budget=Budget(states=20_000)
        )
        if answer.property == property:
            return Counterexample.of(scenario, answer)
    raise AssertionError(f"no seed finds {property}")


@cache
def small(property: str) -> Counterexample:
    return found(property).minimised()


def walked(scenario: Scenario, seed: int, events: int) -> Counterexample:
    """Some events in a row, of which nothing need break."""
    system = scenario.system()
    dice = Stream(seed, "some walk")
    state = next(iter(system.initial()))
    labels: list[str] = []
    for _ in range(events):
        options = system.actions(state)
        if not options:
            break
        action, state = dice.choice(options)
        labels.append(system.label(action))
    return Counterexample(scenario=scenario, property="", reason="", events=tuple(labels))


# --- small ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("property", MUTANTS)
def test_of_a_small_story_no_event_can_be_left_out(property: str) -> None:
    story = small(property)
    assert story.happens()
    assert story.property == property
    assert len(story.events) <= min(NEEDED[property], len(found(property).events))
    for left_out in range(len(story.events)):
        events = (*story.events[:left_out], *story.events[left_out + 1 :])
        again = msgspec.structs.replace(story, events=events).again()
        assert again is None or again[0] != property, f"event {left_out + 1} is not needed"
    retrace = Retrace(story.scenario)
    events_ = retrace.read(story.events, story.start).events
    assert needed(retrace, events_, property, story.start) == events_


@pytest.mark.parametrize("property", MUTANTS)
def test_its_bounds_and_its_clients_are_what_it_needs(property: str) -> None:
    scenario = small(property).scenario
    assert scenario.replicas <= MUTANTS[property].replicas
    assert scenario.clients <= MUTANTS[property].clients
    assert isinstance(scenario.timeouts_max, dict)
    rung = sum(" timer " in label for label in small(property).events)
    assert sum(scenario.timeouts_max.values()) == rung
    crashes = sum(label.endswith(": crash") for label in small(property).events)
    assert scenario.allowed()["crash"] == crashes


def test_fewer_replicas_are_enough_for_a_bug_of_one_of_them() -> None:
    assert small("votes_never_exceed_the_promise").scenario.replicas == 1
    assert small(LEADERS).scenario.replicas == 3


def test_a_client_that_asks_for_nothing_goes_and_the_other_takes_its_name() -> None:
    scenario = Scenario(
        protocol=PingPong(), replicas=1, clients=3, timeouts_max=0,
        commands=((), (), (Put("x", "a"), Get("x"))),
    )  # fmt: skip
    answer = verify_scenario(scenario, strategy="breadth-first")
    story = Counterexample.of(scenario, answer).minimised()
    assert story.scenario.clients == 1
    assert story.events[0] == "c1: asks for its command 1"
    assert story.happens()


def test_without_searches_it_is_minimal_too_and_the_same_each_time() -> None:
    story = found("agreement").minimised(0)
    assert story == found("agreement").minimised(0)
    events = Retrace(story.scenario).read(story.events).events
    assert needed(Retrace(story.scenario), events, "agreement") == events


def test_a_prologue_becomes_a_part_of_the_story() -> None:
    scenario = msgspec.structs.replace(
        MUTANTS[LEADERS], prologue=("r2 timer election",), timeouts_max="election=1"
    )
    answer = verify_scenario(scenario, strategy="breadth-first", budget=Budget(states=100_000))
    assert answer.property == LEADERS
    story = Counterexample.of(scenario, answer)
    assert not story.scenario.prologue
    assert story.events == ("r2: r2 timer election", *answer.trace)
    assert story.happens()


# --- labels ---------------------------------------------------------------------------------------

RIGHT: dict[str, Scenario] = {
    "Paxos": Scenario(protocol=Paxos(), faults="crash=1,duplicate=1"),
    "Multi-Paxos": Scenario(protocol=MultiPaxos(), faults="crash=1,wipe=1", ticks_max=1),
    "Raft": Scenario(protocol=Raft(), faults="crash=2,loss=1", timeouts_max=6, late_is_lost=False),
    "Raft in batches": Scenario(protocol=Raft(**CALM), turns=True, faults="crash", timeouts_max=4),
    "Raft with members": Scenario(
        protocol=Raft(**CALM), timeouts_max=6, spares=1, orders=("members=r1,r2,r4",)
    ),
    "Viewstamped Replication": Scenario(
        protocol=ViewstampedReplication(), faults="crash=1", timeouts_max=4
    ),
    "choices": Scenario(protocol=Choosing(), replicas=1, clients=1, faults="crash=1"),
    "turns": Scenario(protocol=Batching(), replicas=1, clients=1, turns=True),
    "snapshots": Scenario(protocol=Saving(), replicas=1, clients=1, faults="crash=1"),
    "time": Scenario(protocol=Timed(), replicas=1, clients=1, ticks_max=2),
    "wall clocks": Scenario(
        protocol=ByTheClock(), replicas=2, clients=1, clock_max=2, faults="jump=1,crash=1"
    ),
    "wall clocks that are nearly right": Scenario(
        protocol=CommitWait(), replicas=2, clients=1, clock_max=3, skew_max=1
    ),
    "hasty": Scenario(protocol=SendsBeforeSync(**CALM), faults="crash=2", timeouts_max=4),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_label_names_one_event_of_a_state(name: str) -> None:
    for seed in range(2):
        for scene in walked(RIGHT[name], seed, 40).moments()[::8]:
            assert scene.label == "" or "object at 0x" not in scene.label
        system = RIGHT[name].system()
        dice, state = Stream(seed, "labels"), next(iter(system.initial()))
        for _ in range(60):
            options = system.actions(state)
            labels = [system.label(action) for action, _ in options]
            assert len(set(labels)) == len(labels)
            if not options:
                break
            state = dice.choice(options)[1]


@pytest.mark.parametrize("name", RIGHT)
def test_following_quickly_is_following(name: str) -> None:
    story = walked(RIGHT[name], 3, 50)
    slow, fast = Retrace(story.scenario), Retrace(story.scenario)
    ending = slow.read(story.events)
    assert tuple(event.label for event in ending.events) == story.events
    quick = fast.follow(ending.events)
    assert [event.label for event in quick.events] == list(story.events)
    one, other = fast.system.parts(quick.state), slow.system.parts(ending.state)
    assert (one.locals, one.observed, one.left) == (other.locals, other.observed, other.left)
    assert sorted(map(repr, one.network)) == sorted(map(repr, other.network))


# --- real nodes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RIGHT)
def test_real_nodes_are_in_the_same_states_after_each_event(name: str) -> None:
    for seed in range(3):
        story = walked(RIGHT[name], seed, 40)
        story.replayed()  # compares all fields after each event, and raises
    half = len(story.events) // 2
    cluster = story.replayed(half)
    scene = story.moments()[half]
    nodes = [seat for host in scene.parts.locals for seat in host.seats]
    for seat, state in zip(cluster.seats.values(), nodes, strict=True):
        assert (seat.node is None) == (state.node is None)
        if seat.node is not None:
            assert seat.node.snapshot() == state.node


def test_a_difference_is_noticed() -> None:
    story = small(LEADERS)
    cluster = story.replayed()
    node = cluster.seats["r1"].node
    assert node is not None
    node.term = 7  # type: ignore[attr-defined]
    (difference,) = cluster.differences(story.moments()[-1])
    assert difference == "r1.term is 7, expected 1"


def test_another_protocol_does_not_tell_the_same_story() -> None:
    story = small(LEADERS)
    mended = msgspec.structs.replace(
        story, scenario=msgspec.structs.replace(story.scenario, protocol=Raft(**CALM))
    )
    assert story.again() == (LEADERS, story.reason)
    assert mended.again() is None
    assert not mended.happens()
    with pytest.raises(NotSo, match="cannot happen"):
        mended.moments()


# --- told and drawn -------------------------------------------------------------------------------


@pytest.mark.parametrize("property", MUTANTS)
def test_a_transcript_has_a_block_for_each_event_and_ends_with_what_is_broken(
    property: str,
) -> None:
    story = small(property)
    text = story.transcript()
    blocks, last = parse(text)
    assert len(blocks) == 1 + len(story.events)
    assert blocks[0].command.startswith("start ")
    assert blocks[0].comments[0].startswith(f"# {story.scenario.protocol.label}: how {property}")
    assert f"# BROKEN {property}: {story.reason}" in last


def test_who_does_what_can_be_read() -> None:
    text = small(LEADERS).transcript()
    forgets = text[text.index("\n\ncrash ") + 8 :][:2]
    leader, other = sorted({"r1", "r2", "r3"} - {forgets})
    for source in leader, other:
        assert f"  -> {forgets} RequestVote(term=1, name={source}, last_index=0" in text
        assert f"now voted_for = {source}" in text  # which it should have persisted
    restart = f"crash {forgets}\n----\n\nrestart {forgets}\n----\n{forgets} starts (restart)\n"
    assert f"\n\n{restart}" in text
    assert "persists voted_for" not in text


def test_what_clients_saw_is_told_in_words_and_drawn() -> None:
    text = small("linearizability").transcript()
    assert "c1 is asked to get x" in text
    ending = text[text.index("# BROKEN") :]
    assert "get" in ending
    assert "╞" in ending


@pytest.mark.parametrize("property", MUTANTS)
def test_a_diagram_is_one_file_that_needs_no_other(property: str, tmp_path: Path) -> None:
    story = small(property)
    story.diagram(tmp_path / "story.svg")
    text = (tmp_path / "story.svg").read_text("utf-8")
    drawing = ET.fromstring(text)
    names = {node.text for node in drawing.iter() if node.get("class") == "name"}
    assert {"r1", "c1", "s1"} & names
    kinds = [node.get("class") for node in drawing.iter()]
    assert kinds.count("broken") == 2  # where it breaks, and in the legend
    assert kinds.count("crashed") == sum(label.endswith(": crash") for label in story.events)
    received = sum(" -> " in label for label in story.events)
    assert kinds.count("arrow") >= received
    assert f"{property}: {story.reason.splitlines()[0]}"[:60] in "".join(drawing.itertext())
    story.diagram(tmp_path / "story.html")
    page = (tmp_path / "story.html").read_text("utf-8")
    assert "<svg" in page
    assert property in page
    assert not re.search(
        r"<script|<link|src=|url\(|https?://(?!www\.w3\.org/2000/svg)", page + text
    )


def test_a_diagram_of_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = walked(RIGHT["Raft"], 0, 40)
    monkeypatch.setattr("concur.verify.stories.picture.ITEMS_MAX", 20)
    with pytest.raises(BadInput, match="expected a story that is minimised"):
        story.diagram(tmp_path / "story.svg")
    with pytest.raises(BadInput, match=r"ends in \.svg or \.html"):
        story.diagram(tmp_path / "story.png")
    assert list(tmp_path.iterdir()) == []


# --- kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("property", MUTANTS)
def test_a_story_that_was_saved_is_the_same(property: str, tmp_path: Path) -> None:
    story = small(property)
    story.save(tmp_path / "story.json")
    again = Counterexample.load(tmp_path / "story.json", story.scenario.protocol)
    assert again == story
    assert again.happens()


def test_a_file_does_not_decide_what_is_imported(tmp_path: Path) -> None:
    small(LEADERS).save(tmp_path / "story.json")
    with pytest.raises(BadInput, match=r"expected --protocol tests\.mutants\.raft:R3"):
        Counterexample.load(tmp_path / "story.json")
    assert "expected --protocol" in refused("replay", str(tmp_path / "story.json"))


WRONG: dict[str, Any] = {
    "format": "something else",
    "version": 2,
    "events": [1],
    "machine": "os:system",
    "properties": ["beauty"],
    "commands": [[["explode"]]],
    "start": -1,
    "protocol": "raftt",
    "parameters": {"speed": 1},
    "unknown": 1,
    "scenario": {"replicas": 10**9},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_file_that_is_none_is_refused_in_one_line(field: str, tmp_path: Path) -> None:
    path = tmp_path / "story.json"
    walked(RIGHT["Raft"], 0, 5).save(path)
    told = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**told, field: WRONG[field]}), "utf-8")
    with pytest.raises(BadInput) as refusal:
        Counterexample.load(path)
    assert "\n" not in str(refusal.value)
    assert "expected" in str(refusal.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_whatever_else_is_in_a_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "story.json"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="counterexample"):
        Counterexample.load(path)
    with pytest.raises(BadInput, match="No such file"):
        Counterexample.load(tmp_path / "none.json")


# --- as a test ------------------------------------------------------------------------------------


def pytested(path: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)],
        env=environment, cwd=path.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_regression_test_fails_until_the_protocol_is_mended(tmp_path: Path) -> None:
    source = small(LEADERS).regression_test()
    path = tmp_path / "test_story.py"
    path.write_text(source, "utf-8")
    failed = pytested(path)
    assert failed.returncode == 1, failed.stdout
    assert re.search(r"r\d and r\d both lead in 1", failed.stdout)
    mended = source.replace("import R3", "import Raft").replace("protocol=R3", "protocol=Raft")
    path.write_text(mended.replace("tests.mutants.raft", "concur.protocols.raft"), "utf-8")
    passed = pytested(path)
    assert passed.returncode == 0, passed.stdout


@pytest.mark.parametrize("property", MUTANTS)
def test_a_regression_test_is_tidy(property: str, tmp_path: Path) -> None:
    path = tmp_path / "test_story.py"
    path.write_text(small(property).regression_test(), "utf-8")
    settings = ["--config", str(ROOT / "pyproject.toml"), str(path)]
    for command in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
        ruff = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *settings], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert ruff.returncode == 0, ruff.stdout
    names: dict[str, Any] = {}
    exec(path.read_text("utf-8"), names)
    assert names["STORY"] == small(property)


def test_what_cannot_be_imported_makes_no_test() -> None:
    class Here(PingPong):
        name = "here"

    with pytest.raises(BadInput, match="cannot be imported"):
        walked(Scenario(protocol=Here(), replicas=1, clients=1), 0, 3).regression_test()


# --- the command line -----------------------------------------------------------------------------


def test_concur_replay_tells_a_story_step_by_step(tmp_path: Path) -> None:
    path = str(tmp_path / "story.json")
    small(LEADERS).save(path)
    words = ("replay", path, "--protocol", "tests.mutants.raft:R3")
    done = concur(*words)
    assert done.exit_code == 0
    assert done.stdout.count("----") == 1 + len(small(LEADERS).events)
    assert f"BROKEN {LEADERS}" in done.stdout
    shown = ("--show", "r1", "--show", "r2", "--show", "r3")
    early = concur(*words, "--stop-at", "2", "--steps", "1", *shown).stdout
    assert early.count("----") == 1
    assert "BROKEN" not in early
    assert "  voted_for = 'r" in early
    drawn = tmp_path / "story.svg"
    told = concur_json(*words, "--diagram", str(drawn))
    assert (told["same"], told["property"], told["steps"]) == (True, LEADERS, 8)
    assert drawn.exists()


def test_a_story_that_is_not_so_any_more_differs(tmp_path: Path) -> None:
    path = str(tmp_path / "story.json")
    small(LEADERS).save(path)
    done = concur("replay", path, "--protocol", "raft")
    assert done.exit_code == 1
    assert done.stdout.startswith("DIFFERS event ")
    assert not concur_json("replay", path, "--protocol", "raft", status=1)["same"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--show", "r9"), "expected one of r1, r2, r3, c1"),
        (("--from", "2"), "not for a counter-example"),
        (("--stop-at", "99"), "expected an event, from 1 to 8"),
        (("--diagram", "story.png"), r"ends in \.svg or \.html"),
    ],
)
def test_wrong_questions_about_a_story_are_refused(
    words: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "story.json")
    small(LEADERS).save(path)
    assert re.search(why, refused("replay", path, "--protocol", "tests.mutants.raft:R3", *words))


# --- speed ----------------------------------------------------------------------------------------


def test_a_long_walk_is_made_small_by_hundreds_of_replays_that_cost_little() -> None:
    scenario = Scenario(
        protocol=StaleTail(**CALM), commands=PUTS, timeouts_max="election=2,heartbeat=1"
    )
    answer = verify_scenario(scenario, strategy="walks", seed=2000, budget=Budget(states=50_000))
    story = Counterexample.of(scenario, answer)
    assert len(story.minimised(0).events) <= 17 < len(story.events)


def test_the_small_story_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from tests.verify.test_counterexample import LEADERS, found\n"
        "print(*found(LEADERS).minimised(0).events, sep='\\n')"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "20")
    ]  # fmt: skip
    assert told[0] == told[1]
    assert told[0].count("\n") == 8
