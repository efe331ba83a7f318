"""What a checker answers."""

from typing import Literal

import msgspec

Valid = bool | Literal["unknown"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a checker.

    `valid` is True, False or "unknown"; do not use it as a condition without comparing, since
    "unknown" is a true string. `reason` is one line. `algorithm` names what decided, `operations`
    counts what the history held, `steps` what a search tried (the same on every machine), and
    `seconds` is wall time. `anomaly` says, line by line, what cannot be explained, if anything;
    `core` has the numbers of operations that cannot be explained together whatever became of all
    others, if the algorithm knows them. `certificate` has, on demand, the numbers of operations in
    an order that explains all.
    """

    valid: Valid
    reason: str
    algorithm: str
    operations: int
    steps: int
    seconds: float
    anomaly: tuple[str, ...] = ()
    core: tuple[int, ...] = ()
    certificate: tuple[int, ...] | None = None
    consistency: str = "linearizable"

    @property
    def headline(self) -> str:
        """One line: whether it is so, and why."""
        names = {True: "valid", False: "INVALID", "unknown": "unknown"}
        return f"{names[self.valid]}: {self.reason}"

    def details(self) -> tuple[str, ...]:
        """The lines that follow."""
        return self.anomaly

    def __str__(self) -> str:
        return "\n".join((self.headline, *self.details()))
