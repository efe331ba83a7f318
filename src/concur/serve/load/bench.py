"""Reads and writes of random keys on a real cluster, measured, recorded, and checked.

Every value is written once, so that a read says which write it saw. The keys are new in each run:
nobody else's are touched, and a run begins with keys that are absent. In the end all keys are read
back, which is part of the history, and deleted.
"""

import asyncio
import gc
import random
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec

from concur.errors import BadInput, ConcurError, between, whole
from concur.histories import History, Verdict, check
from concur.serve.load.drive import Asker, Load, Unreachable
from concur.serve.load.figures import Answers
from concur.serve.load.resp import RespWire, command
from concur.serve.load.target import Target, name_of, who
from concur.serve.load.wire import Answer, Refusal, Wire

CONNECTIONS_MAX = 20_000
SECONDS_MAX = 86_400.0
KEYS_MAX = 1_000_000
VALUE_BYTES_MIN = 16
"""Room for the number that makes a value unique."""
VALUE_BYTES_MAX = 1 << 20
OPERATIONS_MAX = 5_000_000
"""Of a recorded history, about 1 GB."""
STEP_S = 0.25
DELETED_AT_ONCE = 100

Progress = Callable[[float, int], None]
"""Called with the seconds that are over, and how many operations have ended."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of whom. `validate` raises BadInput."""

    targets: tuple[Target, ...]
    tls: ssl.SSLContext | None = None
    connections: int = 64
    seconds: float = 10.0
    warmup_s: float = 1.0
    reads: float = 0.5
    keys: int = 10_000
    value_bytes: int = 128
    timeout_s: float = 5.0
    seed: int = 0
    record: bool = True

    def validate(self) -> None:
        whole("--connections", self.connections, 1, CONNECTIONS_MAX)
        between("--seconds", self.seconds, 0.1, SECONDS_MAX)
        between("--warmup", self.warmup_s, 0.0, SECONDS_MAX)
        between("--reads", self.reads, 0.0, 1.0)
        whole("--keys", self.keys, 1, KEYS_MAX)
        whole("--value-bytes", self.value_bytes, VALUE_BYTES_MIN, VALUE_BYTES_MAX)
        between("--timeout-s", self.timeout_s, 0.1, 3600.0)


class Bench(msgspec.Struct, kw_only=True):
    """What was found. `figures` by the names of `concur.score.metrics`."""

    protocol: str
    figures: dict[str, Any]
    history: History
    mangled: str
    """A value that nobody wrote; "" if there was none."""
    lost: int
    complete: bool

    def verdict(self, budget_s: float) -> Verdict:
        """Whether the recorded history is linearizable."""
        if self.mangled:
            return Verdict(
                valid=False,
                reason=self.mangled,
                algorithm="values",
                operations=len(self.history),
                steps=0,
                seconds=0.0,
            )
        return check(self.history, "kv", budget_s)


class Mangled(ConcurError):
    """A server returned a value that was never written."""


class _Run:
    """What the connections of a run share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.keys = [
            name.encode() for name in map(f"bench:{secrets.token_hex(4)}:%d".__mod__,
                                          range(plan.keys))
        ]  # fmt: skip
        self.names = [key.decode() for key in self.keys]
        self.history = History("kv")
        self.answers = Answers()
        self.values = count()
        self.processes = count()
        self.unanswered = 0

    def value(self, number: int) -> bytes:
        return (b"%d:" % number).ljust(self.plan.value_bytes, b"v")

    def number(self, value: bytes) -> int:
        """Which write a value is from. Raises Mangled."""
        digits = value.partition(b":")[0]
        number = int(digits) if digits.isdigit() and len(digits) < 16 else -1
        if value != self.value(number):
            raise Mangled(f"a read returned {value[:60]!r}, which was never written")
        return number


class _Mix(Asker):
    """Random reads and writes of random keys, by one connection."""

    def __init__(self, run: _Run, index: int) -> None:
        self.run = run
        self.history = run.history if run.plan.record else None
        self.reads, self.count = run.plan.reads, run.plan.keys
        self.random = random.Random(f"{run.plan.seed} {index}").random
        self.process = next(run.processes)
        self.op = -1
        self.at = 0
        self.reading = False

    def choose(self) -> bool:
        """What is next: `at` and `reading`. False: nothing."""
        self.at = int(self.random() * self.count)
        self.reading = self.random() < self.reads
        return True

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        if not self.choose():
            return None
        run, at = self.run, self.at
        number = None if self.reading else next(run.values)
        if self.history is not None:
            f = "get" if number is None else "put"
            self.op = self.history.invoke(self.process, f, run.names[at], number, now_ns)
        if number is None:
            return wire.get(run.keys[at])
        return wire.put(run.keys[at], run.value(number))

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        if isinstance(answer, Refusal):
            if answer.kind == "info":
                self.lost(answer.text, now_ns)
            else:
                self.end("fail", None, now_ns, answer.text)
            return
        result = None
        if self.reading and answer is not None:
            if not isinstance(answer, bytes):
                raise Mangled(f"a read returned {answer!r}")
            result = self.run.number(answer)
        elif not self.reading and answer is not True:
            raise Mangled(f"a write was answered {answer!r}")
        self.end("ok", result, now_ns, None)
        self.run.answers.add(asked_ns, now_ns)

    def lost(self, why: str, now_ns: int) -> None:
        self.run.unanswered += 1
        self.end("info", None, now_ns, why)
        self.process = next(self.run.processes)

    def end(self, type: Any, result: int | None, now_ns: int, error: str | None) -> None:
        if self.history is not None:
            self.history.complete(self.op, type, result, now_ns, error)


class _ReadBack(_Mix):
    """Reads each of its keys, once."""

    def __init__(self, run: _Run, index: int) -> None:
        super().__init__(run, index)
        self.left = list(range(index, run.plan.keys, run.plan.connections))
        self.reading = True

    def choose(self) -> bool:
        if not self.left:
            return False
        self.at = self.left.pop()
        return True


class _Delete(Asker):
    """Deletes the keys of a run."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.left = list(keys)

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        some, self.left = self.left[:DELETED_AT_ONCE], self.left[DELETED_AT_ONCE:]
        return command(b"DEL", *some) if some else None

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        pass

    def lost(self, why: str, now_ns: int) -> None:
        pass


async def bench(plan: Plan, progress: Progress = lambda seconds, operations: None) -> Bench:
    """Run a plan. When its task is cancelled, which Ctrl-C does, it gives what there is so far.

    Raises BadInput if a server cannot be reached at the beginning, or refuses.
    """
    plan.validate()
    run = _Run(plan)
    try:
        protocol = name_of(await _who(plan))
        found = await _loaded(plan, run, progress)
    except Mangled as wrong:
        found = {}, str(wrong), 0, True
    except ConcurError as error:
        raise BadInput(str(error)) from None
    figures, mangled, lost, complete = found
    return Bench(
        protocol=protocol,
        figures=figures | {"unanswered": run.unanswered},
        history=run.history,
        mangled=mangled,
        lost=lost,
        complete=complete,
    )


Found = tuple[dict[str, Any], str, int, bool]


async def _who(plan: Plan) -> dict[str, str]:
    """What the first server says of itself that can be reached."""
    for target in plan.targets[:-1]:
        try:
            return await who(target, plan.tls)
        except Unreachable:
            continue
    return await who(plan.targets[-1], plan.tls)


def _load(plan: Plan, askers: Sequence[Asker], *, reconnect: bool) -> Load:
    first = plan.targets[0]
    return Load(
        [each.address for each in plan.targets],
        lambda: RespWire(first.password, first.user),
        askers,
        reconnect=reconnect,
        timeout_s=plan.timeout_s,
        tls=plan.tls,
    )


async def _loaded(plan: Plan, run: _Run, progress: Progress) -> Found:
    load = _load(plan, [_Mix(run, i) for i in range(plan.connections)], reconnect=True)
    complete = True
    gc.disable()  # what is recorded makes no cycles; looking for them takes longer and longer
    try:
        await load.connect()
        load.begin()
        began = time.perf_counter_ns()
        begin, end = (began + int(s * 1e9) for s in (plan.warmup_s, plan.warmup_s + plan.seconds))
        used, used_from = time.process_time(), began
        try:
            while (now := time.perf_counter_ns()) < end and len(run.history) < OPERATIONS_MAX:
                if used_from < begin <= now:
                    used, used_from = time.process_time(), now
                progress((now - began) / 1e9, len(run.answers))
                next_look = begin if now < begin else end
                await load.during(min(STEP_S, (next_look - now) / 1e9))
        except asyncio.CancelledError:
            complete = False
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        now = time.perf_counter_ns()
        used = time.process_time() - used
        load.stop()
        await load.ended()
        figures = run.answers.figures(min(begin, now), min(end, now))
        figures["generator_cores"] = used * 1e9 / max(now - used_from, 1)
        figures["measured_s"] = max(min(end, now) - begin, 0) / 1e9
        mangled = ""
        try:
            if complete:
                await _to_the_end(plan, [_ReadBack(run, i) for i in range(plan.connections)])
        except Mangled as wrong:
            mangled = str(wrong)
        except Unreachable:  # then there is nothing to be known of the end
            pass
        return figures, mangled, load.lost, complete
    finally:
        gc.enable()
        await load.close()
        await _clean(plan, run)


async def _to_the_end(plan: Plan, askers: Sequence[Asker]) -> None:
    """Let askers ask all that they have, as long as there are answers."""
    load = _load(plan, askers, reconnect=True)
    try:
        await load.connect()
        load.begin()
        await load.during(plan.timeout_s + plan.keys / 1000)
        load.stop()
        await load.ended()
    finally:
        await load.close()


async def _clean(plan: Plan, run: _Run) -> None:
    """Leave nothing behind, if that is possible."""
    try:
        await _to_the_end(plan, [_Delete(run.keys)])
    except ConcurError:
        return
