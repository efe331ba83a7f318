"""What breaks the rules on purpose is marked on the class and not on its base."""

import pytest

from concur.simulate.simulation import Simulation
from concur.testing import unsafe
from examples.primary_backup import PrimaryBackup, Replica

DECORATORS = [
    unsafe.send_before_durable,
    unsafe.persist_separately,
    unsafe.release_out_of_order,
]


@pytest.mark.parametrize("decorator", DECORATORS, ids=lambda decorator: decorator.__name__)
def test_only_the_subclass_is_marked(decorator: object) -> None:
    class Mutant(Replica):
        pass

    decorator(Mutant)  # type: ignore[operator]
    assert Mutant.unsafe_ == {decorator.__name__}  # type: ignore[attr-defined]
    assert Replica.unsafe_ == frozenset()


def test_marks_add_up() -> None:
    @unsafe.send_before_durable
    @unsafe.persist_separately
    class Mutant(Replica):
        pass

    assert Mutant.unsafe_ == {"send_before_durable", "persist_separately"}


def test_a_class_that_is_no_node_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a Node class"):
        unsafe.send_before_durable(PrimaryBackup)  # type: ignore[type-var]


@pytest.mark.parametrize("decorator", DECORATORS, ids=lambda decorator: decorator.__name__)
def test_without_faults_a_marked_protocol_still_works(decorator: object) -> None:
    class Mutant(Replica):
        pass

    decorator(Mutant)  # type: ignore[operator]

    class Marked(PrimaryBackup):
        def roles(self):  # type: ignore[no-untyped-def]
            first, client = super().roles()
            return (type(first)("replica", Mutant, "r"), client)

    run = Simulation(Marked(), replicas=3, clients=2).run(seconds=0.2)
    assert run.violations_ == ()
    assert run.verdict_.valid is True
