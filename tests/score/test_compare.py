"""`compare`: the rows, the story that all share, and what is ranked."""

from typing import Any

import pytest

from concur.errors import BadInput
from concur.faults.catalogue import Crash, Partition
from concur.faults.schedule import Schedule
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.score.compare import Comparison, Stopped, compare, execute, prepare
from concur.score.metrics import METRICS, metric
from concur.score.setting import default_seconds, load_and_machine, seeds_of, setting
from concur.score.story import fitted, hosts, shown, story, withheld
from concur.score.words import figure, findings, listed
from concur.simulate.networks import network
from concur.simulate.world import World
from tests.score.made import comparison, many, row, run

KEYS = {
    "protocol", "commands", "throughput", "latency_ms_p50", "latency_ms_p99", "latency_ms_p999",
    "messages_per_command", "bytes_per_command", "cpu_us_per_command", "unavailable_s",
    "unanswered",
    "consistency", "valid",
}  # fmt: skip

TINY: dict[str, Any] = {"seconds": 0.3, "clients": 3, "replicas": 3, "jobs": 1}


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(["unreplicated", "multi-paxos", "paxos"], **TINY, seeds=range(2))


def test_rows_have_the_keys_that_scripts_rely_on(found: Comparison) -> None:
    rows = found.as_json()["rows"]
    assert [plain["protocol"] for plain in rows] == ["unreplicated", "multi-paxos"]
    for plain in rows:
        assert plain.keys() >= KEYS
        assert plain["valid"] is True
        assert plain["consistency"] == "linearizable"
        assert isinstance(plain["commands"], int)
        assert plain["commands"] > 10
        assert 0 < plain["latency_ms_p50"] <= plain["latency_ms_p99"] <= plain["latency_ms_p999"]


def test_a_protocol_without_a_log_is_skipped_by_name(found: Comparison) -> None:
    assert list(found.skipped) == ["paxos"]
    assert "runs no log" in found.skipped["paxos"]


def test_two_seeds_give_a_spread_around_the_figure(found: Comparison) -> None:
    second = found.rows[1]
    low, high = second.spread["throughput"]
    assert low <= (second.figures["throughput"] or 0) <= high
    assert [one.seed for one in second.runs] == [0, 1]


def test_the_unreplicated_server_is_a_baseline_and_costs_least(found: Comparison) -> None:
    base, other = found.rows
    assert base.baseline
    assert not other.baseline
    cheap, dear = (r.figures["messages_per_command"] or 0.0 for r in (base, other))
    assert 0 < cheap < dear


def test_processes_change_nothing_but_the_time(found: Comparison) -> None:
    again = compare(["unreplicated", "multi-paxos"], **TINY | {"jobs": 2}, seeds=range(2))
    assert again.as_json()["rows"] == found.as_json()["rows"]


def test_the_timeline_and_the_histogram_hold_every_command(found: Comparison) -> None:
    for each in found.rows:
        for one in each.runs:
            assert sum(one.timeline) == one.metrics["commands"] == sum(one.latencies.values())


def test_ctrl_c_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Stopped) as stopped:
        compare(["unreplicated", "multi-paxos"], **TINY, progress=interrupt)
    partial = stopped.value.comparison
    assert not partial.complete
    assert [row.protocol for row in partial.rows] == ["unreplicated"]


def test_ctrl_c_among_several_seeds_keeps_those_that_every_protocol_went_through() -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Stopped) as stopped:
        compare(["unreplicated", "multi-paxos"], **TINY, seeds=range(2), progress=interrupt)
    partial = stopped.value.comparison
    assert not partial.complete
    assert [[run.seed for run in row.runs] for row in partial.rows] == [[0], [0]]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"network": "moon"}, "unknown network 'moon'"),
        ({"workload": "ycsb-z"}, "workload 'ycsb-z': unknown"),
        ({"faults": "earthquake"}, "unknown kind 'earthquake'"),
        ({"replicas": 0}, "replicas: 0, expected a whole number from 1"),
        ({"clients": -1}, "clients: -1"),
        ({"seconds": float("nan")}, "seconds: nan"),
        ({"warmup_s": 3.0}, "warmup: 3.0"),
        ({"machine": "toaster"}, "machine 'toaster': unknown"),
        ({"machine": "counter", "workload": "ycsb-a"}, "asks a kv machine"),
        ({"jobs": 0}, "jobs: 0"),
        ({"seeds": ()}, "seeds: 0 given"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    given: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concur.score.compare.run", lambda task: pytest.fail("it ran"))
    with pytest.raises(BadInput, match=r"^[^\n]*$") as refused:
        compare(["unreplicated"], **TINY | given)
    assert complaint in str(refused.value)


def test_nothing_that_runs_a_log_is_refused() -> None:
    with pytest.raises(BadInput, match="nothing to compare: paxos decides single values"):
        prepare(["paxos"])


def test_the_same_protocol_twice_is_told_apart_by_its_parameters() -> None:
    plan = prepare([MultiPaxos(), MultiPaxos(batch_max=16)])
    assert plan.labels == ("multi-paxos (defaults)", "multi-paxos (batch_max=16)")


def test_a_run_whose_protocol_raises_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(task: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("concur.score.compare.run", explode)
    with pytest.raises(RuntimeError, match="a bug"):
        execute(prepare(["unreplicated"], clients=1, seconds=0.1), jobs=1)


# --- the story ------------------------------------------------------------------------------------


def test_all_protocols_meet_the_same_faults() -> None:
    pair = [Unreplicated(), MultiPaxos()]
    told = story("all", pair, seed=3, replicas=5, clients=4, seconds=10)
    again = story("all", pair[::-1], seed=3, replicas=5, clients=4, seconds=10)
    assert told == again
    assert told.faults


def test_a_fault_on_an_absent_host_is_skipped() -> None:
    told = Schedule(
        (
            Crash(at_s=1.0, for_s=1.0, host="r3"),
            Crash(at_s=1.0, for_s=1.0, host="leader"),
            Partition(at_s=1.0, for_s=1.0, groups=(("r1", "c1"), ("r2", "c2"))),
        ),
        heal_at_s=3.0,
        core=("r1", "r2", "r3"),
    )
    mine = fitted(told, Unreplicated(), replicas=5, clients=2)
    assert mine.faults == (
        Crash(at_s=1.0, for_s=1.0, host="leader"),
        Partition(at_s=1.0, for_s=1.0, groups=(("r1", "c1"), ("c2",))),
    )
    assert fitted(told, MultiPaxos(), replicas=5, clients=2) == told


def test_what_is_not_inflicted_is_said_with_for_whom_and_why() -> None:
    asked = "crash,wipe,blackout,membership-change"
    able = [Unreplicated(), Raft(), ViewstampedReplication()]
    assert withheld(asked, able, replicas=5, clients=2) == (
        "wipe on unreplicated: a replica that lost its disk cannot come back",
        "membership-change on unreplicated: its members never change",
        "blackout on any, because of viewstamped-replication: it keeps nothing on disk",
    )
    found = compare([Raft(), MultiPaxos()], faults="membership-change,crash", **TINY)
    line = "membership-change on any, because of multi-paxos: its members never change"
    assert found.left_out == (line,)
    assert found.as_json()["faults_left_out"] == [line]
    assert found.stories[0], "but the crash is"
    for faults in ("all", "none", "crash", Schedule()):
        assert withheld(faults, able, replicas=5, clients=2) == ()


def test_nobody_to_exchange_is_said_too() -> None:
    pair = [Raft(), ViewstampedReplication()]
    assert withheld("membership-change", pair, replicas=3, clients=2) == ()
    assert withheld("membership-change", pair, replicas=3, clients=2, spares=0) == (
        "membership-change on any, because of raft and viewstamped-replication: there is nobody "
        "who could be exchanged, expected --spares of 1 or more",
    )


def test_spares_are_for_protocols_whose_members_can_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    universes = {}
    start = World.start

    def note(world: World) -> None:
        universes[world.protocol.label] = len(world.config.universe)
        start(world)

    monkeypatch.setattr(World, "start", note)
    compare([Raft(), MultiPaxos(), Unreplicated()], spares=4, faults="partition", **TINY)
    assert universes == {"raft": 7, "multi-paxos": 3, "unreplicated": 1}
    compare([Raft()], faults="membership-change", **TINY)
    assert universes["raft"] == 5, "two, where members are to change"
    compare([Raft()], **TINY)
    assert universes["raft"] == 3


def test_the_only_server_is_never_left_out_of_the_core() -> None:
    told = Schedule((), heal_at_s=3.0, core=("r2", "r3", "r4"))
    assert fitted(told, Unreplicated(), replicas=5, clients=2).core == ()


def test_hosts_are_named_as_the_world_names_them() -> None:
    assert hosts(Unreplicated(), 5, 2) == {"r1", "c1", "c2"}
    assert hosts(MultiPaxos(), 3, 1) == {"r1", "r2", "r3", "c1"}


def test_a_partition_of_many_clients_stays_short() -> None:
    clients = tuple(f"c{i}" for i in range(1, 50))
    fault = Partition(at_s=1.0, for_s=2.0, groups=(("r1", *clients), ("r2", "c50")))
    (text,) = shown(Schedule((fault,), heal_at_s=5.0))
    assert text.what == "partition r1 49 clients | r2 1 client"
    assert (text.from_s, text.to_s) == (1.0, 3.0)


# --- settings -------------------------------------------------------------------------------------


def test_a_distant_network_gets_a_longer_run() -> None:
    assert default_seconds(network("wan-5")) == 30
    assert default_seconds(network("lan")) == 5
    assert setting(network="wan-5").warmup_s == 2
    assert setting(network="lan").warmup_s == 0.5


def test_workload_and_machine_are_each_others_default() -> None:
    assert load_and_machine(None, None)[0].name == "ycsb-a"
    assert load_and_machine("counter", None)[1].name == "counter"
    assert load_and_machine(None, "lock")[0].name == "lock"


def test_seeds_are_distinct_numbers() -> None:
    assert seeds_of(7) == (7,)
    assert seeds_of(range(3)) == (0, 1, 2)
    for wrong in ((), (1, 1), (-1,)):
        with pytest.raises(BadInput):
            seeds_of(wrong)


# --- ranking and words ----------------------------------------------------------------------------

SEEDS = (0, 1, 2, 3)


def pair(first: list[float], second: list[float]) -> Comparison:
    """Two protocols with these throughputs, seed by seed."""
    rows = [
        row(name, index, [run(index, s, throughput=t) for s, t in enumerate(values)])
        for index, (name, values) in enumerate((("ape", first), ("bee", second)))
    ]
    return comparison(rows, tuple(range(len(first))))


def test_a_difference_within_the_spread_is_not_ranked() -> None:
    found = pair([100, 110, 120, 130], [90, 95, 98, 105])
    assert not found.separated(found.rows[0], found.rows[1], "throughput")
    (line,) = [text for text in findings(found) if "throughput" in text]
    assert line == (
        "Highest throughput: ape with 115 commands/s, not told apart from bee by these seeds."
    )


def test_a_difference_beyond_the_spread_is_ranked() -> None:
    found = pair([100, 110, 120, 130], [40, 50, 60, 70])
    assert found.separated(found.rows[0], found.rows[1], "throughput")
    (line,) = [text for text in findings(found) if "throughput" in text]
    assert line == "Highest throughput: ape with 115 commands/s; ahead of bee by a factor of 2.1."


def test_three_seeds_rank_nothing() -> None:
    found = pair([100, 110, 120], [40, 50, 60])
    assert not found.separated(found.rows[0], found.rows[1], "throughput")
    assert any("nothing is ranked" in line for line in findings(found))


def test_an_inconsistent_row_reports_that_and_no_number() -> None:
    rows = [row("ape", 0, [run(0, 0, valid=False)]), row("bee", 1, [run(1, 0)])]
    found = comparison(rows)
    plain = found.as_json()["rows"][0]
    assert plain["valid"] is False
    assert plain["consistency"] == "not linearizable"
    assert {plain[name] for name in METRICS if name in plain} == {None}
    assert findings(found)[0].startswith("ape is NOT LINEARIZABLE")
    assert found.valid is False


def test_a_broken_property_is_no_number_either() -> None:
    found = comparison([row("ape", 0, [run(0, 0, broken="agreement")])])
    plain = found.as_json()["rows"][0]
    assert plain["valid"] is False
    assert plain["throughput"] is None
    assert "agreement" in plain["reason"]


def test_one_bad_seed_spoils_the_row() -> None:
    runs = [run(0, 0), run(0, 1, valid=False), run(0, 2)]
    found = comparison([row("ape", 0, runs)], (0, 1, 2))
    assert found.valid is False
    assert found.rows[0].reason.startswith("seed 1: ")


def test_an_undecided_history_is_flagged_and_keeps_its_numbers() -> None:
    found = comparison([row("ape", 0, [run(0, 0, valid="unknown")])])
    assert found.valid == "unknown"
    assert found.as_json()["rows"][0]["consistency"] == "undecided"
    assert found.as_json()["rows"][0]["throughput"] == 100
    assert any("Not decided in time" in line for line in findings(found))


def test_no_command_means_no_latency() -> None:
    found = comparison([row("ape", 0, [run(0, 0, throughput=0.0)])])
    plain = found.as_json()["rows"][0]
    assert plain["throughput"] == 0
    assert plain["latency_ms_p50"] is None
    assert plain["messages_per_command"] is None


def test_a_baseline_wins_nothing() -> None:
    for line in findings(many(3, SEEDS)):
        assert not line.split(":")[-1].strip().startswith("unreplicated with")


def test_long_lists_of_names_are_cut() -> None:
    for line in findings(many(24, SEEDS)):
        assert len(line) < 320


def test_figures_have_about_three_digits() -> None:
    given = (None, 0.0, 0.123, 5.0, 12.34, 123.4, 12345.6)
    assert [figure(v) for v in given] == ["–", "0", "0.12", "5.00", "12.3", "123", "12,346"]  # noqa: RUF001
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_a_metric_has_a_unit_and_a_direction() -> None:
    assert metric("latency_ms_p99").better == "lower"
    assert metric("throughput").better == "higher"
    with pytest.raises(BadInput, match="metric 'speed': unknown, expected one of commands, "):
        metric("speed")
