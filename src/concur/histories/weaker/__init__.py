"""Consistency below linearizability: which of a dozen models a history has, and why."""

from concur.histories.weaker.catalogue import CONSISTENCIES, Consistency, implies, parse
from concur.histories.weaker.judge import check_consistency
from concur.histories.weaker.spectrum import Placement, Spectrum, spectrum

__all__ = [
    "CONSISTENCIES",
    "Consistency",
    "Placement",
    "Spectrum",
    "check_consistency",
    "implies",
    "parse",
    "spectrum",
]
