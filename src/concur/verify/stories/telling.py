"""A story as a transcript: the form of `concur.testing.transcripts`, so that people learn one form.

A block for each event: what happens, as the command of a transcript, a rule, and what the nodes do.
Below what transcripts print stands what else a step has changed in its node ("now role = ..."),
for much that goes wrong is nowhere written down. At the end stands what is broken, and if that is
what clients saw, their history in words.
"""

from typing import TYPE_CHECKING, Any

from concur.effects import Effect, Event, Persist, TurnEnd
from concur.histories import check, explain
from concur.node import Node
from concur.testing.cluster import Cluster, Seat
from concur.testing.render import Renderer
from concur.testing.transcripts import RULE
from concur.verify.nodes.histories import Judge
from concur.verify.stories.stepping import Stepped, step_through

if TYPE_CHECKING:
    from concur.verify.stories.counterexample import Counterexample, Scene

LINEARIZABILITY = "linearizability"
EXPLAIN_S_MAX = 2.0
"""To find out which operations show that a history of a few is not linearizable."""
VALUE_CHARS_MAX = 72
"""Of one field that has changed."""
SILENT = ("machine_state", "sessions", "incarnation", "began")
"""Fields that change with everything, or are told with the start."""


class Teller:
    """Watches a cluster and writes down each step; `lines` are those since they were last taken."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.lines: list[str] = []

    def watch(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], before: Any
    ) -> None:
        lines = [line for effect in effects for line in self.renderer.effect(effect)]
        if seat.node is not None:
            lines += self._changed(seat.node, before, effects)
        if lines or type(event) is not TurnEnd:
            self.lines.append(self.renderer.event(seat.id, event))
            self.lines += [f"  {line}" for line in lines]

    def _changed(self, node: Node[Any], before: Any, effects: list[Effect]) -> list[str]:
        """What the step has changed in memory alone."""
        on_disk = {
            change.field
            for effect in effects
            if type(effect) is Persist
            for change in effect.changes
            if not change.path
        }
        now = [
            f"{field} = {_cut(self.renderer.value(value))}"
            for field, was, value in zip(node.fields_, before[0], node.snapshot()[0], strict=False)
            if was != value and field not in on_disk and field not in SILENT
        ]
        return [f"now {', '.join(now)}"] if now else []

    def taken(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


def transcript(story: "Counterexample") -> str:
    """The story for people, from the start of the nodes to what is broken."""
    blocks, cluster = told(story)
    parts = ["\n".join(f"# {line}" for line in headline(story)), *blocks]
    last = [f"# {line}".rstrip() for line in ending(story)]
    never = len(cluster.letters)
    if never:
        last.append(f"# {never} more message{'s'[: never != 1]} sent, which had not arrived then.")
    return "\n\n".join([*parts, "\n".join(last)]) + "\n"


def told(story: "Counterexample", stop_at: int | None = None) -> tuple[list[str], Stepped]:
    """A block of text for the beginning, and for each of the first events; and the cluster then."""
    teller = Teller(Renderer(story.scenario.replicated))
    blocks: list[str] = []

    def block(cluster: Stepped, scene: "Scene") -> None:
        command = cluster.command if scene.label else _start(story)
        if cluster.failed:
            teller.lines.append(f"VIOLATED {cluster.failed}")
        blocks.append("\n".join([command, RULE, *teller.taken()]))

    cluster = step_through(story, stop_at, watchers=(teller.watch,), told=block)
    return blocks, cluster


def headline(story: "Counterexample") -> list[str]:
    """What this is a story of."""
    scenario, events = story.scenario, len(story.events)
    label = scenario.protocol.label
    clients = f"{scenario.clients} client{'s'[: scenario.clients != 1]}"
    return [
        f"{label}: how {story.property} breaks, in {events} event{'s'[: events != 1]}",
        f"with {scenario.replicas} replica{'s'[: scenario.replicas != 1]} and {clients}.",
    ]


def _start(story: "Counterexample") -> str:
    from concur.simulate.trace import address

    scenario = story.scenario
    bounds = scenario.bounds()
    settings = [f"replicas={scenario.replicas}", f"clients={scenario.clients}"]
    settings += [f"spares={scenario.spares}"] if scenario.spares else []
    settings.append(f"machine={scenario.replicated.name}")
    settings += [f"{name}={value}" for name, value in bounds["parameters"].items()]
    return f"start {address(scenario.protocol)} {' '.join(settings)}"


def ending(story: "Counterexample") -> list[str]:
    """What is broken at the end, and why."""
    lines = [f"BROKEN {story.property}: {story.reason}"]
    if story.property == LINEARIZABILITY:
        lines += ["", *history_in_words(story)]
    return lines


def history_in_words(story: "Counterexample") -> list[str]:
    """Why what the clients saw is not linearizable, with a picture of their operations."""
    system = story.scenario.system()
    judge = system.observer
    assert isinstance(judge, Judge)
    history = judge.history(story.moments()[-1].parts.observed.clients)
    verdict = check(history, judge.machine, budget_s=EXPLAIN_S_MAX)
    if verdict.valid is not False:
        return [verdict.headline]
    return str(explain(history, judge.machine, verdict, budget_s=EXPLAIN_S_MAX)).splitlines()


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[: VALUE_CHARS_MAX - 4]} ..."
