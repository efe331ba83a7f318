"""Killed and stopped processes lose nothing that was acknowledged, and service comes back."""

import asyncio
from pathlib import Path

import pytest

from concur.base import Protocol
from concur.histories.check import check
from concur.protocols import all_protocols
from concur.serve.config import runs_on_tcp
from tests.serve.torture import torture

BACK_WITHIN_S = 10.0
"""How long a round may be without service: an election, and a process that starts again, on a
machine that has other things to do. The benchmark measures it; here it must not be for ever."""
LOGS = [k for k in all_protocols() if k.tags.log and k.tags.crash_tolerant and not k.tags.needs]


def go(kind: type[Protocol], directory: Path, rounds: int, seed: int) -> None:
    runs_on_tcp(kind())
    ordeal = asyncio.run(torture(directory / "cluster", kind(), rounds, seed))
    assert sum(ordeal.done.values()) == rounds
    verdict = check(ordeal.history, "kv")
    assert verdict.valid is True, verdict.reason
    assert max(ordeal.outages_s) < BACK_WITHIN_S, ordeal.outages_s
    print(kind.name, len(ordeal.history.operations()), ordeal.done, sorted(ordeal.outages_s))


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("kind", LOGS, ids=lambda kind: kind.name)
def test_a_few_rounds(kind: type[Protocol], tmp_path: Path) -> None:
    go(kind, tmp_path, rounds=2, seed=1)


@pytest.mark.campaign
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("kind", LOGS, ids=lambda kind: kind.name)
def test_a_hundred_rounds(kind: type[Protocol], tmp_path: Path) -> None:
    go(kind, tmp_path, rounds=100, seed=7)
