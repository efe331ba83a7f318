"""The one door: steps, durable fields, handlers, timers, messages to oneself, children."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.base import Protocol
from concur.effects import (
    CancelTimer,
    Change,
    Complete,
    Decide,
    Deliver,
    Invoke,
    LinkDown,
    Multicast,
    Observe,
    Ok,
    Persist,
    SaveSnapshot,
    Send,
    SetTimer,
    Snapshot,
    SnapshotSaved,
    Start,
    Timer,
    TurnEnd,
)
from concur.logs import Log
from concur.machines import machine
from concur.messages import Command, Message, check_value, encode
from concur.node import Config, Node, durable, invariant, on, patch, seconds
from concur.values import Map, MapDelta, Set

CONFIG = Config(("r1", "r2"), (("replica", ("r1", "r2")), ("client", ("c1",))))


class Still:
    """Inputs that say the same all the time."""

    def now(self) -> int:
        return 7

    def uptime(self) -> int:
        return 5

    def interval(self) -> tuple[int, int]:
        return 6, 8

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return low_ns

    def choose(self, options: int) -> int:
        return options - 1

    def peek(self, node: str, address: Any) -> Any:
        return node, address


STILL = Still()
PARAMS = Protocol()


class Put(Message, frozen=True):
    key: int
    value: int


class Trim(Message, frozen=True):
    index: int


class Poke(Message, frozen=True):
    """Does what its name says: see `Recorder.poke`."""

    what: str = ""


class Echo(Message, frozen=True):
    left: int


class Recorder(Node[Protocol]):
    """Holds one durable field of each kind."""

    count: int = durable(0)
    maybe: str | None = durable(None)
    table: Map[int, int] = durable(Map())
    log: Log[int] = durable(Log())
    seen: Set[str] = Set()

    @on(Put)
    def put(self, source: str, m: Put) -> None:
        self.count += 1
        self.table = self.table.put(m.key, m.value)
        self.log = self.log.append(m.key, m.value)
        self.seen = self.seen.add(source)
        self.send(source, Poke())

    @on(Trim)
    def trim(self, source: str, m: Trim) -> None:
        self.table = self.table.discard(m.index)
        index = self.log.first_index + m.index
        if index in self.log:
            self.log = self.log.compact(index, (1, "r1"))
        elif len(self.log) > 2:
            self.log = self.log.truncate(self.log.last_index - 2).append(m.index)

    @on(Poke)
    def poke(self, source: str, m: Poke) -> None:
        self.seen = self.seen.add(m.what)
        if m.what == "raise":
            self.count += 1
            raise RuntimeError("on purpose")
        if m.what == "raise late":
            self.send("r2", Poke())
            raise RuntimeError("on purpose")

    @on(Echo)
    def echo(self, source: str, m: Echo) -> None:
        self.observe("echo", m.left)
        if m.left:
            self.count += 1
            self.send(self.id, Echo(m.left - 1))
        self.send("r2", Poke(str(m.left)))


def make(kind: type[Node[Any]] = Recorder, **options: Any) -> Node[Any]:
    return kind("r1", PARAMS, CONFIG, **options)


def started(kind: type[Node[Any]], **options: Any) -> Any:
    node = make(kind, **options)
    node.step(Start("new", 1), STILL)
    return node


def deliver(node: Node[Any], message: Message, source: str = "r2", path: str = "") -> list[Any]:
    return cast(list[Any], node.step(Deliver(source, message, path), STILL))


def kinds(effects: list[Any]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


MESSAGES = st.lists(
    st.one_of(
        st.builds(Put, st.integers(0, 4), st.integers(0, 3)),
        st.builds(Trim, st.integers(0, 4)),
        st.builds(Echo, st.integers(0, 2)),
    ),
    max_size=30,
)


# --- steps and durable fields ---------------------------------------------------------------------


@given(MESSAGES)
def test_what_is_persisted_adds_up_to_the_durable_fields(messages: list[Message]) -> None:
    node = started(Recorder)
    image: dict[tuple[str, str], Any] = {}
    for message in messages:
        before = node.snapshot()
        kept = encode(before[0][5:])
        for effect in deliver(node, message):
            if isinstance(effect, Persist):
                patch(image, effect)
        assert encode(before[0][5:]) == kept  # values held before are unchanged
        known = {key: value for key, value in node.persisted().items() if key in image}
        assert image == known
        for field in node.durable_:
            if ("", field) not in image:
                assert getattr(node, field) == getattr(Recorder, field)
            check_value(getattr(node, field), field)
    again = make(durable=image)
    assert again.persisted() == node.persisted()
    assert cast(Recorder, again).seen == Set()


@given(MESSAGES, st.integers(0, 29))
def test_a_restored_node_goes_on_as_the_original_did(messages: list[Message], at: int) -> None:
    node = started(Recorder)
    for message in messages[:at]:
        deliver(node, message)
    snapshot, twin = node.snapshot(), node.clone()
    ahead = [deliver(node, message) for message in messages[at:]]
    assert [deliver(twin, message) for message in messages[at:]] == ahead
    assert twin.snapshot() == node.snapshot()
    assert hash(twin.snapshot()) == hash(node.snapshot())
    node.restore(snapshot)
    assert node.snapshot() == snapshot
    assert [deliver(node, message) for message in messages[at:]] == ahead
    assert twin.snapshot() == node.snapshot()


def test_persist_comes_first_and_holds_only_what_changed() -> None:
    node = started(Recorder)
    effects = deliver(node, Put(1, 2))
    assert kinds(effects) == ["Persist", "Send"]
    assert {c.field for c in effects[0].changes} == {"count", "table", "log"}
    assert Change("", "table", MapDelta(((1, 2),), ())) in effects[0].changes
    assert deliver(node, Poke("x")) == []


def test_a_field_bound_to_an_equal_value_is_not_persisted() -> None:
    class Rebinder(Node[Protocol]):
        pair: tuple[int, ...] = durable((1, 2))
        flag: int | bool = durable(1)
        table: Map[int, int] = durable(Map())

        @on(Poke)
        def poke(self, source: str, m: Poke) -> None:
            self.pair = tuple(range(1, 3))
            self.table = self.table.put(1, 1).remove(1)

        @on(Trim)
        def trim(self, source: str, m: Trim) -> None:
            self.flag = True

    node = started(Rebinder)
    assert deliver(node, Poke()) == []
    assert deliver(node, Trim(0)) == [Persist((Change("", "flag", True),))]


def test_a_durable_field_may_become_a_map_later() -> None:
    class Late(Node[Protocol]):
        table: Map[int, int] | None = durable(None)

        @on(Put)
        def put(self, source: str, m: Put) -> None:
            self.table = (self.table or Map()).put(m.key, m.value)

    node, image = started(Late), dict[tuple[str, str], Any]()
    for i in range(3):
        for effect in deliver(node, Put(i, i)):
            patch(image, effect)
    assert image == node.persisted()


@pytest.mark.parametrize("what", ["raise", "raise late"])
def test_a_node_whose_step_raised_cannot_be_used_again(what: str) -> None:
    node = started(Recorder)
    healthy = node.snapshot()
    with pytest.raises(RuntimeError, match="on purpose"):
        deliver(node, Poke(what))
    for event in (Deliver("r2", Poke()), TurnEnd()):
        with pytest.raises(RuntimeError, match="must not be used again"):
            node.step(event, STILL)
    with pytest.raises(RuntimeError, match="must not be used again"):
        node.deliver("r2", Poke())
    node.restore(healthy)  # but going back in time is going back to health
    assert deliver(node, Poke()) == []
    assert node.count == 0


def test_messages_to_oneself_are_handled_within_the_step() -> None:
    node = started(Recorder)
    effects = deliver(node, Echo(2))
    assert kinds(effects) == ["Persist", *["Observe", "Send"] * 3]
    assert [e.message.what for e in effects if isinstance(e, Send)] == ["2", "1", "0"]
    assert effects[0] == Persist((Change("", "count", 2),))


def test_a_node_that_talks_to_itself_for_ever_fails() -> None:
    node = started(Recorder)
    assert len(deliver(node, Echo(9_999))) == 1 + 2 * 10_000
    with pytest.raises(RuntimeError, match="messages to itself"):
        deliver(node, Echo(10_001))


def test_a_message_that_nobody_handles_is_observed() -> None:
    assert deliver(started(Node1), Poke()) == [Observe("unhandled", ("Poke",))]


class Node1(Node[Protocol]):
    """Hears nothing."""


# --- verbs and inputs -----------------------------------------------------------------------------


def test_verbs_note_down_effects_in_order_and_inputs_come_from_the_driver() -> None:
    class Verbose(Node[Protocol]):
        heard: tuple[int | str, ...] = ()

        @on(Start)
        def start(self, event: Start) -> None:
            self.send("r2", Poke())
            self.multicast("replica", Poke())
            self.set_timer("a", seconds(0.5))
            self.set_timer(("retry", 3), self.jitter(0.1, 0.2))
            self.cancel_timer("a")
            self.decide(1, Command("s", 1, b""))
            self.observe("leader", (1, "r1"))
            self.complete(4, Ok(b""))
            self.save_snapshot(Snapshot(1, (0, ""), None, None, ("r1",)))
            self.heard = (self.now, self.uptime, *self.interval(), self.choose(("x", "y")))
            assert self.peek("m1", 3) == ("m1", 3)

    node = make(Verbose)
    assert node.step(Start("new", 1), STILL) == [
        Send("r2", Poke()),
        Multicast("replica", Poke()),
        SetTimer("a", 500_000_000),
        SetTimer(("retry", 3), 100_000_000),
        CancelTimer("a"),
        Decide(1, Command("s", 1, b"")),
        Observe("leader", ((1, "r1"),)),
        Complete(4, Ok(b"")),
        SaveSnapshot(Snapshot(1, (0, ""), None, None, ("r1",))),
    ]
    assert node.state()["heard"] == (7, 5, 6, 8, "y")


def test_events_reach_their_handlers_with_their_arguments() -> None:
    class Listener(Node[Protocol]):
        heard: tuple[int | str | bytes, ...] = ()

        @on(Timer("tick"))
        def tick(self) -> None:
            self.heard += ("tick",)

        @on(Timer("retry"))
        def retry(self, op: int, name: str) -> None:
            self.heard += (op, name)

        @on(Invoke)
        def invoke(self, op: int, body: bytes) -> None:
            self.heard += (op, body)

        @on(LinkDown)
        def link_down(self, peer: str) -> None:
            self.heard += (peer,)

        @on(SnapshotSaved)
        def saved(self, index: int) -> None:
            self.heard += (index,)

        @on(TurnEnd)
        def turn_end(self) -> None:
            self.heard += ("end",)

    node = started(Listener)
    for event in (
        Timer("tick"),
        Timer(("retry", 3, "x")),
        Invoke(4, b"body"),
        LinkDown("r2"),
        SnapshotSaved(9),
        TurnEnd(),
    ):
        assert node.step(event, STILL) == []
    assert node.heard == ("tick", 3, "x", 4, b"body", "r2", 9, "end")
    assert node.wants_turn_end
    assert not started(Recorder).wants_turn_end


def test_nobody_can_ask_a_node_that_handles_no_invoke() -> None:
    with pytest.raises(TypeError, match="handles no Invoke"):
        started(Recorder).step(Invoke(1, b""), STILL)


# --- how a class becomes a node -------------------------------------------------------------------


class Base(Node[Protocol]):
    said: str = ""

    @on(Poke, paper="1")
    def poke(self, source: str, m: Poke) -> None:
        self.said = "base"

    @invariant
    def quiet(self) -> bool:
        return self.said != "loud"


def test_an_override_by_name_needs_no_tag() -> None:
    class Louder(Base):
        def poke(self, source: str, m: Poke) -> None:
            super().poke(source, m)
            self.said += " louder"

        def quiet(self) -> bool:
            return False

    node = started(Louder)
    deliver(node, Poke())
    assert node.said == "base louder"
    assert node.broken_invariants() == ["quiet"]
    assert started(Base).broken_invariants() == []


def test_a_new_method_for_an_old_trigger_replaces_the_old_one() -> None:
    class Other(Base):
        @on(Poke)
        def a_poke(self, source: str, m: Poke) -> None:
            self.said = "other"

    class Third(Other):
        def a_poke(self, source: str, m: Poke) -> None:
            self.said = "third"

        def poke(self, source: str, m: Poke) -> None:
            raise AssertionError("replaced by Other.a_poke")

    for kind, said in ((Base, "base"), (Other, "other"), (Third, "third")):
        node = started(kind)
        deliver(node, Poke())
        assert node.said == said


def test_a_method_tagged_anew_answers_only_to_that() -> None:
    class Moved(Base):
        @on(Trim)
        def poke(self, source: str, m: Poke) -> None:
            self.said = "trimmed"

    node = started(Moved)
    assert kinds(deliver(node, Poke())) == ["Observe"]
    deliver(node, Trim(1))
    assert node.said == "trimmed"


def test_a_handler_is_taken_away_by_none() -> None:
    class Deaf(Base):
        poke = None  # type: ignore[assignment]

    assert kinds(deliver(started(Deaf), Poke())) == ["Observe"]


def test_two_methods_for_one_trigger_are_refused() -> None:
    with pytest.raises(TypeError, match="one and two both answer to"):

        class Twice(Node[Protocol]):
            @on(Poke)
            def one(self, source: str, m: Poke) -> None: ...

            @on(Poke)
            def two(self, source: str, m: Poke) -> None: ...


def test_several_parts_and_plain_mixins_make_one_node() -> None:
    class Left(Node[Protocol]):
        left: int = durable(1)

        @on(Put)
        def put(self, source: str, m: Put) -> None:
            self.left = m.value

    class Right:
        right: int = durable(2)
        loud: int = 0

        @on(Poke)
        def poke(self, source: str, m: Poke) -> None:
            self.right += 1

    class Third(Node[Protocol]):
        third: Map[int, int] = durable(Map())

    class Both(Left, Right, Third):
        own: int = 0
        loud = 5  # a new default for a field that is known

    node = started(Both)
    assert set(node.durable_) == {"left", "right", "third"}
    assert node.loud == 5
    assert deliver(node, Put(0, 8)) == [Persist((Change("", "left", 8),))]
    assert deliver(node, Poke()) == [Persist((Change("", "right", 3),))]
    assert {"own", "loud", "left"} <= set(node.fields_)


def test_a_subclass_may_make_a_durable_field_volatile_and_back() -> None:
    class Forgetful(Recorder):
        count: int = 0

    class Mindful(Forgetful):
        count: int = durable(0)
        seen: Set[str] = durable(Set())

    assert "count" not in Forgetful.durable_
    assert {"count", "seen"} <= set(Mindful.durable_)
    assert set(Recorder.durable_) == {"count", "maybe", "table", "log"}
    assert kinds(deliver(started(Forgetful), Echo(1)))[0] == "Observe"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"__annotations__": {"x": int}}, "needs a value to begin with"),
        ({"__annotations__": {"x": list[int]}, "x": ()}, "is no value"),
        ({"__annotations__": {"x": tuple}, "x": ([],)}, "holds a list"),
        ({"__annotations__": {"_x": int}, "_x": 0}, "underscore"),
        ({"x": durable(0)}, "needs a type annotation"),
        ({"__annotations__": {"x": Map}, "x": durable(Map({1: 1}))}, "begins empty"),
        ({"f": on(int)(lambda self: None)}, "expected a message class"),
    ],
)
def test_what_cannot_be_a_node_is_refused_at_once(body: dict[str, Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        type("Wrong", (Node,), body)


def test_a_message_with_fields_that_are_no_values_is_refused() -> None:
    class Loose(Message, frozen=True):
        items: list[int]

    with pytest.raises(TypeError, match=r"Loose.items: .* is no value"):

        class Listener(Node[Protocol]):
            @on(Loose)
            def take(self, source: str, m: Loose) -> None: ...


# --- execution ------------------------------------------------------------------------------------


def test_a_snapshot_carries_machine_and_sessions_to_another_node() -> None:
    counter = machine("counter")
    node, other = started(Recorder, machine=counter), started(Recorder, machine=counter)
    add = counter.encode(counter.commands[-1](2))
    opened = node.execute(Command("open:c1", 1, b""))
    (name,) = [key for key, _ in node.sessions.table.items()]
    assert opened == encode(name)
    result = node.execute(Command(name, 1, add))
    other.install(node.capture((1, "r1"), ("r1", "r2")))
    assert other.executed == node.executed == 2
    assert other.execute(Command(name, 1, add)) == result
    assert other.machine_state == node.machine_state


def test_a_node_without_a_machine_only_counts() -> None:
    node = started(Recorder)
    assert node.execute(Command("s", 1, b"")) is None
    assert node.executed == 1
    other = started(Recorder)
    other.install(node.capture((0, ""), ()))
    assert other.executed == 1


# --- children -------------------------------------------------------------------------------------


class Loglet(Node[Protocol]):
    """A child: a durable count and a log."""

    count: int = durable(0)
    log: Log[int] = durable(Log())
    born: str = ""
    peer: str = ""

    @on(Start)
    def start(self, event: Start) -> None:
        self.born = event.kind
        self.set_timer("tick", 5)
        if event.snapshot is not None:
            self.executed = event.snapshot.index

    @on(Timer("tick"))
    def tick(self) -> None:
        self.count += 1
        self.multicast("replica", Poke())

    @on(Invoke)
    def invoke(self, op: int, body: bytes) -> None:
        self.log = self.log.append(op)
        self.decide(self.log.last_index, Command("s", op, body))
        self.send(self.id, Poke("self"))

    @on(Poke)
    def poke(self, source: str, m: Poke) -> None:
        self.count += 10
        if source != self.id:
            self.send(source, Poke("back"))
        self.save_snapshot(Snapshot(3, (0, ""), None, None, ()))

    @on(LinkDown)
    def link_down(self, peer: str) -> None:
        self.peer = peer

    @on(Put)
    def nest(self, source: str, m: Put) -> None:
        self.child("inner", Loglet)


class Parent(Node[Protocol]):
    current: str = durable("")
    decided: tuple[int, ...] = ()
    lazy: bool = False

    @on(Start)
    def start(self, event: Start) -> None:
        if self.current and not self.lazy:
            self.child(self.current, Loglet)

    @on(Poke)
    def poke(self, source: str, m: Poke) -> None:
        if m.what.startswith("open "):
            self.current = m.what[5:]
            self.child(self.current, Loglet).invoke(1, b"x")
        elif m.what.startswith("drop "):
            self.drop(m.what[5:])
        elif m.what.startswith("swap "):
            self.child(m.what[5:]).invoke(2, b"lost")
            self.drop(m.what[5:])
            self.child(m.what[5:], Loglet)

    @on(Decide)
    def decided_below(self, child: str, effect: Decide) -> None:
        self.decided = (*self.decided, effect.command.seq)
        self.observe("below", child)


def persist(effects: list[Any], image: dict[tuple[str, str], Any]) -> list[Any]:
    for effect in effects:
        if isinstance(effect, Persist):
            patch(image, effect)
    return effects


def test_a_child_is_part_of_its_parents_step() -> None:
    node = started(Parent)
    log = Log.delta(Log(), Log((1,)))
    assert deliver(node, Poke("open b")) == [
        Persist((Change("", "current", "b"), Change("b", "count", 10), Change("b", "log", log))),
        SetTimer("tick", 5, "b"),
        Observe("below", ("b",)),
        SaveSnapshot(Snapshot(3, (0, ""), None, None, ()), "b"),
    ]
    assert node.decided == (1,)
    assert node.child("b").id == "r1/b"
    assert node.child("b").config.role("replica") == ("r1/b", "r2/b")
    assert node.child("b").born == "new"


def test_timers_messages_and_links_find_the_child_by_its_path() -> None:
    node = started(Parent)
    persist(deliver(node, Put(0, 0)), {})
    node.child("a", Loglet)
    node.step(Deliver("r2/a", Put(0, 0), "a"), STILL)  # makes a/inner
    effects = node.step(Timer("tick", "a/inner"), STILL)
    assert effects == [
        Persist((Change("a/inner", "count", 1),)),
        Multicast("replica", Poke(), "a/inner"),
    ]
    effects = deliver(node, Poke(), "r2/a", "a")
    assert Send("r2/a", Poke("back"), "a") in effects
    node.step(LinkDown("r2"), STILL)
    assert node.child("a").peer == "r2/a"
    assert node.child("a").child("inner").peer == "r2/a/inner"
    for event in (Timer("tick", "gone"), Deliver("r2", Poke(), "a/gone"), SnapshotSaved(1, "x/y")):
        assert node.step(event, STILL) == []


CHILD_SCRIPT = st.lists(
    st.sampled_from(
        [
            ("", Poke("open a")),
            ("", Poke("open b")),
            ("", Poke("drop a")),
            ("", Poke("swap b")),
            ("a", Put(0, 0)),
            ("a/inner", "tick"),
            ("b", "tick"),
        ]
    ),
    max_size=25,
)


def play(node: Any, script: list[Any], image: dict[tuple[str, str], Any]) -> list[Any]:
    done = []
    for path, what in script:
        if isinstance(what, Poke) and what.what == "swap b" and "b" not in node._children:
            continue
        event = Timer(what, path) if isinstance(what, str) else Deliver("r2", what, path)
        done.append(persist(node.step(event, STILL), image))
    return done


@given(CHILD_SCRIPT, st.integers(0, 25))
def test_children_persist_snapshot_and_restart_with_their_parent(
    script: list[Any], at: int
) -> None:
    node, image = started(Parent), dict[tuple[str, str], Any]()
    play(node, script[:at], image)
    snapshot, twin, kept = node.snapshot(), node.clone(), dict(image)
    ahead = play(node, script[at:], image)
    assert play(twin, script[at:], dict(kept)) == ahead
    assert twin.snapshot() == node.snapshot()
    assert hash(twin.snapshot()) == hash(node.snapshot())
    node.restore(snapshot)
    assert node.snapshot() == snapshot
    assert play(node, script[at:], dict(kept)) == ahead
    # The journal adds up, and a restart brings the children back with what was theirs.
    persisted = node.persisted()
    assert {k: v for k, v in persisted.items() if k in image} == image
    again: Any = make(Parent, durable=image)
    assert {k: v for k, v in again.persisted().items() if k in image} == image
    again.step(Start("restart", 2), STILL)
    for name in again._children:
        assert again.child(name).count == image.get((name, "count"), 0)
        known = any(path == name for path, _ in image)
        assert again.child(name).born == ("restart" if known else "new")
    assert {k: v for k, v in again.persisted().items() if k in image} == image


def test_a_child_made_late_still_finds_what_was_its_own_even_in_a_clone() -> None:
    class Lazy(Parent):
        lazy: bool = True

    image: dict[tuple[str, str], Any] = {("a", "count"): 4, ("", "current"): "a", ("b", "count"): 1}
    node: Any = make(Lazy, durable=image)
    node.step(Start("restart", 2), STILL)
    fresh, twin = node.snapshot(), node.clone()
    assert node.persisted() == {**image}
    for one in (node, twin):
        effects = deliver(one, Poke("open a"))
        assert one.child("a").born == "restart"
        assert one.child("a").count >= 4
        assert kinds(effects)[0] == "Persist"
        assert ("a", "count") not in dict(one._image.items())
    node.restore(fresh)
    assert deliver(node, Poke("drop a")) == [Persist((Change("a", "", None),))]
    assert node.persisted() == {("", "current"): "a", ("b", "count"): 1}
    deliver(node, Poke("open a"))
    assert node.child("a").born == "new"


def test_in_a_wiped_node_an_unknown_child_is_wiped_too() -> None:
    node: Any = make(Parent)
    node.step(Start("wiped", 2), STILL)
    deliver(node, Poke("open a"))
    assert node.child("a").born == "wiped"
    node.child("b", Loglet, kind="new")
    assert node.child("b").born == "new"


def test_a_child_starts_from_the_snapshot_that_it_saved() -> None:
    saved = Snapshot(3, (0, ""), None, None, ())
    image: dict[tuple[str, str], Any] = {("", "current"): "a", ("a", ""): saved}
    node: Any = make(Parent, durable=image)
    node.step(Start("restart", 2), STILL)
    assert node.child("a").executed == 3
    assert node.child("a").born == "restart"
    assert ("a", "") not in node.persisted()


def test_children_act_in_the_order_of_their_names_not_of_their_birth() -> None:
    one, other = started(Parent), started(Parent)
    for node, names in ((one, "abc"), (other, "cab")):
        for name in names:
            node.child(name, Loglet)
        node.step(TurnEnd(), STILL)
    assert one.snapshot() == other.snapshot()
    assert list(one._children) == list(other._children)


def test_what_a_dropped_child_still_had_to_say_to_itself_is_not_heard() -> None:
    node, image = started(Parent), dict[tuple[str, str], Any]()
    play(node, [("", Poke("open b")), ("", Poke("swap b"))], image)
    assert node.child("b").count == 0
    assert ("b", "count") not in image
    assert image == {("", "current"): "b"}


def test_a_childs_name_is_one_part_of_a_path() -> None:
    node = started(Parent)
    for name in ("", "a/b"):
        with pytest.raises(ValueError, match="cannot be called"):
            node.child(name, Loglet)
    with pytest.raises(KeyError, match="has no child 'x'"):
        node.child("x")


def test_a_journal_of_a_dropped_child_forgets_it_and_what_is_below_only() -> None:
    image = {("a", "x"): 1, ("a/i", "x"): 2, ("ab", "x"): 3, ("", "x"): 4}
    patch(image, Persist((Change("a", "", None),)))
    assert image == {("ab", "x"): 3, ("", "x"): 4}
