"""How far `concur verify` gets on the protocols of the house, and what each reduction brings.

    python benchmarks/verify_protocols.py                     every row, at most 60 s each
    python benchmarks/verify_protocols.py --budget-s 600      the same, ten minutes each
    python benchmarks/verify_protocols.py --only raft         some: by a part of the first column
    python benchmarks/verify_protocols.py --factors           what each reduction brings

Three replicas everywhere. "holds" stands where all was explored within the bounds of the row: any
order of messages, any of them late or lost, up to three copies of each on their way. With
"duplicate=servers" what replicas send each other may also be delivered any number of times. Timers
ring as often as the row says and others never; commands are puts of one client, which opens its
session first. Each row runs in a process of its own; `MB` is the most memory that it had, `canary`
a fixed pure-Python loop in it, right after.
"""

import argparse
import resource
import subprocess
import sys
from typing import Any

import canary

from concur.machines.kv import Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.verify import Budget, Scenario, verify_scenario
from concur.verify.reductions.cross_check import cross_check

PLAIN_RAFT: dict[str, Any] = {
    "pre_vote": False,
    "check_quorum": False,
    "batch_max": 1,
    "window_max": 1,
    "reads": "log",
}
LEADER = ("r1 timer election", "quiet")
FIRST = ("c1: asks for its command 1", "quiet")
UNIT = 1 if sys.platform == "darwin" else 1024
"""What `ru_maxrss` counts in, bytes."""


def of(protocol: Any, commands: int, timeouts: Any, faults: str = "", **more: Any) -> Scenario:
    """A scenario with one client that puts so many different values, one after the other."""
    puts = tuple(Put("x", f"v{at}") for at in range(commands))
    return Scenario(
        protocol=protocol,
        clients=1,
        commands=(puts,),
        timeouts_max=timeouts,
        faults=faults,
        **more,
    )


def two_proposers(timeouts: Any, faults: str) -> Scenario:
    return Scenario(protocol=Paxos(), clients=2, commands=2, timeouts_max=timeouts, faults=faults)


SERVERS = "duplicate=servers"
MULTI = MultiPaxos(batch_max=1)
RAFT = Raft(**PLAIN_RAFT)
VR = ViewstampedReplication(batch_max=1)
BOTH = "election@r1=1,election@r2=1"

ROWS: dict[str, Scenario] = {
    "paxos, 2 proposers": two_proposers(0, SERVERS),
    "paxos, 2 proposers, crash": two_proposers(0, f"{SERVERS},crash=1"),
    "paxos, 2 proposers, 1 new ballot": two_proposers("ballot=1", SERVERS),
    "paxos, 2 proposers, 1 new ballot, crash": two_proposers("ballot=1", f"{SERVERS},crash=1"),
    "multi-paxos, 2 leaders": of(MULTI, 0, "election=2", SERVERS),
    "multi-paxos, 2 leaders, crash": of(MULTI, 0, "election=2", f"{SERVERS},crash=1"),
    "multi-paxos, 1 command, 1 leader": of(MULTI, 1, "election=1", SERVERS),
    "multi-paxos, 1 command, 1 leader, crash": of(MULTI, 1, "election=1", f"{SERVERS},crash=1"),
    "multi-paxos, 2 commands, 1 leader": of(MULTI, 2, "election=1", SERVERS),
    "multi-paxos, 1 command, r1 then r2 lead": of(MULTI, 1, BOTH, SERVERS),
    "multi-paxos, 2 commands, r1 then r2 lead": of(MULTI, 2, BOTH, SERVERS),
    "raft, 2 terms": of(RAFT, 0, "election=2"),
    "raft, 1 term, crash": of(RAFT, 0, "election=1", "crash=1"),
    "raft, 1 command, 1 term": of(RAFT, 1, "election=1"),
    "raft, 1 command, 1 term, crash": of(RAFT, 1, "election=1", "crash=1"),
    "raft, 2 commands, 1 term": of(RAFT, 2, "election=1"),
    "raft, 1 command, r1 then r2 lead": of(RAFT, 1, BOTH),
    "raft, 2 commands, r1 then r2 lead": of(RAFT, 2, BOTH),
    "vr, 2 views": of(VR, 0, "view=1", SERVERS),
    "vr, 1 command, 1 view, crash": of(VR, 1, 0, f"{SERVERS},crash=1"),
    "vr, 2 commands, 1 view": of(VR, 2, 0, SERVERS),
    "vr, 1 command, 2 views": of(VR, 1, "view=1", SERVERS),
    "vr, 2 commands, 2 views": of(VR, 2, "view=1", SERVERS),
}

FACTORS: dict[str, Scenario] = {
    "paxos, 2 proposers": two_proposers(0, ""),
    "paxos, 2 proposers, duplicate=servers": two_proposers(0, SERVERS),
    "multi-paxos, 2 leaders": of(MULTI, 0, "election=2"),
    "multi-paxos, 2 leaders, duplicate=servers": of(MULTI, 0, "election=2", SERVERS),
    "raft, 1 command, 1 term": of(Raft(pre_vote=False, check_quorum=False), 1, "election=1"),
    "raft, 2 terms": of(Raft(pre_vote=False, check_quorum=False), 0, "election=2"),
    "vr, 2 views": of(VR, 0, "view=1"),
    "vr, 2 views, duplicate=servers": of(VR, 0, "view=1", SERVERS),
}


def run(name: str, budget_s: float) -> None:
    """One row, in this process."""
    answer = verify_scenario(
        ROWS[name], strategy="breadth-first", budget=Budget(budget_s, bytes=12 << 30)
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6
    stopped = f" ({answer.stopped_by}, depth {answer.depth})" if answer.stopped_by else ""
    print(
        f"{name:42} {answer.verdict + stopped:28} {answer.unique_states:>11,} "
        f"{answer.transitions:>12,} {answer.seconds:>7.1f} s {memory:>6.0f} MB   "
        f"{answer.unique_states / max(answer.seconds, 1e-9):>8,.0f}/s   "
        f"{canary.loop_s():.3f}",
        flush=True,
    )


def factors(name: str, budget_s: float) -> None:
    """One scenario without reductions, with each of them, and with all.

    The first line is the plain search, which is quicker for each state than the one with reductions
    is when all of them are off.
    """
    print(f"\n{name}  (canary {canary.loop_s():.3f} s)")
    budget = Budget(budget_s, bytes=12 << 30)
    for reductions in ("none", "all"):
        answer = verify_scenario(
            FACTORS[name], strategy="breadth-first", reductions=reductions, budget=budget
        )
        words = f"concur verify --reductions {reductions}"
        print(
            f"{words:42} {answer.unique_states:>10,} {answer.transitions:>12,} "
            f"{answer.seconds:>8.2f}  {answer.verdict}",
            flush=True,
        )
    print(cross_check(FACTORS[name], budget), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget-s", type=float, default=60.0, help="of each row")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--factors", action="store_true", help="what each reduction brings")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    table = FACTORS if asked.factors else ROWS
    if asked.row:
        (factors if asked.factors else run)(asked.row, asked.budget_s)
        return
    if not asked.factors:
        print(f"{'3 replicas':42} {'verdict':28} {'states':>11} {'transitions':>12}")
    for name in table:
        if asked.only in name:
            more = ["--factors"] if asked.factors else []
            command = [sys.executable, __file__, "--row", name, "--budget-s", str(asked.budget_s)]
            subprocess.run([*command, *more], check=True)


if __name__ == "__main__":
    main()
