"""A short campaign of fixed seeds and fixed length; `make campaign` runs a thousand."""

import pytest

from concur.protocols.viewstamped_replication import (
    ViewstampedReplication,
    ViewstampedReplicationOnDisk,
)
from concur.simulate.campaign import REQUIRED_FROM, campaign


@pytest.mark.parametrize("kind", [ViewstampedReplication, ViewstampedReplicationOnDisk])
def test_fifty_seeds_with_every_kind_of_fault_break_nothing(
    kind: type[ViewstampedReplication],
) -> None:
    found = campaign(
        kind(snapshot_every=100),
        range(REQUIRED_FROM),
        replicas=3,
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
