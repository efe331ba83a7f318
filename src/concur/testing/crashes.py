"""Crashes at every point where one can make a difference: after each record that is persisted.

A crash equals a crash between two steps plus the loss of what the last step was sending (CORE.md,
5). So a small run is repeated with one crash after each record of each replica: with the messages
of that step sent or lost, and with the replica back at once or after the others have gone on.
"""

from collections.abc import Iterator
from typing import Any

from concur.effects import Effect, Event, Persist
from concur.testing.cluster import Cluster, Seat, Violated
from concur.testing.subject import Subject
from concur.testing.walk import FINISH_STEPS, Walk

COMMANDS = 3
RECORDS_MAX = 12
"""Crash points of one replica, for an effort of 1."""
AWAY_STEPS = 80
"""How long a replica stays away, if it does not come back at once."""


class Crash:
    """One crash: of `host` after its record number `after`; `said` if its messages got out."""

    def __init__(self, host: str, after: int, said: bool, away: int) -> None:
        self.host, self.after, self.said, self.away = host, after, said, away
        self.due = self.done = False
        self.letters = 0

    def __str__(self) -> str:
        said = "sent" if self.said else "lost"
        back = f"{self.away} steps later" if self.away else "at once"
        return (
            f"crash of {self.host} after its record {self.after}, the messages of that step "
            f"{said}, back {back}"
        )

    def watch(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], before: Any
    ) -> None:
        if self.due or seat.id != self.host or seat.records != self.after:
            return
        if any(type(effect) is Persist for effect in effects):
            self.due = True
            sent = sum(one.source.partition("/")[0] == self.host for one in cluster.letters)
            self.letters = min(sent, sum(hasattr(effect, "message") for effect in effects))


def crashes_after_every_record_keep_the_properties(subject: Subject) -> None:
    """Whatever prefix of the records survives, the properties hold and commands complete."""
    tags = subject.protocol.tags
    subject.needs(tags.durable, "its tags say that it keeps nothing on disk")
    for crash in _points(subject):
        walk = _walk(subject)
        walk.cluster.watchers = (crash.watch,)
        try:
            _run(walk, crash)
            walk.finish()
            wrong = walk.judge() if tags.log else None
            if wrong is not None and wrong.valid is False:
                raise Violated("histories_are_linearizable", wrong.reason, crash.host)
        except Violated as broken:
            subject.fail(
                f"{broken}\n  in a run of {COMMANDS} commands with a {crash}",
                "what a replica has said it must know again after a crash: say it only from "
                "durable fields, and restore the volatile ones in @on(Start)",
            )


def _walk(subject: Subject) -> Walk:
    return Walk(subject.protocol, 1, replicas=subject.replicas, clients=1, reach=subject.reach)


def _points(subject: Subject) -> Iterator[Crash]:
    walk = _walk(subject)
    _run(walk, None)
    for host in walk.cluster.servers:
        records = sum(seat.records for seat in walk.cluster.on(host) if seat.id == host)
        for after in range(1, min(records, subject.times(RECORDS_MAX)) + 1):
            for said in (True, False):
                for away in (0, AWAY_STEPS):
                    yield Crash(host, after, said, away)


def _run(walk: Walk, crash: Crash | None) -> None:
    cluster = walk.cluster
    cluster.start()
    asked = 0
    back_at = -1
    for _ in range(FINISH_STEPS):
        if crash is not None and crash.due and not crash.done:
            crash.done = True
            if not crash.said and crash.letters:
                own = [x for x in cluster.letters if x.source.partition("/")[0] == crash.host]
                for letter in own[-crash.letters :]:
                    cluster.drop(letter)
            cluster.crash(crash.host)
            back_at = cluster.steps + crash.away
        if 0 <= back_at <= cluster.steps:
            back_at = -1
            assert crash is not None
            cluster.restart(crash.host)
        if not walk.waiting():
            if asked == COMMANDS and back_at < 0:
                return
            if asked < COMMANDS:
                asked += 1
                walk.ask(cluster.clients[0])
        if not cluster.advance():
            if back_at < 0:
                break
            back_at = cluster.steps  # nothing goes on without it
    if walk.waiting():
        raise Violated(
            "every_operation_ends", "a command has no answer, and nothing is under way", "c1"
        )
