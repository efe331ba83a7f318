"""A short campaign of fixed seeds and fixed length; `make campaign` runs a thousand."""

import pytest

from concur import MultiPaxos
from concur.simulate.campaign import REQUIRED_FROM, campaign


@pytest.mark.parametrize("replicas", [3])
def test_fifty_seeds_with_every_kind_of_fault_break_nothing(replicas: int) -> None:
    found = campaign(
        MultiPaxos(snapshot_every=100),
        range(REQUIRED_FROM),
        replicas=replicas,
        faults="all",
        seconds=10.0,
        commands_min=1000,
    )
    assert found.violations == ()
    assert found.too_short == ()
    assert found.unknown == ()
    assert found.missing == ()  # everything that ought to happen in a campaign did
    assert found.exit_status == 0
    assert found.runs == REQUIRED_FROM
