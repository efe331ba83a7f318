"""What the mutants of all protocols share: the struct, and the words for what they break."""

from typing import Any

from concur.testing.mutants import RUNS_MAX, Catch, Mutant, alarms, caught_with, hunt, smallest

SAFETY = ("agreement", "linearizability", "linearizable", "at_most_one_leader_per_ballot")
"""Properties of every protocol that runs a log; any of them counts."""

HASTY: dict[str, Any] = {"heartbeat_s": 0.02, "election_timeout_s": (0.03, 0.06)}
"""Many elections: some mutants need several of them to be at work at once."""

__all__ = [
    "HASTY",
    "RUNS_MAX",
    "SAFETY",
    "Catch",
    "Mutant",
    "alarms",
    "caught_with",
    "hunt",
    "smallest",
]
