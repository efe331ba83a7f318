"""What `concur check` can ask of a history: one class a kind of question."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.histories import History, Specification, Verdict
    from concur.histories.explanation import Explanation
    from concur.histories.weaker import Spectrum

LINEARIZABLE = "linearizable"
SPECTRUM = "spectrum"


class Asked(NamedTuple):
    """The options of the command line that say what is asked."""

    model: str
    checker: str
    consistency: str
    initial: str | None
    failed_cas: str
    certificate: Path | None
    verify_certificate: Path | None
    budget_s: float


class Question:
    """Is it linearizable? With a path for a certificate, which is written if it is."""

    streams = True
    """Whether it can be decided while the history is read."""

    def __init__(self, asked: Asked, machine: "Specification") -> None:
        self.asked = asked
        self.machine = machine
        self.model = machine.name

    def decide(self, history: "History") -> "Verdict":
        from concur.histories import check

        return check(history, self.machine, self.asked.budget_s)

    def explain(self, history: "History", verdict: "Verdict") -> "Explanation | None":
        """Why it is not so; None if it is."""
        from concur.histories.explanation import explain

        if verdict.valid is not False:
            return None
        return explain(history, self.machine, verdict, self.asked.budget_s)

    def keys(self) -> dict[str, Any]:
        """What JSON has besides the verdict."""
        return {}


class Certified(Question):
    """Is it linearizable, and what is the proof?"""

    streams = False

    def decide(self, history: "History") -> "Verdict":
        from concur.histories import check
        from concur.histories.certificate import write_certificate

        verdict = check(history, self.machine, self.asked.budget_s, certificate=True)
        path = self.asked.certificate
        assert path is not None
        if verdict.certificate is not None:
            write_certificate(path, history, self.machine, verdict.certificate)
        else:
            print(f"concur: there is nothing to prove, {path} is not written", file=sys.stderr)
        return verdict


class Proof(Question):
    """Does that certificate prove that it is linearizable?"""

    streams = False

    def decide(self, history: "History") -> "Verdict":
        from time import perf_counter

        from concur.histories import Verdict
        from concur.histories.certificate import read_certificate, verify

        path = self.asked.verify_certificate
        assert path is not None
        order = read_certificate(path, history, self.machine)
        started = perf_counter()
        faults = verify(history, self.machine, order)
        proved = f"the order in {path} explains every outcome, within real time"
        return Verdict(
            valid="unknown" if faults else True,
            reason=f"{path} proves nothing" if faults else proved,
            algorithm="certificate",
            operations=len(history),
            steps=len(order),
            seconds=perf_counter() - started,
            anomaly=tuple(faults),
        )


class Weaker(Question):
    """Does it keep that weaker promise?"""

    streams = False

    def decide(self, history: "History") -> "Verdict":
        from concur.histories.weaker import check_consistency

        asked = self.asked
        return check_consistency(history, self.machine, asked.consistency, asked.budget_s)


class Placed(Question):
    """Which promises does it keep?"""

    streams = False
    spectrum: "Spectrum"

    def decide(self, history: "History") -> "Verdict":
        from concur.histories import Valid, Verdict
        from concur.histories.weaker import spectrum

        self.spectrum = spectrum(history, self.machine, self.asked.budget_s)
        strongest, broken = self.spectrum[LINEARIZABLE], self.spectrum.first_broken
        statuses: dict[str, Valid] = {"holds": True, "broken": False}
        return Verdict(
            valid=statuses.get(strongest.status, "unknown"),
            reason=strongest.reason,
            algorithm=SPECTRUM,
            operations=self.spectrum.operations,
            steps=0,
            seconds=self.spectrum.seconds,
            anomaly=() if broken is None or broken.verdict is None else broken.verdict.anomaly,
            consistency=SPECTRUM,
        )

    def explain(self, history: "History", verdict: "Verdict") -> "Explanation | None":
        """Of the weakest model that is broken."""
        broken = self.spectrum.first_broken
        if broken is None or broken.verdict is None:
            return None
        return super().explain(history, broken.verdict)

    def keys(self) -> dict[str, Any]:
        models = [
            {"consistency": one.consistency, "status": one.status, "reason": one.reason}
            for one in self.spectrum.placements
        ]
        return {"models": models}


class Counted(Question):
    """What do Jepsen's smaller checkers count?"""

    streams = False

    def __init__(self, asked: Asked) -> None:
        from concur.histories.jepsen import CHECKERS

        if asked.checker not in CHECKERS:
            names = ", ".join(CHECKERS)
            raise BadInput(f"--checker {asked.checker!r}: unknown, expected one of {names}")
        self.asked = asked
        self.model = asked.checker
        self.check = CHECKERS[asked.checker]
        self.figures: dict[str, int] = {}

    def decide(self, history: "History") -> "Verdict":
        tally = self.check(history)
        self.figures = tally.figures
        return tally

    def explain(self, history: "History", verdict: "Verdict") -> None:
        """What they count says it."""

    def keys(self) -> dict[str, Any]:
        return {"figures": self.figures}


def question(asked: Asked) -> Question:
    """Raises BadInput if the options do not go together."""
    from concur.histories.models import DROPPED
    from concur.histories.models import model as named
    from concur.histories.weaker import parse

    proof = "certificate" if asked.certificate is not None else "verify-certificate"
    proving = asked.certificate is not None or asked.verify_certificate is not None
    if asked.certificate is not None and asked.verify_certificate is not None:
        raise BadInput("--certificate: expected no --verify-certificate beside it")
    if asked.checker:
        for option, given in (
            ("model", asked.model),
            ("consistency", asked.consistency != LINEARIZABLE),
            ("initial", asked.initial is not None),
            ("failed-cas", asked.failed_cas != DROPPED),
            (proof, proving),
        ):
            if given:
                raise BadInput(f"--{option}: expected none with --checker")
        return Counted(asked)
    if not asked.model:
        raise BadInput("--model: missing, expected what the operations should be those of")
    machine = named(asked.model, initial=_initial(asked.initial), failed_cas=asked.failed_cas)
    if proving and asked.consistency != LINEARIZABLE:
        raise BadInput(f"--{proof}: expected none with --consistency {asked.consistency}")
    if asked.verify_certificate is not None:
        return Proof(asked, machine)
    if asked.certificate is not None:
        return Certified(asked, machine)
    if asked.consistency == SPECTRUM:
        return Placed(asked, machine)
    if parse(asked.consistency).name == LINEARIZABLE:
        return Question(asked, machine)
    return Weaker(asked, machine)


def _initial(text: str | None) -> Any:
    import msgspec

    from concur.histories.formats.jsonl import from_json
    from concur.histories.models import UNSET

    if text is None:
        return UNSET
    try:
        return from_json(msgspec.json.decode(text)) if text else ""
    except (msgspec.DecodeError, UnicodeError, RecursionError, BadInput):
        raise BadInput(
            f'--initial: {text!r}, expected JSON such as 0, null, [1, 2], or "x" with its quotes'
        ) from None
