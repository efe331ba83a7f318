"""Every protocol that is installed keeps the contract."""

from concur.base import Protocol
from concur.protocols import all_protocols
from concur.testing import parametrize_with_checks
from concur.testing.check import Check


@parametrize_with_checks(all_protocols())
def test_protocol_keeps_the_contract(protocol: Protocol, check: Check) -> None:
    check(protocol)  # type: ignore[arg-type]
