"""Histories of our own runs, of every protocol on every machine with every fault, are linearizable.

The simulation checks its history itself; here other ways have to agree with it: the model of the
same name, a certificate, the streaming check, and a file in between.
"""

from pathlib import Path

import pytest

from concur.base import Protocol
from concur.histories import check, model, read_history, write_history
from concur.histories.certificate import verify
from concur.histories.models import MODELS
from concur.histories.stream import check_stream
from concur.machines import all_machines, machine
from concur.protocols import all_protocols
from concur.simulate.simulation import Simulation

CASES = [(protocol, kind.name) for protocol in all_protocols() for kind in all_machines()]


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_every_way_of_checking_a_run_finds_it_linearizable(
    protocol: type[Protocol], name: str, tmp_path: Path
) -> None:
    made = protocol()
    run = Simulation(made, machine=name, clients=6, seed=3).run(faults="all", seconds=3.0)
    assert run.violations_ == ()
    assert run.verdict_.valid is True
    history, specification = run.history_, machine(name)
    assert sum(op.type == "ok" for op in history.operations()) > (50 if made.tags.log else 0)

    verdict = check(history, specification, certificate=True)
    assert verdict.certificate is not None
    assert verify(history, specification, verdict.certificate) == []
    assert check(history, specification, witness=verdict.certificate).algorithm == "witness"
    assert check_stream(history.events(), specification).valid is True
    if name in MODELS:
        assert check(history, model(name)).valid is True
    for ending in ("jsonl", "edn"):
        path = str(tmp_path / f"history.{ending}")
        write_history(history, path)
        assert check(read_history(path), specification).valid is True
