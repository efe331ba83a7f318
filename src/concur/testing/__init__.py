"""Tests for anybody's protocol: checks, transcripts, and hands-on clusters. Public.

    from concur.testing import check_protocol
    check_protocol(MyProtocol)

`check_protocol` and `parametrize_with_checks` say whether a protocol keeps the contract;
`run_transcript` and the pytest plugin `concur.testing.plugin` replay golden transcripts; `Cluster`
and `Walk` drive nodes by hand and by dice, and `Reach` says which handlers they ran. `Mutant`,
`hunt` and `killed_by` are for protocols broken on purpose, with `concur.testing.unsafe`. Strategies
for Hypothesis are in `concur.testing.strategies`. All of it, by example: `docs/testing.md`.
"""

from concur.testing.check import (
    CHECKS,
    CheckSkipped,
    Report,
    check_protocol,
    killed_by,
    parametrize_with_checks,
)
from concur.testing.cluster import Cluster, Violated
from concur.testing.mutants import Catch, Mutant, hunt
from concur.testing.reach import Handler, Reach
from concur.testing.subject import CheckFailed, Inapplicable, Subject
from concur.testing.transcripts import run_transcript
from concur.testing.walk import Walk

__all__ = [
    "CHECKS",
    "Catch",
    "CheckFailed",
    "CheckSkipped",
    "Cluster",
    "Handler",
    "Inapplicable",
    "Mutant",
    "Reach",
    "Report",
    "Subject",
    "Violated",
    "Walk",
    "check_protocol",
    "hunt",
    "killed_by",
    "parametrize_with_checks",
    "run_transcript",
]
