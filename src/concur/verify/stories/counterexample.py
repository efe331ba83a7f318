"""Counter-examples: how a protocol breaks, as a story that people read and machines replay.

    answer = verify_scenario(scenario)
    story = Counterexample.of(scenario, answer).minimised()
    print(story.transcript())
    story.diagram("story.svg")
    story.save("story.json")
    Path("test_story.py").write_text(story.regression_test())

A story is a scenario and the labels of its events. It needs nothing of the exploration that found
it: whoever replays it asks the protocol itself what each event comes to.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from concur.errors import BadInput, ConcurError
from concur.verify.engine.system import Action, Parts
from concur.verify.scenario import Scenario
from concur.verify.stories.retrace import Retrace

if TYPE_CHECKING:
    from concur.base import Protocol
    from concur.verify.stories.stepping import Stepped
    from concur.verify.verify import Verification

MINIMISE_S = 3.0
"""Seconds that searches for a shorter story may take; the rest takes a fraction of that."""


class NotSo(ConcurError):
    """A story does not happen as it is told: the protocol, or its model, is another one."""


class Scene(NamedTuple):
    """An event of a story with the state that it leads to. The first scene has no event."""

    label: str
    action: Action | None
    parts: Parts


class Counterexample(msgspec.Struct, frozen=True, kw_only=True):
    """How `property` breaks in `scenario`: `events` are labels of transitions, in order.

    `start` counts the states in which the scenario may begin; there is usually one.
    """

    scenario: Scenario
    property: str
    reason: str
    events: tuple[str, ...]
    start: int = 0

    @classmethod
    def of(cls, scenario: Scenario, verification: "Verification") -> Self:
        """The story that a verification tells, from the very beginning on: a prologue is part of
        it, and the bounds become what it uses up.

        Raises ValueError if nothing is wrong, NotSo if it does not happen again.
        """
        from concur.verify.stories.minimise import from_the_beginning

        if verification.verdict != "violated":
            raise ValueError(f"verdict {verification.verdict!r}, expected 'violated'")
        for start in range(len(Retrace(scenario).starts)):
            told = cls(
                scenario=scenario,
                property=verification.property,
                reason=verification.reason,
                events=verification.trace,
                start=start,
            )
            if told.happens():
                return from_the_beginning(told)
        raise NotSo(f"{scenario.protocol.label}: the trace of {verification.property} cannot be "
                    "followed in a fresh model")  # fmt: skip

    # --- replaying --------------------------------------------------------------------------------

    def again(self) -> tuple[str, str] | None:
        """What breaks if these events happen once more, each that can at its turn: (property, why).

        None if nothing does, as after the protocol is mended.
        """
        retrace = Retrace(self.scenario)
        if self.start >= len(retrace.starts):
            raise BadInput(f"start: {self.start}, expected less than {len(retrace.starts)}")
        return retrace.read(self.events, self.start).broken

    def happens(self) -> bool:
        """Whether every event can happen at its turn, and the property breaks with the last."""
        ending = Retrace(self.scenario).read(self.events, self.start, strict=True)
        return len(ending.events) == len(self.events) and self._is(ending.broken)

    def _is(self, broken: tuple[str, str] | None) -> bool:
        return broken is not None and broken[0] == self.property

    def moments(self) -> tuple[Scene, ...]:
        """The states, step by step, taken apart. Raises NotSo if an event cannot happen."""
        system = self.scenario.system()
        state = list(system.initial())[self.start]
        scenes = [Scene("", None, system.parts(state))]
        for number, label in enumerate(self.events, 1):
            for action, after in system.actions(state):
                if system.label(action) == label:
                    state = after
                    scenes.append(Scene(label, action, system.parts(after)))
                    break
            else:
                raise NotSo(f"event {number} of {len(self.events)} cannot happen: {label}")
        return tuple(scenes)

    def replayed(self, stop_at: int | None = None) -> "Stepped":
        """Real nodes in a `concur.testing` cluster, after the first `stop_at` events, or all.

        Raises NotSo if they are in other states than those of the model checker.
        """
        from concur.verify.stories.stepping import step_through

        return step_through(self, stop_at)

    # --- making it small --------------------------------------------------------------------------

    def minimised(self, budget_s: float = MINIMISE_S) -> Self:
        """The same with no event too many: without any one of them, `property` does not break.

        Then with fewer replicas, clients and commands, if it breaks in no more events.
        """
        from concur.verify.stories.minimise import minimised

        return minimised(self, budget_s)

    # --- telling it -------------------------------------------------------------------------------

    def transcript(self) -> str:
        """Who does what, what comes of it, and what is broken at the end."""
        from concur.verify.stories.telling import transcript

        return transcript(self)

    def diagram(self, path: str | Path) -> None:
        """Draw the space-time diagram: an SVG file, or an HTML page with the transcript."""
        from concur.verify.stories.picture import write_picture

        write_picture(self, path)

    def regression_test(self) -> str:
        """The source of a test that fails if, and only if, this happens again."""
        from concur.verify.stories.as_source import regression_test

        return regression_test(self)

    def save(self, path: str | Path) -> None:
        """Write it as JSON. Raises BadInput if a file could not say it."""
        from concur.verify.stories.files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path, protocol: "Protocol | None" = None) -> Self:
        """What `save` wrote. Raises BadInput if the file is something else.

        A protocol that is not one of Concur's must be given: a file does not decide which module is
        imported.
        """
        from concur.verify.stories.files import load

        fields: dict[str, Any] = load(path, protocol)
        return cls(**fields)
