"""Histories without times: the order in real time, and nothing else, is what they keep."""

from typing import Any

import pytest

from concur.chance import Stream
from concur.effects import Complete, Decide, Definite, Indefinite, Invoke, Observe, Ok, Outcome
from concur.histories import History
from concur.machines import KeyValue
from concur.machines.kv import Get, Put
from concur.messages import NOOP, Command, encode
from concur.properties import STANDARD
from concur.verify.nodes.histories import Judge, Judged
from concur.verify.nodes.host import LOST
from concur.verify.nodes.stage import Fact, Wrong

MACHINE = KeyValue()
SCRIPTS: dict[str, tuple[Any, ...]] = {
    "c1": (Put("x", 1), Get("x"), Put("x", 3)),
    "c2": (Get("x"), Put("x", 2), Get("x")),
    "c3": (Get("x"), Get("x")),
}
NONE = encode(None)


def judge(scripts: dict[str, tuple[Any, ...]] = SCRIPTS, forget_max: int = 1) -> Judge:
    return Judge(scripts, MACHINE, STANDARD, forget_max)


def told(judged: Judge, *facts: Fact | Wrong) -> Judged:
    value = judged.initial()
    for fact in facts:
        value = judged.after(value, 0, fact)
    return value


def asked(client: str, op: int = 1) -> Fact:
    return Fact(client, Invoke(op, b""))


def ended(client: str, outcome: Outcome, op: int = 1) -> Fact:
    return Fact(client, Complete(op, outcome))


def order(history: History) -> set[tuple[int, int]]:
    """Which operations had ended before which were asked for."""
    ops = history.operations()
    return {
        (a.value or 0, b.value or 0)
        for a in ops
        for b in ops
        if a.return_index is not None and a.return_index < b.index
    }


@pytest.mark.parametrize("seed", range(200))
def test_a_rebuilt_history_has_the_same_order_in_real_time(seed: int) -> None:
    """Every put has a value of its own, by which it is known again."""
    dice = Stream(seed, "history")
    scripts = {f"c{c}": tuple(Put("x", 10 * c + i) for i in range(1, 4)) for c in (1, 2, 3)}
    here = judge(scripts)
    value = here.initial()
    real = History("kv")
    open: dict[str, int] = {}
    count = dict.fromkeys(scripts, 0)
    process = {client: at for at, client in enumerate(scripts)}
    for time in range(1, dice.below(20)):
        client = dice.choice(tuple(scripts))
        if client not in open:
            if count[client] < 3:
                put = scripts[client][count[client]]
                count[client] += 1
                open[client] = real.invoke(process[client], "put", "x", put.value, time)
                value = here.after(value, 0, asked(client, count[client]))
            continue
        outcome: Outcome = Ok(NONE)
        if dice.below(4) == 0:
            outcome = Indefinite(f"nothing heard for {time}")
            process[client] += 10
        kind: Any = "ok" if isinstance(outcome, Ok) else "info"
        real.complete(open.pop(client), kind, None, time)
        value = here.after(value, 0, ended(client, outcome, count[client]))
    rebuilt = here.history(value.clients)
    assert order(_without_ends(rebuilt)) == order(_without_ends(real))
    assert len(rebuilt) == len(real)


def _without_ends(history: History) -> History:
    """An operation of which nobody knows precedes nothing."""
    known = [op for op in history.operations() if op.type != "info"]
    return History.of(known)


def test_what_no_client_can_tell_apart_is_one_value() -> None:
    here = judge()
    first = told(here, asked("c1"), asked("c2"), ended("c1", Indefinite("after 3 attempts")))
    other = told(here, asked("c2"), asked("c1"), ended("c1", Indefinite("after 4 attempts")))
    assert first == other
    later = told(here, asked("c1"), ended("c1", Indefinite("after 4 attempts")), asked("c2"))
    assert later != first


def test_a_read_from_the_past_is_found() -> None:
    here = judge()
    put = (asked("c1"), ended("c1", Ok(NONE)))
    stale = told(here, *put, asked("c2"), ended("c2", Ok(NONE)))
    assert (here.broken(stale) or ("", ""))[0] == "linearizability"
    at_once = told(here, asked("c2"), *put, ended("c2", Ok(NONE)))
    assert here.broken(at_once) is None
    refused = told(here, asked("c1"), ended("c1", Definite("no")), asked("c2"))
    assert here.broken(here.after(refused, 0, ended("c2", Ok(encode(1))))) is not None


def test_only_what_clients_asked_for_may_be_decided() -> None:
    here = judge()
    body = MACHINE.encode(SCRIPTS["c1"][0])
    right = (NOOP, Command("open:c1-1", 1, b""), Command("c1-1.1", 2, body))
    for slot, command in enumerate(right, 1):
        assert here.broken(told(here, asked("c1"), Fact("r1", Decide(slot, command)))) is None
    early = told(here, asked("c2"), Fact("r1", Decide(3, right[-1])), asked("c1"))
    assert (here.broken(early) or ("",))[0] == "validity"
    made_up = Command("c1-1.1", 2, MACHINE.encode(Put("x", "made up")))
    assert here.broken(told(here, Fact("r1", Decide(1, made_up)))) == (
        "validity",
        f"r1 decided {made_up}, which nobody asked for",
    )


def test_global_properties_are_folded_and_local_ones_reported() -> None:
    here = judge()
    leads = [Fact(node, Observe("leader", (1,))) for node in ("r1", "r2")]
    assert (here.broken(told(here, *leads)) or ("",))[0] == "at_most_one_leader_per_ballot"
    assert here.broken(told(here, Wrong("a_rule", "why"), *leads)) == ("a_rule", "why")


def test_a_run_that_lost_more_memories_than_the_protocol_bears_proves_nothing() -> None:
    here = judge()
    lost = Fact("r1", LOST), Fact("r2", LOST)
    leads = [Fact(node, Observe("leader", (1,))) for node in ("r1", "r2")]
    assert told(here, *lost).over
    assert here.broken(told(here, *lost, *leads)) is None
    recovered = Fact("r1", Observe("recovered", (2,)))
    assert here.broken(told(here, lost[0], recovered, lost[1], *leads)) is not None
