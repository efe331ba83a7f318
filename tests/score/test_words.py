"""Names and spreads that fit tables and charts."""

import pytest

from concur.cli.compare import print_comparison
from concur.score.compare import Row
from concur.score.words import findings, numbered, spread
from tests.score.made import comparison, configurations, many, row, run


def test_a_few_short_labels_stay_as_they_are() -> None:
    for found in (many(24), comparison(configurations(4))):
        assert numbered(found) == (found, {})


def test_many_rows_of_one_protocol_are_numbered() -> None:
    found = comparison([row("unreplicated", 0, [run(0, 0)], baseline=True), *configurations(5)])
    short, meant = numbered(found)
    assert [r.protocol for r in short.rows] == [
        "unreplicated", *(f"multi-paxos #{i}" for i in range(1, 6)),
    ]  # fmt: skip
    assert meant["multi-paxos #5"] == "batch_max=5"
    assert [r.figures for r in short.rows] == [r.figures for r in found.rows]


def test_few_seeds_rank_nothing_and_differences_below_a_percent_are_none() -> None:
    def rows(seeds: int, *throughputs: float) -> list[Row]:
        return [
            row(f"p{at}", at, [run(at, seed, throughput=value) for seed in range(seeds)])
            for at, value in enumerate(throughputs)
        ]

    few = findings(comparison(rows(1, 100.0, 50.0)))
    assert not any("throughput" in line for line in few)
    assert any("nothing is ranked" in line for line in few)
    many = comparison(rows(4, 100.0, 99.9, 50.0), seeds=(0, 1, 2, 3))
    (said,) = [line for line in findings(many) if line.startswith("Highest throughput")]
    assert "not told apart from p1" in said
    assert "ahead of p2 by a factor of 2.0" in said


def test_two_long_labels_are_numbered_and_defaults_are_named() -> None:
    long = "multi-paxos (phase1_quorum=4, phase2_quorum=2, reads='log')"
    rows = [row("multi-paxos (defaults)", 0, [run(0, 0)]), row(long, 1, [run(1, 0)])]
    short, meant = numbered(comparison(rows))
    assert [r.protocol for r in short.rows] == ["multi-paxos #1", "multi-paxos #2"]
    assert meant["multi-paxos #1"] == "defaults"


def test_a_spread_is_a_share_of_the_median_while_that_says_something() -> None:
    near = row("near", 0, [run(0, seed, throughput=100.0 + seed) for seed in range(3)])
    assert spread(near, "throughput") == "±1%"
    far = row("far", 0, [run(0, seed, throughput=10.0 * 30**seed) for seed in range(3)])
    assert spread(far, "throughput") == "to 9,000"
    nothing = row("nothing", 0, [run(0, seed) for seed in range(3)])
    assert spread(nothing, "unavailable_s") == "±0"


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_two_dozen_configurations_fit_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_comparison(comparison(configurations(24)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "multi-paxos #24: batch_max=24" in lines
    assert sum(line.rstrip().endswith("linearizable") for line in lines) == 24
