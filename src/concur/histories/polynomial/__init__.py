"""Linearizability in polynomial time, one data type a file.

In general the problem is NP-complete, so each of these algorithms asks something of the history,
usually that no value is written, added or pushed twice; where that does not hold it says so, and
`concur.histories.search` decides.
"""

from concur.histories.models.kv import KvModel
from concur.histories.models.register import CasRegisterModel, RegisterModel
from concur.histories.polynomial.base import Decider, Decision
from concur.histories.polynomial.register import zones
from concur.machines.kv import KeyValue
from concur.machines.register import Register

__all__ = ["DECIDERS", "Decider", "Decision"]

DECIDERS: dict[type, dict[str, Decider]] = {
    Register: {"zones": zones},
    RegisterModel: {"zones": zones},
    CasRegisterModel: {"zones": zones},
    KeyValue: {"zones": zones},
    KvModel: {"zones": zones},
}
"""For each specification, by the names that verdicts have for them: what to try, in this order."""
