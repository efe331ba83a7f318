"""Jepsen's smaller checkers: sets, queues, counters and unique ids, each in one pass.

They ask less than linearizability, cost O(n log n) however concurrent the history is, and tell how
much went wrong, not only whether. Each takes a History and returns a `Tally`: a Verdict with
figures.

| checker | operations | asks |
| --- | --- | --- |
| `set_` | add, read | does the last read hold everything that was added, and nothing else? |
| `set_full` | add, read | ... and for each element: from when on was it always read? |
| `queue_` | enqueue, dequeue | does every dequeued value come from an earlier enqueue? |
| `total_queue` | enqueue, dequeue, drain | ... and does every enqueued value come out? |
| `counter` | add, read | is every read between what was certainly and what was possibly added? |
| `unique_ids` | generate | are all ids different? |

Keys name independent sets, queues and counters. The questions are those of `jepsen.checker`; the
code is not. These answers differ on purpose: here the order is that of time, not of the file, equal
times are concurrent (but of one process), and what failed certainly did not happen.

* An add or enqueue that failed is no attempt: its value is unexpected if it is read or dequeued.
* `set_`: the last read is the last to return; an add is lost only if it returned before that was
  called. Jepsen: the last one in the file; any acknowledged add.
* `set_full`: an element is not lost by a read that misses it, called before one that has it had
  returned; it is stable (and stale, if it was known). Jepsen compares their calls: if the one that
  misses it was called last, it is lost if it was known before, else never read.
* `set_full`: elements that nobody added are unexpected and make it invalid. Jepsen ignores them.
  Of a read that has an element twice it says the same, but some of its versions find none.
* `total_queue`: a value that never came out is lost only if the queue was seen empty after it was
  enqueued and no dequeue without an outcome can have taken it; else it is *left*. Jepsen: lost.
* `total_queue`: a drain without an outcome may have taken anything. Jepsen throws.
* `counter`: amounts may be negative. Jepsen refuses them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from concur.errors import BadInput
from concur.histories.explain import describe, phrase
from concur.histories.history import History, Operation
from concur.histories.identity import identity
from concur.histories.timeline import loose
from concur.histories.verdict import Valid, Verdict

SHOWN_MAX = 8
"""How many elements or reads an anomaly lists; the figures count all."""


class Tally(Verdict, frozen=True, kw_only=True):
    """A verdict with `figures`: counts, and for `set_full` latencies in nanoseconds."""

    figures: dict[str, int]

    def details(self) -> tuple[str, ...]:
        told = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        return (*self.anomaly, told)


class _Judge:
    """Collects what is wrong, and makes the verdict."""

    def __init__(self, history: History, name: str, known: Iterable[str]) -> None:
        self.started = perf_counter()
        self.name = name
        self.operations = history.operations()
        for op in self.operations:
            if op.f not in known:
                raise BadInput(
                    f"history, event {op.index}: {op.f}, expected {', '.join(known)} ({name})"
                )
        self.anomaly: list[str] = []

    def complain(self, what: str, operations: Sequence[Operation], but: str = "") -> None:
        """`operations` show what is wrong, one each."""
        if not operations:
            return
        self.anomaly.append(f"{what} ({len(operations)}{but}):")
        self.anomaly += ["  " + describe(op) for op in operations[:SHOWN_MAX]]
        if len(operations) > SHOWN_MAX:
            self.anomaly.append(f"  and {len(operations) - SHOWN_MAX} more")

    def tally(self, reason: str, unknown: str, figures: dict[str, int]) -> Tally:
        """Broken if there was a complaint; else unknown, if that says why; else `reason` holds."""
        valid: Valid = True
        if self.anomaly:
            valid, reason = False, self.anomaly[0].rstrip(":")
        elif unknown:
            valid, reason = "unknown", unknown
        return Tally(
            valid=valid,
            reason=reason,
            algorithm=self.name,
            operations=len(self.operations),
            steps=0,
            seconds=perf_counter() - self.started,
            anomaly=tuple(self.anomaly),
            consistency=self.name,
            figures=figures,
        )

    def by_key(self) -> list[list[Operation]]:
        parts: dict[Any, list[Operation]] = {}
        for op in self.operations:
            parts.setdefault(identity(op.key), []).append(op)
        return list(parts.values())


def _elements(read: Operation) -> tuple[Any, ...]:
    if not isinstance(read.result, tuple | list):
        raise BadInput(
            f"history, event {read.return_index}: {read.f} gave {phrase(read.result)}, expected "
            "the list of its elements"
        )
    return tuple(read.result)


def set_(history: History) -> Tally:
    """Adds, and a last read. Valid if it holds all that was added before, and nothing else.

    "unknown" if a set was never read. Figures: `attempts`, `acknowledged`, `ok` (read, and somebody
    tried to add it), `lost`, `unexpected`, `recovered` (read, although its add had no outcome).
    Raises BadInput for other operations, or a read that is no list.
    """
    judge = _Judge(history, "set", ("add", "read"))
    figures = Counter[str]()
    never_read = False
    for operations in judge.by_key():
        adds = [op for op in operations if op.f == "add"]
        reads = [op for op in operations if op.f == "read" and op.type == "ok"]
        figures["attempts"] += len(adds)
        figures["acknowledged"] += sum(op.type == "ok" for op in adds)
        if not reads:
            never_read = True
            continue
        last = max(reads, key=lambda op: (op.return_ns, op.return_index))
        found = set(map(identity, _elements(last)))
        possible = {identity(op.value) for op in adds if op.type != "fail"}
        certain = {identity(op.value) for op in adds if op.type == "ok"}
        figures["ok"] += len(found & possible)
        figures["recovered"] += len((found & possible) - certain)
        lost = _once(
            op
            for op in adds
            if op.type == "ok" and _ended_before(op, last) and identity(op.value) not in found
        )
        figures["lost"] += len(lost)
        judge.complain("elements that were added are not in the last read", lost)
        unexpected = [v for v in _distinct(_elements(last)) if identity(v) not in possible]
        figures["unexpected"] += len(unexpected)
        if unexpected:
            judge.complain(f"nobody added {_some(unexpected)}, which the last read has", [last])
    return judge.tally(
        "the last read holds all that was added before it, and nothing else",
        "the set was never read" if never_read else "",
        _complete(figures, "attempts acknowledged ok lost unexpected recovered"),
    )


def set_full(history: History, linearizable: bool = False) -> Tally:
    """Adds and reads at any time; every element has its own story.

    An element is *known* once its add or a read that has it returned, whichever was first. It is
    *lost* if a read that was called after it was known, and after all reads that have it had
    returned, does not have it; *stable* if it is not lost and was read; else *never read*. A stable
    element is *stale* if a read misses it that was called after it was known. Valid unless an
    element is lost, unexpected, or twice in one read, or, with `linearizable`, stale; "unknown" if
    no element is stable. Figures also have `stale_ns_p50` and `stale_ns_max`: how long after it was
    known the last read was called that missed it, over the stable elements.
    """
    judge = _Judge(history, "set-full", ("add", "read"))
    figures = Counter[str]()
    delays: list[int] = []
    for operations in judge.by_key():
        stories = _Stories(operations)
        lost, stale = [], []
        for name, add in stories.added.items():
            outcome, delay = stories.outcome(name)
            figures[outcome] += 1
            if outcome == "lost":
                lost.append(add)
            elif outcome == "stable":
                delays.append(delay or 0)
                if delay is not None:
                    stale.append(add)
        figures["attempts"] += len(stories.added)
        figures["stale"] += len(stale)
        judge.complain("elements were there or acknowledged, and are lost", lost)
        if linearizable:
            judge.complain("elements were missed by a read after they were known", stale)
        figures["unexpected"] += len(stories.unexpected)
        judge.complain("elements were read that nobody added, here", stories.unexpected)
        figures["duplicated"] += len(stories.duplicated)
        judge.complain("a read has an element twice", stories.duplicated)
    told = _complete(figures, "attempts stable lost never_read stale unexpected duplicated")
    delays.sort()
    told["stale_ns_p50"] = delays[len(delays) // 2] if delays else 0
    told["stale_ns_max"] = delays[-1] if delays else 0
    return judge.tally(
        "every element that was known stayed",
        "" if figures["stable"] else "no element was ever read",
        told,
    )


Moment = tuple[int, int]  # rank, and time in nanoseconds


class _Stories:
    """For each element of one set: when it was known, and which reads have it or miss it."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.added: dict[Any, Operation] = {}
        self.known: dict[Any, Moment] = {}
        self.last_seen: dict[Any, Moment] = {}  # the latest return of a read that has it
        self.reads: list[tuple[Moment, set[Any]]] = []  # calls and elements, the latest first
        self.unexpected: list[Operation] = []
        self.duplicated: list[Operation] = []
        reads: list[tuple[Operation, Moment, set[Any]]] = []
        for op, called, returned in _moments(operations):
            if op.f == "add":
                name = identity(op.value)
                self.added.setdefault(name, op)
                if op.type == "ok":
                    self.known[name] = min(returned, self.known.get(name, returned))
            elif op.type == "ok":
                names = list(map(identity, _elements(op)))
                held = set(names)
                self.reads.append((called, held))
                reads.append((op, returned, held))
                if len(held) < len(names):
                    self.duplicated.append(op)
        for op, returned, held in reads:
            if not self.added.keys() >= held:
                self.unexpected.append(op)
            for name in held:
                self.known[name] = min(returned, self.known.get(name, returned))
                self.last_seen[name] = max(returned, self.last_seen.get(name, returned))
        self.reads.sort(key=lambda read: read[0], reverse=True)

    def outcome(self, name: Any) -> tuple[str, int | None]:
        """And, if it is stable but stale, how long after it was known the last read was called
        that misses it."""
        missed = next((called for called, held in self.reads if name not in held), None)
        known, seen = self.known.get(name), self.last_seen.get(name)
        if known is not None and missed is not None and missed > known:
            if seen is None or missed > seen:
                return "lost", None
            return "stable", missed[1] - known[1]
        return ("never_read" if seen is None else "stable"), None


def queue_(history: History) -> Tally:
    """Every dequeued value was enqueued, by a call that came before, and not dequeued too often.

    Order does not matter. An enqueue counts from its call on unless it failed. Figures: `enqueues`,
    `dequeues`, `unexpected`, `left` (possible values that were not dequeued in the end).
    """
    judge = _Judge(history, "queue", ("enqueue", "dequeue"))
    figures = Counter[str]()
    wrong = []
    for operations in judge.by_key():
        events: list[tuple[Moment, Operation]] = []
        for op, called, returned in _moments(operations):
            if op.f == "enqueue":
                events.append((called, op))
            elif op.type == "ok" and op.result is not None:
                events.append((returned, op))
        inside = Counter[Any]()
        for _, op in sorted(events, key=lambda event: event[0]):
            figures[op.f + "s"] += 1
            if op.f == "enqueue":
                inside[identity(op.value)] += 1
            elif inside[identity(op.result)]:
                inside[identity(op.result)] -= 1
            else:
                wrong.append(op)
        figures["left"] += inside.total()
    figures["unexpected"] = len(wrong)
    judge.complain("values came out that were not there", wrong)
    told = _complete(figures, "enqueues dequeues unexpected left")
    return judge.tally("every value that came out had been put in before", "", told)


def total_queue(history: History, exactly_once: bool = False) -> Tally:
    """What goes in comes out. A `drain` gives the list of all that it took.

    Valid if no value is lost, and none comes out that nobody put in; with `exactly_once` also none
    more often than it was put in. "unknown" if values are left of which nobody can say whether they
    are still inside, or were taken by a dequeue without an outcome. Figures: `attempts`,
    `acknowledged`, `ok`, `lost`, `left`, `unexpected`, `duplicated`, `recovered`.
    """
    judge = _Judge(history, "total-queue", ("enqueue", "dequeue", "drain"))
    figures = Counter[str]()
    for operations in judge.by_key():
        tried, acknowledged, came = Counter[Any](), Counter[Any](), Counter[Any]()
        where: dict[Any, Operation] = {}
        puts: dict[Any, list[tuple[Moment, Operation]]] = {}
        seen_empty: Moment = (-1, 0)
        takers = 0
        for op, called, returned in _moments(operations):
            if op.f == "enqueue":
                tried[identity(op.value)] += 1
                if op.type == "ok":
                    acknowledged[identity(op.value)] += 1
                    puts.setdefault(identity(op.value), []).append((returned, op))
                continue
            if op.type == "info":
                takers = len(operations) if op.f == "drain" else takers + 1
            empty = op.type == "fail"
            taken: tuple[Any, ...] = ()
            if op.type == "ok":
                taken = _elements(op) if op.f == "drain" else (op.result,)
                empty = op.f == "drain" or op.result is None
            if empty:
                seen_empty = max(seen_empty, called)
            for value in taken:
                if value is not None:
                    came[identity(value)] += 1
                    where[identity(value)] = op
        missing = acknowledged - came
        gone = [
            op
            for name, count in missing.items()
            for returned, op in sorted(puts[name], key=lambda put: put[0])[:count]
            if returned < seen_empty
        ]
        # A dequeue without an outcome takes one value at most: the others are lost for certain.
        lost = gone if len(gone) > takers else []
        but = f", of which open dequeues may have taken {takers}" if takers else ""
        judge.complain("values were enqueued and never came out", lost, but)
        unexpected = [name for name in came if name not in tried]
        judge.complain("values came out that nobody put in", [where[n] for n in unexpected])
        duplicated = {n: count for n, count in (came - tried).items() if n in tried}
        if exactly_once:
            judge.complain("values came out too often", [where[n] for n in duplicated])
        figures["attempts"] += tried.total()
        figures["acknowledged"] += acknowledged.total()
        figures["ok"] += (came & tried).total()
        figures["lost"] += len(lost) and len(lost) - takers
        figures["left"] += missing.total() - (len(lost) and len(lost) - takers)
        figures["unexpected"] += sum(came[name] for name in unexpected)
        figures["duplicated"] += sum(duplicated.values())
        figures["recovered"] += ((came & tried) - acknowledged).total()
    left = figures["left"]
    return judge.tally(
        "every value that was put in came out",
        f"of {left} values nobody can tell whether they are still inside" if left else "",
        _complete(figures, "attempts acknowledged ok lost left unexpected duplicated recovered"),
    )


def counter(history: History, initial: int = 0) -> Tally:
    """Every read lies between the least and the most that the counter can have been then.

    An add counts for certain if it returned before the read was called, and possibly if it was
    called before the read returned; negative amounts pull the other way. Necessary for
    linearizability, not sufficient. Figures: `adds`, `reads`, `errors`, `error_max` (how far the
    worst read is off).
    """
    judge = _Judge(history, "counter", ("add", "read"))
    figures = Counter[str]()
    worst = 0
    for part in judge.by_key():
        operations = [op for op in part if op.type == "ok" or (op.type == "info" and op.f == "add")]
        timeline = loose(operations)
        events: list[tuple[int, int, bool]] = []
        for i, op in enumerate(operations):
            number = op.value if op.f == "add" else op.result
            if type(number) is not int:
                raise BadInput(
                    f"history, event {op.index}: {op.f} of {phrase(number)}, expected an integer"
                )
            events.append((timeline.calls[i], i, False))
            if op.return_ns is not None:
                events.append((timeline.returns[i], i, True))
        certain = initial  # what the adds that returned come to
        open_adds = {False: 0, True: 0}  # what those come to that did not return, by sign
        at_call: dict[int, tuple[int, int]] = {}
        wrong = []
        for _, i, returns in sorted(events):
            op = operations[i]
            if op.f == "read" and not returns:
                at_call[i] = certain, certain
            elif op.f == "read":
                low, high = at_call.pop(i)
                low, high = low + open_adds[False], high + open_adds[True]
                figures["reads"] += 1
                if not low <= op.result <= high:
                    worst = max(worst, low - op.result, op.result - high)
                    wrong.append((op, low, high))
            elif not returns:
                open_adds[op.value > 0] += op.value
            else:
                open_adds[op.value > 0] -= op.value
                certain += op.value
                for read, (low, high) in at_call.items():  # possible for those, not certain
                    at_call[read] = low + min(op.value, 0), high + max(op.value, 0)
        figures["adds"] += sum(op.f == "add" for op in operations)
        figures["errors"] += len(wrong)
        judge.complain("reads are out of bounds", [op for op, _, _ in wrong])
        judge.anomaly += [
            f"  event {op.index} must be from {low} to {high}"
            for op, low, high in wrong[:SHOWN_MAX]
        ]
    told = _complete(figures, "adds reads errors")
    told["error_max"] = worst
    return judge.tally("every read is within its bounds", "", told)


def unique_ids(history: History) -> Tally:
    """All ids that `generate` gave are different.

    Figures: `attempts`, `acknowledged`, `duplicated` (ids that were given more than once).
    """
    judge = _Judge(history, "unique-ids", ("generate",))
    given: dict[Any, list[Operation]] = {}
    for op in judge.operations:
        if op.type == "ok":
            given.setdefault((identity(op.key), identity(op.result)), []).append(op)
    twice = [ops for ops in given.values() if len(ops) > 1]
    for ops in twice[:SHOWN_MAX]:
        judge.complain(f"id {phrase(ops[0].result)} was given more than once", ops)
    figures = {
        "attempts": len(judge.operations),
        "acknowledged": sum(map(len, given.values())),
        "duplicated": len(twice),
    }
    return judge.tally("all ids are different", "", figures)


CHECKERS: dict[str, Callable[[History], Tally]] = {
    "set": set_,
    "set-full": set_full,
    "set-full-linearizable": partial(set_full, linearizable=True),
    "queue": queue_,
    "total-queue": total_queue,
    "total-queue-exactly-once": partial(total_queue, exactly_once=True),
    "counter": counter,
    "unique-ids": unique_ids,
}
"""By the names that `concur check --checker` has for them."""


# --- small things ------------------------------------------------------------------------------


def _moments(operations: Iterable[Operation]) -> Iterator[tuple[Operation, Moment, Moment]]:
    """Each operation that may have happened or saw a queue empty, its call and its return: of two
    moments the smaller was first, if their order is known."""
    kept = [op for op in operations if op.type != "fail" or _saw_empty(op)]
    timeline = loose(kept)
    for op, call, end in zip(kept, timeline.calls, timeline.returns, strict=True):
        yield op, (call, op.call_ns), (end, op.return_ns or 0)


def _saw_empty(op: Operation) -> bool:
    return op.f in ("dequeue", "drain") and op.error in ("empty", ":empty")


def _ended_before(op: Operation, other: Operation) -> bool:
    if op.process == other.process:
        return op.index < other.index
    return op.return_ns is not None and op.return_ns < other.call_ns


def _once(operations: Iterable[Operation]) -> list[Operation]:
    """One operation for each value."""
    return list({identity(op.value): op for op in operations}.values())


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({identity(value): value for value in values}.values())


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(map(phrase, values[:SHOWN_MAX]))
    return shown + (f" and {len(values) - SHOWN_MAX} more" if len(values) > SHOWN_MAX else "")


def _complete(figures: Counter[str], names: str) -> dict[str, int]:
    return {name: figures[name] for name in names.split()}
