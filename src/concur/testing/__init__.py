"""Tests for anybody's protocol: checks, transcripts, and hands-on clusters. Public.

    from concur.testing import check_protocol
    check_protocol(MyProtocol)

`check_protocol` and `parametrize_with_checks` say whether a protocol keeps the contract;
`run_transcript` and the pytest plugin `concur.testing.plugin` replay golden transcripts; `Cluster`
and `Walk` drive nodes by hand and by dice; `concur.testing.unsafe` is for mutants.
"""

from concur.testing.check import (
    CHECKS,
    CheckSkipped,
    Report,
    check_protocol,
    parametrize_with_checks,
)
from concur.testing.cluster import Cluster, Violated
from concur.testing.subject import CheckFailed, Inapplicable, Subject
from concur.testing.walk import Walk

__all__ = [
    "CHECKS",
    "CheckFailed",
    "CheckSkipped",
    "Cluster",
    "Inapplicable",
    "Report",
    "Subject",
    "Violated",
    "Walk",
    "check_protocol",
    "parametrize_with_checks",
]
