"""The search behind `concur verify`: how far it has come, and an honest answer however it ends."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.verify import Budget, Progress, Scenario, Verification
    from concur.verify.liveness.response import Response


class Search:
    """One search, which remembers how far it has come in case it is stopped between two phases."""

    def __init__(self, scenario: "Scenario") -> None:
        self.scenario = scenario
        self.states = self.transitions = self.depth = 0
        self.seconds = 0.0
        self.phase = "none"
        self.response: Response | None = None

    def run(self, ask: "Callable[[Callable[[Progress], None]], Verification]") -> "Verification":
        """What `ask` answers, which is called with a function that takes its progress."""
        from concur.cli.terminal import ticking
        from concur.verify.engine.answers import Impure
        from concur.verify.engine.interning import TooMany

        try:
            with ticking("verifying") as tell:
                return ask(partial(self.tell, tell))
        except Impure as error:
            raise BadInput(str(error)) from None
        except TooMany as error:
            return self.unfinished("states", str(error))
        except MemoryError:
            return self.unfinished("memory")
        except KeyboardInterrupt:
            return self.unfinished("interrupted")

    def holds(self, progress: "Callable[[Progress], None]", **how: Any) -> "Verification":
        """What `verify_scenario` answers, which `how` goes to."""
        from concur.verify import verify_scenario

        return verify_scenario(self.scenario, progress=progress, **how)

    def responds(
        self, strategy: Any, budget: "Budget", progress: "Callable[[Progress], None]"
    ) -> "Verification":
        from concur.verify import Verification
        from concur.verify.liveness.response import responds

        found = self.response = responds(
            self.scenario, strategy=strategy, budget=budget, progress=progress
        )
        return Verification(
            protocol=found.protocol,
            verdict=found.verdict,
            exhausted=found.exhausted,
            unique_states=found.states,
            transitions=found.transitions,
            depth=found.depth,
            seconds=found.seconds,
            bounds=found.bounds,
            covered=found.covered,
            strategy=strategy,
            property=found.property,
            reason=found.reason,
            trace=found.trace,
            stopped_by=found.stopped_by,
        )

    def tell(self, tell: Callable[[str], None], so_far: "Progress") -> None:
        self.states, self.transitions = so_far.states, so_far.transitions
        self.depth, self.seconds, self.phase = so_far.depth, so_far.seconds, so_far.phase
        tell(
            f"{so_far.phase}: {so_far.states:,} states, {so_far.states_per_second:,.0f} a second, "
            f"queue {so_far.queue:,}, depth {so_far.depth}, {so_far.seconds:.0f} s"
        )

    def unfinished(self, stopped_by: Any, reason: str = "") -> "Verification":
        """What is known if the search itself could not answer any more."""
        from concur.verify import Verification

        return Verification(
            protocol=self.scenario.protocol.label,
            verdict="unknown",
            exhausted=False,
            unique_states=self.states,
            transitions=self.transitions,
            depth=self.depth,
            seconds=self.seconds,
            bounds=self.scenario.bounds(),
            covered=f"not exhausted (stopped by {stopped_by}): at least {self.states:,} states",
            strategy=self.phase,
            reason=reason,
            stopped_by=stopped_by,
        )
