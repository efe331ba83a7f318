"""A story as a space-time diagram: nodes are lines, events run down them in their order.

Drawn by `concur.plot.diagram`, as those of simulated runs. There is no time but the order of the
events. A message that never arrives in the story plays no part in it, lost or late, and only its
beginning is drawn.
"""

from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concur.effects import (
    Complete,
    Decide,
    Effect,
    Event,
    Invoke,
    Observe,
    Ok,
    Start,
    Timer,
)
from concur.errors import BadInput
from concur.files import check_target, write_whole
from concur.parts.batching import Batching
from concur.plot.diagram import BROKEN, draw
from concur.plot.palette import style_of
from concur.plot.witness import DECIDED, ITEMS_MAX, NEVER, TITLE_MAX, Arrow, Mark, Span, Told
from concur.testing.cluster import Cluster, Seat
from concur.testing.render import Renderer
from concur.verify.stories.stepping import Stepped, step_through
from concur.verify.stories.telling import ending, headline, transcript

if TYPE_CHECKING:
    from concur.verify.stories.counterexample import Counterexample, Scene

EVENT_NS = 1_000_000
"""How far apart events are, in the nanoseconds that diagrams count."""
SUFFIXES = (".svg", ".html")


class Sketch:
    """Watches a cluster and notes what a diagram shows."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.events = -1
        self.arrows: list[Arrow] = []
        self.marks: list[Mark] = []
        self.leading: list[Span] = []
        self.down: dict[str, Span] = {}
        self.downs: list[Span] = []
        self._flying: dict[int, Arrow] = {}
        self._leads: dict[str, Span] = {}

    @property
    def at(self) -> int:
        return max(self.events, 0) * EVENT_NS

    def event(self, cluster: Stepped, scene: "Scene") -> None:
        """What became of letters and hosts in the event that has just happened."""
        action = scene.action
        gone = set(self._flying) - {letter.number for letter in cluster.letters}
        for number in sorted(gone):
            arrow = self._flying.pop(number)
            arrow.arrived_ns, arrow.late = self.at, False
            if action is not None and action.kind == "lose":
                arrow.lost = "lost on the way"
        doubled = action is not None and action.kind == "duplicate"
        for letter in cluster.letters:
            if letter.number not in self._flying:
                source, target = letter.source.partition("/")[0], letter.to.partition("/")[0]
                arrow = Arrow(
                    type(letter.message).__name__, source, target, self.at, self.events,
                    copy=doubled, late=True, message=letter.message,
                )  # fmt: skip
                self._flying[letter.number] = arrow
                self.arrows.append(arrow)
        for seat in cluster.seats.values():
            if seat.node is None and seat.id not in self.down:
                self._stops(seat.id, action.name if action is not None else "")
            elif isinstance(seat.node, Batching) and not seat.node.leads():
                self._stops_leading(seat.id)
        if action is not None and action.name == "time passes":
            self._mark("seen", cluster.hosts_[action.place].name, "time passes", "waits")

    def watch(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], before: Any
    ) -> None:
        if self.events < 0:
            self.events = 0
        write = self.renderer
        if isinstance(event, Timer):
            label = event.name if isinstance(event.name, str) else str(event.name[0])
            words = write.timer(event.path, event.name)
            self._mark("timer", seat.id, label, f"timer {words} fires")
        elif isinstance(event, Invoke):
            words = write.body(event.body)
            self._mark("asked", seat.id, words, f"is asked to {words}")
        elif isinstance(event, Start) and self.events:
            span = self.down.pop(seat.id, None)
            if span is not None:
                span.to_ns = self.at
            words = "starts, knows nothing" if event.kind == "wiped" else "restarts"
            self._mark("started", seat.id, words, f"{words} ({event.kind})")
        for effect in effects:
            self._seen(seat.id, effect)

    def _seen(self, node: str, effect: Effect) -> None:
        write = self.renderer
        if isinstance(effect, Decide):
            words = f"slot {effect.slot}: {write.command(effect.command)}"
            self._mark(DECIDED, node, str(effect.slot), f"decides {words}")
        elif isinstance(effect, Complete):
            words = write.outcome(effect.outcome)
            how = "answered" if type(effect.outcome) is Ok else "unanswered"
            self._mark(how, node, words, f"the client's command ends: {words}")
        elif isinstance(effect, Observe):
            words = " ".join(map(write.value, effect.values))
            if effect.name in ("leader", "stepped_down", "recovering"):
                self._stops_leading(node)
            if effect.name == "leader":
                self._leads[node] = Span(node, self.at, NEVER, words)
                self.leading.append(self._leads[node])
                return
            label = f"{effect.name.replace('_', ' ')} {words}".strip()
            self._mark("seen", node, label, f"observes {label}")

    def _stops(self, node: str, fault: str) -> None:
        self._stops_leading(node)
        why = "loses its disk" if fault == "wipe" else "crashes"
        self.down[node] = Span(node, self.at, NEVER, why)
        self.downs.append(self.down[node])
        self._mark("crashed", node, why, why)

    def _stops_leading(self, node: str) -> None:
        lead = self._leads.pop(node, None)
        if lead is not None:
            lead.to_ns = self.at

    def _mark(self, kind: str, node: str, label: str, title: str) -> None:
        self.marks.append(Mark(kind, node, self.at, self.events, label, title))

    # --- telling ----------------------------------------------------------------------------------

    def told(self, cluster: Stepped, story: "Counterexample", node: str) -> Told:
        """What was seen; the property breaks at `node`. Raises BadInput if it is too much."""
        items = len(self.arrows) + len(self.marks)
        if items > ITEMS_MAX:
            raise BadInput(
                f"diagram: {items} arrows and marks, at most {ITEMS_MAX} can be read; expected a "
                "story that is minimised"
            )
        self.marks.append(
            Mark(BROKEN, node, self.at + EVENT_NS // 2, self.events, "broken",
                 f"{story.property}: {story.reason}")
        )  # fmt: skip
        for arrow in self.arrows:
            content = self.renderer.value(arrow.message)
            fate = "plays no part: it does not arrive before this is broken"
            if not arrow.late:
                fate = arrow.lost or f"arrives in event {arrow.arrived_ns // EVENT_NS}"
            copy = ", a copy" if arrow.copy else ""
            arrow.title = (
                f"{arrow.name} from {arrow.source} to {arrow.target}{copy}\n"
                f"sent in event {arrow.said_step}, {fate}\n{content[:TITLE_MAX]}"
            )
        known = {mark.node for mark in self.marks}
        known |= {end for arrow in self.arrows for end in (arrow.source, arrow.target)}
        asking = [*cluster.clients, *cluster.operators]
        return Told(
            nodes=(
                *((id, id) for id in asking if id in known),
                *((id, id) for id in cluster.seats if id not in asking),
            ),
            from_ns=0,
            to_ns=self.at + EVENT_NS,
            steps=(1, self.events),
            arrows=self.arrows,
            marks=self.marks,
            leading=self.leading,
            down=self.downs,
            faults=[],
            hidden=Counter(),
            event_ns=EVENT_NS,
        )


def picture(story: "Counterexample", note: str = "") -> str:
    """The diagram as the text of an SVG file; `note` stands below its title."""
    sketch = Sketch(Renderer(story.scenario.replicated))

    def event(cluster: Stepped, scene: "Scene") -> None:
        sketch.event(cluster, scene)
        sketch.events += 1  # what nodes do from here on belongs to the next event

    cluster = step_through(story, watchers=(sketch.watch,), told=event)
    sketch.events -= 1
    last = story.moments()[-1].action
    node = cluster.hosts_[last.place].name if last is not None else cluster.hosts_[0].name
    title = f"{story.scenario.protocol.label}: {story.property} breaks"
    return draw(sketch.told(cluster, story, node), title=title, note=note)


def write_picture(story: "Counterexample", path: str | Path) -> None:
    """Write the diagram, as SVG or on an HTML page, which needs nothing else and runs nothing."""
    check_target("diagram", path)
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"diagram {path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    svg = suffix == ".svg"
    text = picture(story, f"{story.reason}.") if svg else _page(story, picture(story))
    write_whole("diagram", path, text)


def _page(story: "Counterexample", drawn: str) -> str:
    import concur

    title = f"{story.scenario.protocol.label}: {story.property} breaks"
    said = "\n".join(ending(story))
    bounds = ", ".join(f"{name} {value}" for name, value in story.scenario.bounds().items())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>\n{style_of('report.css')}</style>\n</head>\n"
        f"<body>\n<header><h1>{escape(title)}</h1></header>\n<main>\n"
        f'<section class="verdict bad"><p>{escape(" ".join(headline(story)))}</p>\n'
        f"<pre>{escape(said)}</pre>\n<p>{escape(bounds)}</p></section>\n"
        f'<section><h2>In order</h2>\n<div class="wide">{drawn}</div></section>\n'
        f"<section><h2>Step by step</h2>\n<pre>{escape(transcript(story))}</pre></section>\n"
        f"</main>\n<footer>Written by Concur {escape(concur.__version__)}.</footer>\n"
        "</body>\n</html>\n"
    )
