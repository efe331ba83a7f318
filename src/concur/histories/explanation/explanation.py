"""Why a history is not consistent: the few operations that show it, in words and as a picture."""

import re
from collections.abc import Sequence
from time import perf_counter

import msgspec

from concur.histories.admission import admitted
from concur.histories.check import STEPS_MAX, check
from concur.histories.explain import PHRASE_CHARS_MAX, describe
from concur.histories.explanation import words
from concur.histories.explanation.questions import forgotten
from concur.histories.explanation.reduction import Reduced, Reduction
from concur.histories.explanation.stuck import Stuck, stuck
from concur.histories.formats.base import plain
from concur.histories.history import History, Operation
from concur.histories.identity import identity
from concur.histories.models import model
from concur.histories.models.set import SetModel
from concur.histories.specification import Specification
from concur.histories.verdict import Verdict
from concur.machines.counter import Counter
from concur.machines.lock import Lock

DRAWN_MAX = 60
"""Operations that a picture shows."""
TOLD_MAX = 24
"""Operations that are told one by one."""
ORDERED_MAX = 8
"""With more operations, it is not said which ended before which began."""
DRAWN_IF_MANY = 16
"""And that it shows if no small contradiction was found."""
REPEATED_MAX = 20
"""Lines of the verdict that an explanation repeats."""
STATES_SHARE = 0.1
"""Of the budget, for what there was to see at the operation that has no place."""
EVENTS = re.compile(r"\(events? (\d+)")


class Shown(msgspec.Struct, frozen=True):
    """An operation of an explanation. `number` counts those shown, from 1, by their calls;
    `position` is its number in the history. `op` may be `recorded` without its outcome."""

    number: int
    position: int
    op: Operation
    recorded: Operation
    essential: bool
    culprit: bool


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a history is not consistent.

    `minimal` holds operations of the history that are still wrong, whatever became of the others:
    the `essential` ones, of which none could be left out, and the `supporting` ones, without which
    one would not understand these (numbers of operations, as `History.invoke` gives them). Of a
    supporting one the outcome may be missing, where it plays no part. `others` counts those that
    were left out; of `alike` of them, writes that had been overwritten like one of the essential
    ones, it matters that they had ended. If `ended`, that matters of all of them, and only what
    they were told does not. `complete` is False if nobody knows whether it could be smaller: the
    budget ran out, or a question was too hard.

    `shown` are the operations of `minimal`; if those are too many, what the checker names. The
    longest prefix that is linearizable ends just before the `culprit` among them returns, which in
    any order of that prefix meets the `subject` in one of `states`, and so could only have had one
    of `outcomes`: six of each at most, and none if it would take too long to find out. `whole`
    tells whether that is so with all operations of the object, or with those shown alone. `lines`
    say all that in words.
    """

    title: str
    minimal: History
    essential: tuple[int, ...]
    supporting: tuple[int, ...]
    others: int
    alike: int = 0
    ended: bool = False
    complete: bool
    shown: tuple[Shown, ...]
    subject: str = "the state"
    whole: bool = False
    states: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    def timeline(self, width: int = 100) -> str:
        """A picture of text, at most `width` columns wide: processes are rows, time goes right."""
        from concur.histories.explanation.bars import draw

        return draw(self, width)

    def svg(self) -> str:
        """The same picture as an SVG file that needs nothing else, for light and dark."""
        from concur.histories.explanation.picture import svg

        return svg(self)

    def html(self) -> str:
        """Words and picture as one HTML file that needs nothing else and has no scripts."""
        from concur.histories.explanation.picture import html

        return html(self)

    def __str__(self) -> str:
        return "\n".join((*self.lines, "", self.timeline()))


def explain(
    history: History,
    machine: Specification | str = "",
    verdict: Verdict | None = None,
    budget_s: float = 10.0,
) -> Explanation:
    """Why the history is not what `verdict`, or else `check`, says that it is not. `machine` is as
    `check` takes it.

    Takes about `budget_s` seconds at most, and as long again for the verdict if there is none; if
    that is enough, it is the same explanation on every computer. Raises ValueError if nothing is
    known to be wrong, and BadInput if an operation is none of the machine's.
    """
    if isinstance(machine, str):
        machine = model(machine or history.model)
    if verdict is None:
        verdict = check(history, machine, budget_s, STEPS_MAX)
    if verdict.valid is not False:
        raise ValueError(f"nothing to explain: {verdict.reason}")
    if verdict.consistency != "linearizable":
        return _weaker(history, machine, verdict)
    deadline = perf_counter() + budget_s
    reduction = Reduction(history, machine, (1 - STATES_SHARE) * budget_s)
    named = _named(verdict, reduction.operations)
    reduced = reduction.run(verdict.core, named)
    minimal = reduction.history(reduced.shown, history.model)
    operations = history.operations()
    others = len(history) - len(reduced.shown)
    subject = words.subject(machine, words.distinct(operations[p].key for p in reduced.shown))
    found, among = None, ALONE
    if len(reduced.shown) <= DRAWN_MAX:
        if reduced.last is not None:
            seen, among = _seen(reduction, reduced, reduced.last, others)
            culprit = reduction.operations[reduced.last]
            found = stuck(seen, machine, culprit, operations[reduced.last], deadline)
        shown = _shown(operations, reduced)
        lines = _lines(history, machine, shown, reduced, subject, among, found)
    else:
        shown = _as_recorded(operations, named or sorted(reduced.shown))
        lines = [
            f"No contradiction of fewer than {len(reduced.shown):,} operations was found. "
            "What the checker met:",
            *_repeated(verdict),
        ]
    return Explanation(
        title=_title(shown, verdict.consistency),
        minimal=minimal,
        essential=reduced.essential,
        supporting=reduced.supporting,
        others=others,
        alike=reduced.alike,
        ended=reduced.ended,
        complete=reduced.certain,
        shown=shown,
        subject=subject,
        whole=found is not None and among != ALONE,
        states=found.states if found else (),
        outcomes=found.outcomes if found else (),
        lines=tuple(map(plain, lines)),
    )


ALONE = "these alone"


def _seen(
    reduction: Reduction, reduced: Reduced, last: int, others: int
) -> tuple[list[Operation], str]:
    """The operations of which it is said what the last one could have met, and what these are. The
    essential ones alone, unless one would take it for more than that."""
    if others and len(reduced.essential) > 1 and not reduced.ended:
        return reduction.alone(reduced.shown), ALONE
    seen = reduction.whole(last)
    keys = words.distinct(op.key for op in seen)
    of = "" if len(keys) != 1 or keys[0] is None else f" on {words.value(keys[0])}"
    return seen, f"all operations{of}" if others else "these"


def _as_recorded(operations: Sequence[Operation], numbers: Sequence[int]) -> tuple[Shown, ...]:
    return tuple(
        Shown(place + 1, position, operations[position], operations[position], True, False)
        for place, position in enumerate(numbers)
    )


def _repeated(verdict: Verdict) -> tuple[str, ...]:
    """What the checker said, if that is not too long."""
    lines = verdict.anomaly[:REPEATED_MAX]
    more = len(verdict.anomaly) - len(lines)
    return (*lines, f"and {words.counted(more, 'more line')}") if more else lines


def _shown(operations: Sequence[Operation], reduced: Reduced) -> tuple[Shown, ...]:
    essential = set(reduced.essential)
    return tuple(
        Shown(
            number + 1,
            position,
            operations[position] if told else forgotten(operations[position]),
            operations[position],
            position in essential,
            position == reduced.last,
        )
        for number, (position, told) in enumerate(sorted(reduced.shown.items()))
    )


def _title(shown: Sequence[Shown], consistency: str) -> str:
    keys = words.distinct(one.op.key for one in shown)
    title = f"Why it is not {consistency}"
    if len(keys) == 1 and keys[0] is not None:
        title += f": {words.value(keys[0])}"
    return plain(title)


# --- in words -------------------------------------------------------------------------------------


def _lines(
    history: History,
    machine: Specification,
    shown: Sequence[Shown],
    reduced: Reduced,
    subject: str,
    among: str,
    found: Stuck | None,
) -> list[str]:
    clock = words.Clock(_times(shown))
    essential = [one for one in shown if one.essential]
    supporting = [one for one in shown if not one.essential]
    others = len(history) - len(shown)
    if len(essential) == 1:
        start = "This operation cannot be explained"
    else:
        start = f"These {words.counted(len(essential), 'operation')} contradict each other"
    rest = "the other one" if others == 1 else f"the other {others:,}"
    verb = "was" if others == 1 else "were"
    but = f"whatever {rest} {verb} told" if reduced.ended else f"whatever became of {rest}"
    lines = [f"{start}, {but}:" if others else f"{start}:"]
    lines += _told(essential, shown, clock)
    if supporting:
        lines.append("To understand it one has to know as well:")
        lines += _told(supporting, shown, clock)
    if len(shown) <= ORDERED_MAX:
        lines += _precedence(shown)
    if reduced.alike:
        many = words.counted(reduced.alike, "more operation")
        lines.append(f"{many} that could explain it had been overwritten in the same way.")
    culprit = next((one for one in shown if one.culprit), None)
    if culprit is not None and found is not None:
        lines += _no_place(culprit, subject, among, found)
    if len(shown) == 1 and not isinstance(machine, Counter | SetModel | Lock):
        lines += _elsewhere(history, machine, shown[0], clock)
    if len(essential) > 1 and reduced.certain:
        known = "what it was told" if reduced.ended else "what came of it"
        lines.append(
            f"Each of the {len(essential)} is needed: if nobody knew {known}, nor of the others, "
            "there could be an order."
        )
    if not reduced.certain:
        lines.append(
            "There may be a smaller contradiction: the budget did not suffice to rule it out."
        )
    return lines


def _times(shown: Sequence[Shown]) -> list[int]:
    times = [one.op.call_ns for one in shown]
    return times + [one.op.return_ns for one in shown if one.op.return_ns is not None]


def _told(some: Sequence[Shown], shown: Sequence[Shown], clock: words.Clock) -> list[str]:
    end = max(_times(shown))
    lines = [
        f"  {one.number}. {words.sentence(one.op, one.recorded, clock, end)}"
        for one in some[-TOLD_MAX:]
    ]
    if len(some) > TOLD_MAX:
        lines.insert(0, f"  ({len(some) - TOLD_MAX:,} earlier ones are not listed)")
    return lines


def _before(a: Shown, b: Shown) -> bool:
    """Real time, as `concur.histories.timeline` has it."""
    if a.op.return_ns is None:
        return False
    if a.recorded.process == b.recorded.process:
        return a.op.index < b.op.index
    return a.op.return_ns < b.op.call_ns


def _precedence(shown: Sequence[Shown]) -> list[str]:
    """Which of them ended before which others began, without what follows from that."""
    pairs = [(a, b) for a in shown for b in shown if _before(a, b)]
    direct = [(a, b) for a, b in pairs if not any(_before(a, c) and _before(c, b) for c in shown)]
    ends: dict[int, list[str]] = {}
    for a, b in direct:
        ends.setdefault(a.number, []).append(str(b.number))
    said = [f"{number} ended before {words.listed(begun)} began" for number, begun in ends.items()]
    return [f"{'; '.join(said)}."] if said else []


def _no_place(culprit: Shown, subject: str, among: str, found: Stuck) -> list[str]:
    """What there was to see for it, and what it could have been told, `among` which operations."""
    number = culprit.number
    states = words.listed(found.states, "or") + (" or something else" if found.more_states else "")
    lines = [
        f"Up to the answer of {number} {among} have an order, and in any such order {subject} is "
        f"{states} when {number} takes place."
    ]
    was = words.label(culprit.op, key=False, most=PHRASE_CHARS_MAX)
    if found.outcomes:
        could = words.listed([f"`{one}`" for one in found.outcomes], "or")
        more = " or something else" if found.more_outcomes else ""
        so = "Among these" if among == ALONE else "So"
        lines.append(f"{so} {number} could only be {could}{more}, but it was `{was}`.")
    else:
        lines.append(f"There {number} could not be `{was}`.")
    return lines


def _elsewhere(
    history: History, machine: Specification, culprit: Shown, clock: words.Clock
) -> list[str]:
    """Where the value that it saw came from."""
    op, value = culprit.op, culprit.op.result
    if value is None or isinstance(value, bool) or op.value is not None or op.f == "length":
        return []
    start = getattr(machine, "start", None)
    if identity(value) in map(identity, start if isinstance(start, tuple) else (start,)):
        return []
    brought = [one for one in history.operations() if words.carries(one, op.key, value)]
    if not brought:
        return [f"No operation of the history has {words.value(value)} as its value."]
    if op.return_ns is not None and all(one.call_ns > op.return_ns for one in brought):
        said = words.sentence(brought[0], brought[0], clock)
        return [f"{words.value(value)} came only later: {said}."]
    return []


# --- weaker promises ------------------------------------------------------------------------------


def _weaker(history: History, machine: Specification, verdict: Verdict) -> Explanation:
    """What the checker said, and the operations that it named. These alone need not be wrong."""
    named = _named(verdict, admitted(history, machine).operations())
    raw = history.operations()
    shown = _as_recorded(raw, named)
    lines = [verdict.reason, *_repeated(verdict)]
    return Explanation(
        title=_title(shown, verdict.consistency),
        minimal=History.of((raw[position] for position in named), history.model),
        essential=tuple(named),
        supporting=(),
        others=len(history) - len(named),
        complete=False,
        shown=shown,
        lines=tuple(map(plain, lines)),
    )


def _named(verdict: Verdict, operations: Sequence[Operation]) -> list[int]:
    """The operations that the lines of the verdict describe."""
    number_of = {op.index: number for number, op in enumerate(operations)}
    named = set()
    for line in verdict.anomaly:
        for event in EVENTS.findall(line):
            number = number_of.get(int(event))
            if number is not None and describe(operations[number]) in line:
                named.add(number)
    return sorted(named)
