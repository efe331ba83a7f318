"""One test per claim of "Paxos Made Simple", section 2, message by message through `Node.step`."""

from typing import Any, cast

import pytest

from concur.effects import (
    Complete,
    Decide,
    Definite,
    Deliver,
    Event,
    Indefinite,
    Invoke,
    Ok,
    Persist,
    Send,
    SetTimer,
    Start,
    Timer,
    patch,
)
from concur.machines import machine
from concur.machines.register import Read, Write
from concur.messages import Command, Message
from concur.node import Config
from concur.protocols.paxos import (
    FORGOTTEN,
    Accept,
    Accepted,
    Answer,
    Ask,
    Chosen,
    Nack,
    Paxos,
    PaxosClient,
    Prepare,
    Promise,
    Propose,
    Replica,
    Vote,
)

REGISTER = machine("register")
MEMBERS = ("r1", "r2", "r3")
CONFIG = Config(MEMBERS, (("replica", MEMBERS), ("client", ("c1", "c2"))))
V = Command("c1-1", 1, REGISTER.encode(Write(1)))
W = Command("c2-1", 1, REGISTER.encode(Write(2)))
WANT_V, WANT_W = Propose("c1-1", 1, V), Propose("c2-1", 1, W)
WANT_READ = Propose("c2-1", 2, None)


class Clock:
    """Inputs under the hand of a test."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time

    def uptime(self) -> int:
        return self.time

    def interval(self) -> tuple[int, int]:
        return self.time, self.time

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return high_ns

    def choose(self, options: int) -> int:
        return 0

    def peek(self, node: str, address: Any) -> Any:
        raise NotImplementedError


class Driver:
    """One replica and its journal."""

    def __init__(self, name: str = "r1", kind: type[Replica] = Replica) -> None:
        self.clock = Clock()
        self.name, self.kind = name, kind
        self.image: dict[tuple[str, str], Any] = {}
        self.lives = 0
        self.begin("new")

    def begin(self, start: str) -> list[Any]:
        self.lives += 1
        self.node = self.kind(self.name, Paxos(), CONFIG, REGISTER, durable=dict(self.image))
        return self.step(Start(start, self.lives))

    def wipe(self) -> list[Any]:
        self.image = {}
        return self.begin("wiped")

    def step(self, event: Event) -> list[Any]:
        effects = self.node.step(event, self.clock)
        for effect in effects:
            if isinstance(effect, Persist):
                patch(self.image, effect)
        assert not self.node.broken_invariants()
        return cast(list[Any], effects)

    def hear(self, source: str, message: Message) -> list[Message]:
        """What the replica sends when it gets this message, to anybody."""
        return sent(self.step(Deliver(source, message)))


def sent(effects: list[Any]) -> list[Message]:
    """What was said; a message that went to several addresses once."""
    said = {id(e.message): e.message for e in effects if isinstance(e, Send)}
    return list(said.values())


def of(kind: type, effects: list[Any]) -> list[Any]:
    return [e for e in effects if isinstance(e, kind)]


def proposer(*promises: tuple[str, Vote | None], want: Propose = WANT_V) -> Driver:
    """r1 in ballot (1, "r1"), with its own promise and these."""
    driver = Driver()
    driver.hear("c1", want)
    for source, vote in promises:
        driver.hear(source, Promise((1, "r1"), vote))
    return driver


# --- 2.1: choosing a value ------------------------------------------------------------------------


def test_an_acceptor_accepts_the_first_proposal_that_it_receives() -> None:
    """P1."""
    acceptor = Driver("r3")
    assert acceptor.hear("r1", Accept((1, "r1"), V)) == [Accepted((1, "r1"))]
    assert acceptor.node.vote == Vote((1, "r1"), V)


def test_an_acceptor_may_accept_more_than_one_proposal() -> None:
    acceptor = Driver("r3")
    acceptor.hear("r1", Accept((1, "r1"), V))
    assert acceptor.hear("r2", Accept((2, "r2"), W)) == [Accepted((2, "r2"))]
    assert acceptor.node.vote == Vote((2, "r2"), W)


def test_different_proposals_have_different_numbers() -> None:
    used = set()
    for name in MEMBERS:
        driver = Driver(name)
        driver.hear("c1", WANT_V)
        for _ in range(5):
            assert driver.node.ballot is not None
            used.add(driver.node.ballot)
            driver.step(Timer("ballot"))
    assert len(used) == 15


def test_nothing_is_chosen_before_a_majority_has_voted() -> None:
    driver = proposer(("r2", None))
    assert not of(Decide, driver.step(Deliver("r1", Accepted((1, "r1")))))  # its own, again
    assert driver.node.chosen is None
    effects = driver.step(Deliver("r3", Accepted((1, "r1"))))
    assert of(Decide, effects) == [Decide(1, V)]


def test_votes_of_different_ballots_do_not_add_up() -> None:
    driver = proposer(("r2", None))
    driver.step(Timer("ballot"))
    driver.hear("r3", Promise((2, "r1"), None))
    driver.hear("r2", Accepted((1, "r1")))
    assert driver.node.chosen is None


def test_votes_and_promises_of_strangers_do_not_count() -> None:
    driver = proposer(("r9", None), ("c1", None))
    assert driver.node.proposal is None
    driver.hear("r2", Promise((1, "r1"), None))
    driver.hear("r9", Accepted((1, "r1")))
    assert driver.node.chosen is None


# --- 2.2: phase 1 ---------------------------------------------------------------------------------


def test_a_proposer_asks_everybody_for_a_promise_before_it_proposes() -> None:
    driver = Driver()
    assert driver.hear("c1", WANT_V) == [Prepare((1, "r1"))]
    assert not [m for m in driver.hear("r1", Promise((1, "r1"), None)) if isinstance(m, Accept)]
    assert driver.hear("r2", Promise((1, "r1"), None)) == [Accept((1, "r1"), V)]


def test_an_acceptor_promises_and_reports_its_last_vote() -> None:
    acceptor = Driver("r3")
    assert acceptor.hear("r1", Prepare((1, "r1"))) == [Promise((1, "r1"), None)]
    acceptor.hear("r1", Accept((1, "r1"), V))
    assert acceptor.hear("r2", Prepare((2, "r2"))) == [Promise((2, "r2"), Vote((1, "r1"), V))]


def test_a_promise_rules_out_lower_ballots_in_both_phases() -> None:
    """P1a."""
    acceptor = Driver("r3")
    acceptor.hear("r2", Prepare((2, "r2")))
    nack = Nack((1, "r1"), (2, "r2"))
    assert acceptor.hear("r1", Prepare((1, "r1"))) == [nack]
    assert acceptor.hear("r1", Accept((1, "r1"), V)) == [nack]
    assert acceptor.node.vote is None


def test_a_promise_does_not_rule_out_its_own_ballot() -> None:
    acceptor = Driver("r3")
    acceptor.hear("r2", Prepare((2, "r2")))
    assert acceptor.hear("r2", Accept((2, "r2"), W)) == [Accepted((2, "r2"))]


def test_a_repeated_request_gets_the_same_answer() -> None:
    acceptor = Driver("r3")
    for _ in range(2):
        assert acceptor.hear("r1", Prepare((1, "r1"))) == [Promise((1, "r1"), None)]
    for _ in range(2):
        assert acceptor.hear("r1", Accept((1, "r1"), V)) == [Accepted((1, "r1"))]


def test_a_vote_is_a_promise_too() -> None:
    """Read literally, 2.2 leaves the promise where it was; see the mutant below."""
    acceptor = Driver("r3")
    acceptor.hear("r2", Accept((2, "r2"), W))
    assert acceptor.hear("r1", Accept((1, "r1"), V)) == [Nack((1, "r1"), (2, "r2"))]
    assert acceptor.node.vote == Vote((2, "r2"), W)


# --- 2.2: phase 2 ---------------------------------------------------------------------------------


def test_a_proposer_is_free_only_if_nobody_in_its_majority_has_voted() -> None:
    """P2c, first case."""
    assert proposer(("r2", None)).node.proposal == V


@pytest.mark.parametrize("first", [("r2", None), ("r2", Vote((0, "r2"), V))])
def test_a_proposer_takes_over_the_value_of_the_highest_vote(first: Any) -> None:
    """P2c, second case: the highest ballot, not the latest answer, nor the commonest."""
    driver = Driver()
    driver.node.heard = 8
    driver.hear("c1", WANT_V)
    assert driver.node.ballot == (9, "r1")
    driver.hear("r3", Promise((9, "r1"), Vote((3, "r3"), W)))
    assert driver.node.proposal == W


def test_the_highest_vote_counts_and_not_the_commonest_value() -> None:
    driver = Driver()
    driver.node.vote = Vote((1, "r1"), V)
    driver.node.promised = (1, "r1")
    driver.node.heard = 8
    driver.hear("c1", WANT_V)
    driver.node.promises = driver.node.promises.put("r2", Vote((1, "r1"), V))
    driver.hear("r3", Promise((9, "r1"), Vote((2, "r3"), W)))
    assert driver.node.proposal == W


def test_promises_that_come_after_the_proposal_do_not_change_it() -> None:
    driver = proposer(("r2", None))
    assert driver.hear("r3", Promise((1, "r1"), Vote((0, "x"), W))) == []
    assert driver.node.proposal == V


def test_promises_for_an_abandoned_ballot_do_not_count() -> None:
    driver = proposer()
    driver.step(Timer("ballot"))
    assert driver.node.ballot == (2, "r1")
    assert driver.hear("r2", Promise((1, "r1"), None)) == []
    assert driver.node.proposal is None


def test_a_proposer_that_is_told_of_a_higher_ballot_abandons_its_own() -> None:
    driver = proposer(("r2", None))
    effects = driver.step(Deliver("r3", Nack((1, "r1"), (7, "r3"))))
    assert driver.node.ballot is None
    assert [type(e) for e in effects] == [SetTimer]
    assert sent(driver.step(Timer("ballot"))) == [Prepare((8, "r1"))]


def test_a_later_choice_is_the_earlier_one() -> None:
    """P2: r1's ballot chose V, known to nobody else; r3, which wants W, finds it and proposes V."""
    r1, r2, r3 = (Driver(name) for name in MEMBERS)
    r1.hear("c1", WANT_V)
    (promise,) = r2.hear("r1", Prepare((1, "r1")))
    (accept,) = r1.hear("r2", promise)
    (accepted,) = r2.hear("r1", accept)
    assert Chosen(V) in r1.hear("r2", accepted)
    r3.hear("c2", WANT_W)
    (nack,) = [m for m in r2.hear("r3", Prepare((0, "r3"))) if isinstance(m, Nack)]
    r3.hear("r2", Nack((1, "r3"), nack.promised))
    (prepare,) = sent(r3.step(Timer("ballot")))
    (promise,) = r2.hear("r3", prepare)
    (accept,) = r3.hear("r2", promise)
    assert accept == Accept((2, "r3"), V)
    (accepted,) = r2.hear("r3", accept)
    said = r3.hear("r2", accepted)
    assert said == [Chosen(V), Answer("c2-1", 1, V)]


# --- 2.3: learning --------------------------------------------------------------------------------


def test_the_distinguished_learner_tells_the_others_and_the_client() -> None:
    driver = proposer(("r2", None))
    assert driver.hear("r2", Accepted((1, "r1"))) == [Chosen(V), Answer("c1-1", 1, V)]
    other = Driver("r2")
    assert of(Decide, other.step(Deliver("r1", Chosen(V)))) == [Decide(1, V)]
    assert other.step(Deliver("r1", Chosen(V))) == []


def test_a_learner_that_missed_the_choice_learns_it_by_a_proposal() -> None:
    driver = proposer(("r3", Vote((0, "r2"), W)), want=WANT_READ)
    assert driver.node.proposal == W
    assert driver.hear("r3", Accepted((1, "r1")))[-1] == Answer("c2-1", 2, W)


def test_who_knows_the_choice_answers_alone() -> None:
    driver = Driver()
    driver.hear("r2", Chosen(V))
    assert driver.hear("c2", WANT_W) == [Answer("c2-1", 1, V)]
    assert driver.hear("c2", WANT_READ) == [Answer("c2-1", 2, V)]


# --- 2.4: progress --------------------------------------------------------------------------------


def test_duelling_proposers_wait_longer_each_time() -> None:
    driver = proposer()
    waits = []
    for i in range(1, 9):
        ballot = driver.node.ballot
        assert ballot is not None
        nack = Nack(ballot, (i, "r3"))
        (timer,) = of(SetTimer, driver.step(Deliver("r3", nack)))
        waits.append(timer.after_ns)
        driver.step(Timer("ballot"))
    assert waits == sorted(waits)
    assert waits[0] == 2 * 50_000_000
    assert waits[-1] == waits[-2] == 32 * 50_000_000


def test_a_proposer_whose_messages_were_lost_tries_a_higher_ballot() -> None:
    driver = proposer()
    assert sent(driver.step(Timer("ballot"))) == [Prepare((2, "r1"))]


def test_a_replica_with_nobody_waiting_is_quiet() -> None:
    driver = proposer(("r2", None))
    driver.hear("r2", Chosen(W))
    assert sent(driver.step(Timer("ballot"))) == []
    assert driver.node.ballot is None


# --- 2.5: crashes and lost disks ------------------------------------------------------------------


def test_promise_and_vote_survive_a_crash() -> None:
    acceptor = Driver("r3")
    acceptor.hear("r1", Accept((1, "r1"), V))
    acceptor.hear("r2", Prepare((2, "r2")))
    acceptor.begin("restart")
    assert acceptor.hear("r1", Accept((1, "r1"), V)) == [Nack((1, "r1"), (2, "r2"))]
    assert acceptor.hear("r1", Prepare((3, "r1"))) == [Promise((3, "r1"), Vote((1, "r1"), V))]


def test_a_restarted_proposer_uses_a_higher_ballot_than_ever_before() -> None:
    driver = proposer()
    driver.step(Timer("ballot"))
    driver.begin("restart")
    assert driver.node.ballot is None
    assert driver.hear("c1", WANT_V) == [Prepare((3, "r1"))]


def test_answers_are_in_the_step_that_persists_what_they_promise() -> None:
    acceptor = Driver("r3")
    for message in (Prepare((1, "r1")), Accept((2, "r2"), V)):
        effects = acceptor.step(Deliver("r1", message))
        assert [type(e) for e in effects] == [Persist, Send]


def test_a_choice_survives_a_crash_and_is_announced_again() -> None:
    driver = Driver()
    driver.hear("r2", Chosen(V))
    assert of(Decide, driver.begin("restart")) == [Decide(1, V)]
    assert driver.hear("c2", WANT_READ) == [Answer("c2-1", 2, V)]


@pytest.mark.parametrize("loss", ["wiped", "wiped, then a crash before the first sync"])
def test_a_wiped_replica_never_votes_or_proposes_but_learns(loss: str) -> None:
    driver = Driver("r2")
    driver.hear("r1", Accept((1, "r1"), V))
    assert sent(driver.wipe()) == [Ask()]
    if "crash" in loss:
        driver.image = {}
        assert sent(driver.begin("restart")) == [Ask()]
    driver.begin("restart")  # still, after another restart
    assert driver.node.standing == FORGOTTEN
    assert driver.hear("r3", Prepare((9, "r3"))) == []
    assert driver.hear("r3", Accept((9, "r3"), W)) == []
    assert driver.hear("c1", WANT_V) == [Ask()]
    knows = Driver("r1")
    assert knows.hear("r2", Ask()) == []
    knows.hear("r3", Chosen(W))
    assert knows.hear("r2", Ask()) == [Chosen(W)]
    assert driver.hear("r1", Chosen(W)) == [Answer("c1-1", 1, W)]


# --- reads ----------------------------------------------------------------------------------------


def test_a_majority_without_votes_tells_readers_that_nothing_is_chosen() -> None:
    driver = proposer(want=WANT_READ)
    assert driver.hear("r2", Promise((1, "r1"), None)) == [Answer("c2-1", 2, None)]
    assert driver.node.ballot is None
    assert driver.node.waiting == ()


def test_a_reader_that_came_during_a_ballot_waits_for_the_next() -> None:
    """r3 may have made a choice, with r2, since r2 promised."""
    driver = proposer(want=WANT_READ)
    late = Propose("c1-1", 7, None)
    assert driver.hear("c1", late) == []
    assert driver.hear("r2", Promise((1, "r1"), None)) == [
        Answer("c2-1", 2, None),
        Prepare((2, "r1")),
    ]
    assert driver.hear("r2", Promise((2, "r1"), Vote((1, "r3"), W))) == [Accept((2, "r1"), W)]
    assert driver.hear("r2", Accepted((2, "r1")))[-1] == Answer("c1-1", 7, W)


def test_a_full_replica_takes_no_more_wishes() -> None:
    driver = Driver()
    driver.node.params = Paxos(waiting_max=2)
    for seq in range(5):
        driver.hear("c1", Propose("c1-1", seq, None))
    assert len(driver.node.waiting) == 2


# --- the client -----------------------------------------------------------------------------------


class Caller:
    """A client and what it did."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.node = PaxosClient("c1", Paxos(), CONFIG, REGISTER)
        self.step(Start("new", 1))

    def step(self, event: Event) -> list[Any]:
        return cast(list[Any], self.node.step(event, self.clock))

    def outcome(self, event: Event) -> Any:
        (complete,) = of(Complete, self.step(event))
        return complete.outcome


def test_the_client_whose_command_is_chosen_gets_its_result() -> None:
    caller = Caller()
    caller.step(Invoke(1, V.body))
    answer = Answer("c1-1", 1, V)
    assert caller.outcome(Deliver("r1", answer)) == Ok(REGISTER.encode_result(None))
    assert caller.step(Deliver("r1", answer)) == []  # exactly once


def test_the_client_whose_command_lost_knows_that_it_never_happens() -> None:
    caller = Caller()
    caller.step(Invoke(1, V.body))
    assert isinstance(caller.outcome(Deliver("r1", Answer("c1-1", 1, W))), Definite)


@pytest.mark.parametrize(("chosen", "value"), [(None, None), (W, 2)])
def test_a_read_is_not_proposed_and_sees_what_is_chosen(chosen: Any, value: Any) -> None:
    caller = Caller()
    assert sent(caller.step(Invoke(2, REGISTER.encode(Read())))) == [Propose("c1-1", 2, None)]
    outcome = caller.outcome(Deliver("r1", Answer("c1-1", 2, chosen)))
    assert outcome == Ok(REGISTER.encode_result(value))


def test_a_client_asks_the_replicas_in_turn_and_gives_up_at_its_deadline() -> None:
    caller = Caller()
    asked = [e.to for e in caller.step(Invoke(1, V.body)) if isinstance(e, Send)]
    for _ in range(3):
        caller.clock.time += 1_000_000_000
        asked += [e.to for e in caller.step(Timer(("retry", 1))) if isinstance(e, Send)]
    assert sorted(asked[:3]) == list(MEMBERS)
    assert asked[3] == asked[0]
    caller.clock.time = 10_000_000_000
    assert isinstance(caller.outcome(Timer(("retry", 1))), Indefinite)
    assert caller.step(Deliver("r1", Answer("c1-1", 1, V))) == []


def test_an_answer_to_an_earlier_life_of_the_client_is_not_taken() -> None:
    caller = Caller()
    caller.step(Start("restart", 2))
    caller.step(Invoke(2, REGISTER.encode(Read())))
    assert caller.step(Deliver("r1", Answer("c1-1", 2, None))) == []


def test_a_client_with_too_many_outstanding_commands_refuses_more() -> None:
    caller = Caller()
    for op in range(8):
        assert not of(Complete, caller.step(Invoke(op, V.body)))
    assert isinstance(caller.outcome(Invoke(8, V.body)), Definite)
