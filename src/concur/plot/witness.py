"""What happens in one part of a run, as a space-time diagram shows it.

A `Witness` is a recorder: it takes down the lines of a trace as every recorder does, and listens to
the verbs of that one world besides (what leaves a node, what arrives, who stops and starts, what
becomes visible). Nothing listens in a run that is not drawn. A message is known by its identity:
the object that was sent is the object that arrives, and of equal ones on one link the first sent is
taken for the first to arrive.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from concur.effects import (
    Complete,
    Decide,
    Deliver,
    Effect,
    Event,
    Invoke,
    Multicast,
    Observe,
    Ok,
    Send,
    Start,
    Timer,
)
from concur.errors import BadInput
from concur.faults.catalogue import hosts_of
from concur.parts.batching import Batching
from concur.score.story import Shown, in_words
from concur.simulate.trace import Recorder
from concur.testing.render import Renderer

if TYPE_CHECKING:
    from concur.simulate.hosts import Envelope, Place
    from concur.simulate.world import World

NEVER = 1 << 62
ITEMS_MAX = 400
"""Arrows and marks that one diagram holds; with more, nobody could read it."""
LINES_MAX = 16
"""Lines of nodes that fit side by side."""
TITLE_MAX = 2000
"""Characters of a message that are shown when the mouse rests on it."""
DECIDED = "decided"
CLIENTS = "clients"
CLIENTS_MAX = 2
"""So many clients have a line each; more share one."""


class Bound(msgspec.Struct, frozen=True):
    """An end of the part: a step, as `concur replay --stop-at` counts them, or a time."""

    step: int | None = None
    ns: int | None = None

    def __str__(self) -> str:
        return f"step {self.step}" if self.ns is None else f"{self.ns / 1e9:g} s"


class Arrow(msgspec.Struct, gc=False):
    """A message on its way. `lost` says why it never arrives; it is a `copy` if it comes twice.

    One that is `late` need not arrive for what is told, and only its beginning is drawn.
    """

    name: str
    source: str
    target: str
    sent_ns: int
    said_step: int
    arrived_ns: int = NEVER
    handled_step: int = 0
    lost: str = ""
    copy: bool = False
    late: bool = False
    message: Any = None
    title: str = ""


class Mark(msgspec.Struct, gc=False):
    """Something that happens at one node. `slots` are the first and the last that it decides."""

    kind: str
    node: str
    ns: int
    step: int
    label: str
    title: str
    slots: tuple[int, int] | None = None


class Span(msgspec.Struct, gc=False):
    """A time that a node spends leading, or down; `label` is its ballot, term or view, or why."""

    node: str
    from_ns: int
    to_ns: int
    label: str


class Told(msgspec.Struct, frozen=True):
    """All that one diagram shows, in the order in which it happened.

    `event_ns` is 0 if times are times; else events are so far apart, and only their order is known.
    """

    nodes: tuple[tuple[str, str], ...]
    from_ns: int
    to_ns: int
    steps: tuple[int, int]
    arrows: list[Arrow]
    marks: list[Mark]
    leading: list[Span]
    down: list[Span]
    faults: list[Shown]
    hidden: Counter[str]
    event_ns: int = 0


def refuse_node(name: str, nodes: Iterable[str], clients: tuple[str, ...]) -> NoReturn:
    """Raise the BadInput for a node that does not exist."""
    known = [id for id in nodes if id not in clients]
    known += [f"{clients[0]} to {clients[-1]}" if len(clients) > 1 else clients[0]]
    raise BadInput(
        f"--nodes {name}: no such node, expected some of {', '.join(known)}, or {CLIENTS} for all "
        "of those"
    )


class Witness(Recorder):
    """Takes down what happens between two bounds at some nodes, but for what is hidden.

    `nodes` are ids, or `clients` for all of those; none means all. `hide` names messages, timers,
    observations, or `decided`.
    """

    def __init__(
        self,
        *,
        begin: Bound | None = None,
        end: Bound | None = None,
        nodes: tuple[str, ...] = (),
        hide: tuple[str, ...] = (),
    ) -> None:
        super().__init__(_nowhere)
        self._first, self._last = begin, end
        self._chosen, self._hide = nodes, hide
        self.from_ns = NEVER if begin and begin.ns is None else (begin and begin.ns) or 0
        self.to_ns = NEVER if end is None or end.ns is None else end.ns
        self._steps = [0, 0]
        self._time = 0
        self._items = 0
        self._counted: Counter[str] = Counter()
        self._names: set[str] = {DECIDED}
        self._hidden: Counter[str] = Counter()
        self._fits = (0, 0)
        self._arrows: list[Arrow] = []
        self._marks: list[Mark] = []
        self._leads: list[Span] = []
        self._leading: dict[str, Span] = {}
        self._elected: list[tuple[int, str]] = []
        self._downs: list[Span] = []
        self._down: dict[str, Span] = {}
        self._faults: list[Shown] = []
        self._on_way: dict[tuple[int, str, str], deque[tuple[Arrow, bool]]] = {}
        self._in_inbox: dict[tuple[int, str, str], deque[Arrow]] = {}
        self._dropped = self._doubled = self._withheld = 0
        self._said: dict[int, int] = {}
        self._ended = False

    def attend(self, take: Callable[[bytes], None]) -> "Witness":
        """This witness, as the recorder whose lines `take` gets."""
        self._take = take
        return self

    # --- listening --------------------------------------------------------------------------------

    def begin(self, simulation: Any, *given: Any) -> None:
        super().begin(simulation, *given)
        world: World = simulation.world_
        self._world = world
        self._write = Renderer(world.machine)
        self._nodes = self._wanted(world)
        _listen(world, "transmit", self._transmitted)
        _listen(world, "observe", self._observed)
        _listen(world, "crash", self._crashed)
        _listen(world, "break_stream", self._stream_broke)
        _listen(world, "_begin", self._fault_began)
        for place in world.places.values():
            _listen(place, "arrive", self._arrived, before=True)

    def _wanted(self, world: "World") -> frozenset[str]:
        """The ids of the nodes whose doings are wanted. Raises BadInput for an unknown one."""
        clients = world.config.role("client")
        wanted: list[str] = []
        for name in self._chosen or world.places:
            if name != CLIENTS and name not in world.places:
                refuse_node(name, world.places, clients)
            wanted += clients if name == CLIENTS else (name,)
        return frozenset(wanted)

    def end(self, simulation: Any) -> None:
        super().end(simulation)
        self._ended = True

    def step(self, world: "World", place: "Place", event: Event, effects: list[Effect]) -> None:
        self._notes(world, place, event, effects)
        super().step(world, place, event, effects)  # where a replay stops, this does not return

    def _notes(self, world: "World", place: "Place", event: Event, effects: list[Effect]) -> None:
        at = self._time = place.host.clock
        number = world.steps
        begin, end = self._first, self._last
        if begin and begin.step == number:
            self.from_ns = at
        if end and end.step == number:
            self.to_ns = at
        if self.from_ns <= at <= self.to_ns:
            self._steps[0] = self._steps[0] or number
            self._steps[1] = number
        lead = self._leading.get(place.id)
        if lead and isinstance(place.node, Batching) and not place.node.leads():
            self._stops_leading(place.id, at)
        for effect in effects:
            if type(effect) is Send or type(effect) is Multicast:
                self._said[id(effect.message)] = number
        kind = type(event)
        if kind is Deliver:
            to = f"{place.id}/{event.path}" if event.path else place.id  # type: ignore[union-attr]
            key = (id(event.message), event.source, to)  # type: ignore[union-attr]
            waiting = self._in_inbox.get(key)
            if waiting:
                waiting.popleft().handled_step = number
                if not waiting:
                    del self._in_inbox[key]
        elif kind is Timer:
            name = event.name  # type: ignore[union-attr]
            label = str(name[0]) if isinstance(name, tuple) else name
            words = self._write.timer(event.path, name)  # type: ignore[union-attr]
            self._mark("timer", place.id, at, label, words, f"timer {words} fires")
        elif kind is Invoke:
            asked = self._write.body(event.body)  # type: ignore[union-attr]
            self._mark("asked", place.id, at, "Invoke", asked, f"is asked to {asked}")
        elif kind is Start and event.kind != "new":  # type: ignore[union-attr]
            self._starts(place.id, at, event.kind)  # type: ignore[union-attr]

    # --- messages ---------------------------------------------------------------------------------

    def _transmitted(
        self, place: "Place", to: str, effect: Send | Multicast, size: int, at: int
    ) -> None:
        message, path = effect.message, effect.path
        count = self._world.count
        partition, loss = count["dropped: partition"], count["dropped: loss"]
        dropped = partition + loss + count["dropped: no such node"]
        doubled = count["duplicated"]
        lost = dropped > self._dropped
        copies = 1 + (doubled > self._doubled)
        self._dropped, self._doubled = dropped, doubled
        name = type(message).__name__
        self._names.add(name)
        target = to.partition("/")[0]
        if place.id not in self._nodes or target not in self._nodes:
            return
        if name in self._hide:
            self._hides(name, at)
            return
        source = f"{place.id}/{path}" if path else place.id
        for number in range(copies):
            said = self._said.get(id(message), 0)
            arrow = Arrow(name, place.id, target, at, said, message=message)
            arrow.copy = number > 0
            inside = self.from_ns <= at <= self.to_ns
            if lost:
                arrow.lost = "lost on the way"
            else:
                key = (id(message), source, to)
                self._on_way.setdefault(key, deque()).append((arrow, inside))
            if inside:
                self._add(self._arrows, arrow, name, at)

    def _arrived(self, envelope: "Envelope") -> None:
        place, message, _, source, path = envelope
        if not source:
            return  # another event
        host = place.host
        to = f"{place.id}/{path}" if path else place.id
        key = (id(message), source, to)
        flying = self._on_way.get(key)
        if not flying:
            return
        arrow, known = flying.popleft()
        if not flying:
            del self._on_way[key]
        at = arrow.arrived_ns = self._world.now
        if not host.up:
            arrow.lost = f"{host.name} is down"
        else:
            self._in_inbox.setdefault(key, deque()).append(arrow)
        if not known and self.from_ns <= at <= self.to_ns:
            self._add(self._arrows, arrow, arrow.name, at)

    def _stream_broke(self, link: Any, *, up: bool = False) -> None:
        """What was on its way on a stream is gone."""
        places = self._world.places
        ends = link.source, link.target
        for key, flying in list(self._on_way.items()):
            arrow = flying[0][0]
            pair = places[arrow.source].host.name, places[arrow.target].host.name
            if link.stream and pair == ends:
                for broken, _ in self._on_way.pop(key):
                    broken.lost = "the stream broke"

    # --- what nodes do ----------------------------------------------------------------------------

    def _observed(self, place: "Place", effect: Any, at: int) -> None:
        kind, node = type(effect), place.id
        if kind is Decide:
            self._decides(node, effect, at)
        elif kind is Complete:
            words = self._write.outcome(effect.outcome)
            how = "answered" if type(effect.outcome) is Ok else "unanswered"
            self._mark(how, node, at, "Complete", words, f"the client's command ends: {words}")
        elif kind is Observe:
            words = " ".join(map(self._write.value, effect.values))
            if effect.name == "leader":
                self._stops_leading(node, at)
                self._leading[node] = lead = Span(node, at, NEVER, words)
                self._leads.append(lead)
                self._elected.append((at, node))
                return
            if effect.name in ("stepped_down", "recovering"):
                self._stops_leading(node, at)
            label = f"{effect.name.replace('_', ' ')} {words}".strip()
            self._mark("seen", node, at, effect.name, label, f"observes {label}")

    def _decides(self, node: str, effect: Decide, at: int) -> None:
        words = f"slot {effect.slot}: {self._write.command(effect.command)}"
        last = self._marks[-1] if self._marks else None
        follows = (
            last is not None
            and last.slots is not None
            and (last.node, last.ns, last.step) == (node, at, self._world.steps)
            and last.slots[1] in (effect.slot, effect.slot - 1)
        )
        if follows and last is not None and last.slots is not None:
            first = last.slots[0]
            last.slots = (first, effect.slot)
            last.label = str(first) if first == effect.slot else f"{first}–{effect.slot}"  # noqa: RUF001
            if len(last.title) < TITLE_MAX:
                last.title += f"\n{words}"
            return
        title = f"decides {words}"
        self._mark(DECIDED, node, at, DECIDED, str(effect.slot), title, (effect.slot, effect.slot))

    def _stops_leading(self, node: str, at: int) -> None:
        lead = self._leading.pop(node, None)
        if lead is not None:
            lead.to_ns = at

    def _crashed(self, host: str, *, torn: bool = False, wiped: bool = False) -> None:
        at = self._world.now
        for place in self._world.hosts[host].places:
            if self._world.hosts[host].up or place.id in self._down:
                continue
            self._stops_leading(place.id, at)
            why = "loses its disk" if wiped else "crashes in a sync" if torn else "crashes"
            self._down[place.id] = span = Span(place.id, at, NEVER, why)
            self._downs.append(span)
            self._mark("crashed", place.id, at, "crash", why, why)

    def _starts(self, node: str, at: int, kind: str) -> None:
        span = self._down.pop(node, None)
        if span is not None:
            span.to_ns = at
        words = "starts, knows nothing" if kind == "wiped" else "restarts"
        self._mark("started", node, at, "restart", words, f"{words} ({kind})")

    def _fault_began(self, argument: Any) -> None:
        fault, end_ns = argument
        count = self._world.count
        withheld = sum(n for key, n in count.items() if key.startswith("withheld: "))
        happened, self._withheld = withheld == self._withheld, withheld
        if happened:
            what = in_words(fault)
            if "leader" in hosts_of(fault) and self._world.leader:
                what = what.replace("leader", f"leader {self._world.leader}", 1)
            begin_ns = self._world.now
            if type(fault).momentary:
                end_ns = begin_ns
            self._faults.append(Shown(begin_ns / 1e9, end_ns / 1e9, what))

    # --- keeping ----------------------------------------------------------------------------------

    def _mark(
        self,
        kind: str,
        node: str,
        at: int,
        name: str,
        label: str,
        title: str,
        slots: tuple[int, int] | None = None,
    ) -> None:
        self._names.add(name)
        if node not in self._nodes:
            return
        if name in self._hide:
            self._hides(name, at)
        elif self.from_ns <= at <= self.to_ns:
            mark = Mark(kind, node, at, self._world.steps, label, title, slots)
            self._add(self._marks, mark, name, at)

    def _hides(self, name: str, at: int) -> None:
        if self.from_ns <= at <= self.to_ns:
            self._hidden[name] += 1

    def _add(self, items: list[Any], item: Any, name: str, at: int) -> None:
        self._counted[name] += 1
        self._items += 1
        if self._items <= ITEMS_MAX:
            items.append(item)
        if self._items <= ITEMS_MAX * 3 // 4:  # what is sent by then has still to arrive
            self._fits = (self._world.steps, at)

    # --- telling ----------------------------------------------------------------------------------

    def told(self) -> Told:
        """What was seen. Raises BadInput if that is nothing, or more than anybody could read."""
        begin, end = self._first, self._last
        ran = f"the run, as far as it was replayed, ends at step {self.steps}, {_s(self._time)} s"
        if begin and (self.from_ns == NEVER or self.from_ns > self._time):
            raise BadInput(f"--from {begin}: {ran}")
        if end and end.step is not None and self.to_ns == NEVER:
            raise BadInput(f"--to {end}: {ran}")
        if self.from_ns > self.to_ns:
            raise BadInput(f"--from {begin} and --to {end}: expected the first before the second")
        unknown = [name for name in self._hide if name not in self._names]
        if unknown:
            raise BadInput(
                f"--hide {unknown[0]}: no such message, timer or observation in this run, expected "
                f"some of {', '.join(sorted(self._names))}"
            )
        to_ns = min(self.to_ns, self._time)
        if self._items > ITEMS_MAX:
            raise BadInput(self._too_many(to_ns))
        arrows = [arrow for arrow in self._arrows if arrow.sent_ns <= to_ns]
        if not arrows and not self._marks:
            raise BadInput(
                f"diagram: nothing happens from {_s(self.from_ns)} to {_s(to_ns)} s at the nodes "
                "that are shown, expected another part (--from, --to), more nodes or less to hide"
            )
        nodes = self._columns(arrows)
        lines = len({name for _, name in nodes})
        if lines > LINES_MAX:
            raise BadInput(
                f"diagram: {lines} nodes take part, at most {LINES_MAX} lines can be read, "
                "expected --nodes with those that matter"
            )
        for arrow in arrows:
            self._finish(arrow)
        return Told(
            nodes=nodes,
            from_ns=self.from_ns,
            to_ns=to_ns,
            steps=(self._steps[0], self._steps[1]),
            arrows=arrows,
            marks=[mark for mark in self._marks if mark.ns <= to_ns],
            leading=self._inside(self._leads, to_ns),
            down=self._inside(self._downs, to_ns),
            faults=[
                fault
                for fault in self._faults
                if fault.from_s * 1e9 <= to_ns and fault.to_s * 1e9 >= self.from_ns
            ],
            hidden=self._hidden,
        )

    def _finish(self, arrow: Arrow) -> None:
        """Say what a message was and what became of it."""
        if arrow.lost:
            fate = arrow.lost
        elif arrow.arrived_ns == NEVER:
            fate = "on its way when the run ends" if self._ended else "on its way at the end"
        else:
            fate = f"arrives at {_s(arrow.arrived_ns)} s"
            if arrow.handled_step:
                fate += f", handled in step {arrow.handled_step}"
        copy = ", a copy" if arrow.copy else ""
        content = self._write.value(arrow.message)
        if len(content) > TITLE_MAX:
            content = content[:TITLE_MAX] + " ..."
        arrow.title = (
            f"{arrow.name} from {arrow.source} to {arrow.target}{copy}\n"
            f"said in step {arrow.said_step}, sent at {_s(arrow.sent_ns)} s, {fate}\n{content}"
        )

    def _columns(self, arrows: list[Arrow]) -> tuple[tuple[str, str], ...]:
        """Which nodes are shown, each with the name of its line: clients first.

        All servers are; clients and operators if they take part.
        """
        active = {end for arrow in arrows for end in (arrow.source, arrow.target)}
        active |= {mark.node for mark in self._marks}
        known = [place for place in self._world.places.values() if place.id in self._nodes]
        asking = [p.id for p in known if p.role.place == "client" and p.id in active]
        serving = [p.id for p in known if p.role.place != "client"]
        clients = [id for id in asking if id in self._world.config.role("client")]
        together = [id for id in clients if id not in self._chosen]
        if len(together) <= CLIENTS_MAX:
            together = []
        return (
            *((id, f"{len(together)} clients") for id in together),
            *((id, id) for id in asking if id not in together),
            *((id, id) for id in serving),
        )

    def _inside(self, spans: list[Span], to_ns: int) -> list[Span]:
        """The spans of nodes that are shown, as far as they reach into the part."""
        inside = [s for s in spans if s.from_ns <= to_ns and s.to_ns >= self.from_ns]
        return [span for span in inside if span.node in self._nodes]

    def _too_many(self, to_ns: int) -> str:
        step, at = self._fits
        begin = self._first or Bound(step=1)
        fits = f"--to {step}" if begin.ns is None else f"--to {at / 1e9:.6f}s"
        elected = [
            f"{node} at {at / 1e9:.3f} s"
            for at, node in self._elected
            if self.from_ns <= at <= to_ns
        ]
        more = f" and {len(elected) - 4} more" if len(elected) > 4 else ""
        leaders = f"; leaders are elected: {', '.join(elected[:4])}{more}" if elected else ""
        most = ", ".join(f"{name} ({n:,})" for name, n in self._counted.most_common(4))
        return (
            f"diagram: {self._items:,} arrows and marks from {_s(self.from_ns)} to {_s(to_ns)} s, "
            f"at most {ITEMS_MAX} can be read; expected a shorter part (--from, --to: up to {fits} "
            f"fits{leaders}), fewer --nodes, or --hide for what there is most of: {most}"
        )


def _nowhere(line: bytes) -> None:
    """Where lines go that nobody asked for."""


def _s(ns: int) -> str:
    return f"{ns / 1e9:.6f}"


def _listen(
    owner: Any,
    verb: str,
    heard: Callable[..., None],
    *,
    before: bool = False,
) -> None:
    """Call `heard` with the arguments of a verb each time this one object is told to do it."""
    do = getattr(owner, verb)

    def listened(*arguments: Any, **named: Any) -> Any:
        if before:
            heard(*arguments, **named)
            return do(*arguments, **named)
        result = do(*arguments, **named)
        heard(*arguments, **named)
        return result

    setattr(owner, verb, listened)
