"""Linearizability in polynomial time, one data type a file.

In general the problem is NP-complete, so each of these algorithms asks something of the history,
usually that no value is written, added or pushed twice; where that does not hold it says so, and
`concur.histories.search` decides.
"""

from concur.histories.models.counter import CounterModel, FetchAddModel
from concur.histories.models.kv import KvModel
from concur.histories.models.lock import LockModel
from concur.histories.models.priority_queue import PriorityQueueModel
from concur.histories.models.queue import QueueModel
from concur.histories.models.register import CasRegisterModel, RegisterModel
from concur.histories.models.set import SetModel
from concur.histories.models.stack import StackModel
from concur.histories.polynomial.base import Decider, Decision
from concur.histories.polynomial.cas_register import blocks
from concur.histories.polynomial.fetch_add import totals
from concur.histories.polynomial.lock import holds
from concur.histories.polynomial.priority_queue import priority_queue
from concur.histories.polynomial.queue import queue
from concur.histories.polynomial.register import zones
from concur.histories.polynomial.set import values
from concur.histories.polynomial.stack import stack
from concur.machines.counter import Counter
from concur.machines.kv import KeyValue
from concur.machines.lock import Lock
from concur.machines.queue import Queue
from concur.machines.register import Register

__all__ = ["DECIDERS", "Decider", "Decision"]

DECIDERS: dict[type, dict[str, Decider]] = {
    Register: {"zones": zones, "blocks": blocks},
    RegisterModel: {"zones": zones, "blocks": blocks},
    CasRegisterModel: {"zones": zones, "blocks": blocks},
    KeyValue: {"zones": zones, "blocks": blocks},
    KvModel: {"zones": zones, "blocks": blocks},
    SetModel: {"values": values},
    Lock: {"holds": holds},
    LockModel: {"holds": holds},
    Counter: {"totals": totals},
    CounterModel: {"totals": totals},
    FetchAddModel: {"totals": totals},
    Queue: {"front": queue},
    QueueModel: {"front": queue},
    StackModel: {"peeling": stack},
    PriorityQueueModel: {"smallest": priority_queue},
}
"""For each specification, by the names that verdicts have for them: what to try, in this order."""
