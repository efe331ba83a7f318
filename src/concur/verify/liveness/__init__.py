"""Liveness: what comes in the end, for protocols (`response`) and for any finite model (`fair`)."""

from concur.verify.liveness.fair import (
    AlwaysEventually,
    Eventually,
    EventuallyStable,
    LeadsTo,
    Liveness,
    WeaklyFair,
    live,
    weakly_fair,
)
from concur.verify.liveness.response import Response, responds

__all__ = [
    "AlwaysEventually",
    "Eventually",
    "EventuallyStable",
    "LeadsTo",
    "Liveness",
    "Response",
    "WeaklyFair",
    "live",
    "responds",
    "weakly_fair",
]
