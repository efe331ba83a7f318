"""`concur check`: is a history consistent? Of ours, of Jepsen, of anybody's database."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from concur.cli.options import OUTPUT, Json
from concur.cli.questions import LINEARIZABLE, Asked, Placed, Question, question
from concur.cli.terminal import Advance, progress
from concur.errors import BadInput, between

if TYPE_CHECKING:
    from concur.histories import Event, History, Verdict
    from concur.histories.explanation import Explanation
    from concur.histories.formats import Source
    from concur.histories.formats.writing import HistoryWriter

EXAMPLES = """Examples:

concur check history.jsonl --model kv

concur check history.jsonl --model kv --html why.html

concur check history.jsonl --model kv --consistency spectrum

concur check store/latest/history.edn --model register --json

concur check history.jsonl --model kv --certificate proof.json

concur check history.jsonl --model kv --verify-certificate proof.json

concur check history.edn --checker set-full

zcat huge.jsonl.gz | concur check - --model kv --budget-s 60"""

INPUT = "The history"
UNDECIDED = 3
INTERRUPTED = 130

HELD_EVENTS_MAX = 4_000_000
"""About 500 MB. A longer history is checked while it is read."""
CHUNK_EVENTS = 4096

BUDGET_S_MAX = 1e6


def check(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The history, plain or gzip; - is standard input."),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="What the operations should be those of: register, cas-register, kv, counter, "
            "fetch-add, lock, set, queue, stack, priority-queue, multi-register or "
            "package.module:Class (docs/check.md).",
            metavar="NAME",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = "",
    checker: Annotated[
        str,
        typer.Option(
            help="Instead of a model, one of Jepsen's smaller checkers, which count what went "
            "wrong: set, set-full, set-full-linearizable, queue, total-queue, "
            "total-queue-exactly-once, counter or unique-ids.",
            metavar="NAME",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = "",
    consistency: Annotated[
        str,
        typer.Option(
            help="What to check: linearizable, sequential, causal, pram, monotonic-reads, "
            "k-atomic=2, bounded-staleness=100ms ... (docs/consistency.md); spectrum places the "
            "history among all of them.",
            metavar="NAME",
            rich_help_panel=INPUT,
        ),
    ] = LINEARIZABLE,
    format: Annotated[
        str,
        typer.Option(
            help="jsonl (ours), edn (Jepsen, Knossos), json (its twin) or porcupine. Default: "
            "found out by looking at it.",
            metavar="NAME",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = "",
    initial: Annotated[
        str | None,
        typer.Option(
            help="The value before any operation, as JSON: 0, null, '\"x\"', [1, 2]; nothing at "
            "all is the empty string. Default: the model's own.",
            metavar="VALUE",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = None,
    failed_cas: Annotated[
        str,
        typer.Option(
            help="What a failed compare-and-set says: dropped, nothing (as in Jepsen), or "
            "evidence, that the value was another.",
            metavar="dropped|evidence",
            rich_help_panel=INPUT,
        ),
    ] = "dropped",
    budget_s: Annotated[
        float,
        typer.Option(
            help="Seconds that the search for an order may take; after that it is undecided. And "
            "as many to find the fewest operations that show why it is not consistent.",
            rich_help_panel=INPUT,
        ),
    ] = 10.0,
    verify_certificate: Annotated[
        Path | None,
        typer.Option(
            help="Look for no order: see whether the one in this file proves it.",
            metavar="FILE",
            rich_help_panel=INPUT,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="If it is not consistent, write why, in words and as a picture, as one HTML file.",
            metavar="FILE",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="If it is linearizable, write the proof: an order that explains every outcome.",
            metavar="FILE",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            help="Write the history to a file of another format, .jsonl or .edn.",
            metavar="FILE",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Check that a history is linearizable, or keeps a weaker promise, and say why if not.

    Exit status 0: it is. 1: it is not. 2: the file is malformed. 3: undecided within the budget. Of
    a spectrum it is that of linearizable.
    """
    from concur.files import check_target, write_whole
    from concur.histories.formats import writer

    between("--budget-s", budget_s, 0.0, BUDGET_S_MAX)
    asked = question(
        Asked(
            model=model,
            checker=checker,
            consistency=consistency,
            initial=initial,
            failed_cas=failed_cas,
            certificate=certificate,
            verify_certificate=verify_certificate,
            budget_s=budget_s,
        )
    )
    case = _Case(file, format, asked)
    with ExitStack() as stack:
        targets = {"certificate": certificate, "explanation": html, "history": write}
        taken = [] if file == "-" else [Path(file).resolve()]
        for what, target in targets.items():
            if target is None:
                continue
            check_target(what, target)
            if target.resolve() in taken:
                raise BadInput(f"{what} {target}: is in use here already, expected another file")
            taken.append(target.resolve())
        if write is not None:
            case.copy = stack.enter_context(writer(str(write)))
        try:
            verdict = case.run()
        except KeyboardInterrupt:
            if not json:
                print(f"concur: stopped after {case.events} events", file=sys.stderr)
                raise typer.Exit(INTERRUPTED) from None
            verdict = case.stopped()
    if case.events == 0 and not case.interrupted:
        print(f"concur: {file} has no operations", file=sys.stderr)
    if not json:
        _headline(case, verdict)
    explanation = case.explain(verdict)
    if html is not None:
        if explanation is not None:
            write_whole("explanation", html, explanation.html())
        else:
            why = "there is nothing to explain"
            if verdict.valid is False:
                why = "what was checked while it was read is not explained"
            print(f"concur: {why}, {html} is not written", file=sys.stderr)
    if json:
        _print_json(case, verdict, explanation)
    else:
        _details(case, verdict, explanation)
    if case.interrupted:
        return INTERRUPTED
    return {True: 0, False: 1, "unknown": UNDECIDED}[verdict.valid]


class _Case:
    """One file and its verdict."""

    def __init__(self, file: str, format: str, question: Question) -> None:
        self.file = file
        self.format = format
        self.question = question
        self.copy: HistoryWriter | None = None
        self.history: History | None = None  # as long as it is held
        self.events = 0
        self.read_seconds = 0.0
        self.streamed = False
        self.interrupted = False

    def run(self) -> "Verdict":
        from concur.histories.formats import format_of, open_history
        from concur.histories.formats.reading import VALUES_BYTES_MAX, fitting, history_of

        with open_history(self.file, self.format) as (source, events):
            self.format = format_of(source, self.format).name
            started = perf_counter()
            with progress("reading") as advance:
                read = self.counted(source, events, advance)
                history = history_of(fitting(read, HELD_EVENTS_MAX), self.question.model)
                self.read_seconds = perf_counter() - started
                more = next(read, None)
                if more is not None and self.question.streams:
                    return self.stream(history, chain((more,), read))
                if more is not None:
                    raise BadInput(
                        f"{self.file}: more than {HELD_EVENTS_MAX:,} events, or "
                        f"{VALUES_BYTES_MAX >> 20:,} MB of values, expected less: only "
                        f"{LINEARIZABLE}, without a certificate, is checked while a file is read"
                    )
        self.history = history
        with self.working(f"checking {len(history):,} operations"):
            return self.question.decide(history)

    def counted(
        self, source: "Source", events: "Iterator[Event]", advance: Advance
    ) -> "Iterator[Event]":
        """The same events, copied to `--write` on the way."""
        while chunk := list(islice(events, CHUNK_EVENTS)):
            self.events += len(chunk)
            if self.copy is not None:
                self.copy.write(chunk)
            done, total = source.progress()
            advance(done or self.events, total, f"{self.events:,} events")
            yield from chunk

    @contextmanager
    def working(self, what: str) -> "Iterator[None]":
        """Says what goes on, on a terminal. BadInput about an event gets its place in the file."""
        from concur.cli.terminal import err

        console = err()
        try:
            with console.status(what) if console.is_terminal else nullcontext():
                yield
        except BadInput as error:
            of_event = re.match(r"history, event (\d+)", str(error))
            if of_event is None:
                raise
            rest = str(error)[of_event.end() :]
            raise BadInput(self.place(int(of_event[1])) + rest) from None

    def place(self, event: int) -> str:
        """Where that event is in the file, of which as much as it takes is read once more."""
        from concur.histories.formats import open_history

        if self.file == "-":
            return f"standard input, event {event}"
        if not Path(self.file).is_file():  # what comes through a pipe cannot be read again
            return f"{self.file}, event {event}"
        with open_history(self.file, self.format) as (source, events):
            next(islice(events, event, None), None)
            return f"{self.file}, line {source.line} (event {event})"

    def explain(self, verdict: "Verdict") -> "Explanation | None":
        """Why it is wrong; None if it is not, or too long to be held, or after Ctrl-C."""
        if self.history is None or self.interrupted:
            return None
        try:
            with self.working("looking for the fewest operations that show it"):
                return self.question.explain(self.history, verdict)
        except KeyboardInterrupt:
            self.interrupted = True
            print("concur: stopped before it was explained", file=sys.stderr)
            return None

    def stream(self, history: "History", rest: "Iterator[Event]") -> "Verdict":
        from concur.histories.stream import check_stream

        self.streamed = True
        print(
            f"concur: more than {len(history):,} operations: checked while they are read",
            file=sys.stderr,
        )
        machine, budget_s = self.question.machine, self.question.asked.budget_s
        with self.working("checking while it is read"):
            verdict = check_stream(chain(history.events(), rest), machine, budget_s)
        if self.copy is not None:
            for _ in rest:  # a copy is of all that was read, also behind what is wrong
                pass
        return verdict

    def stopped(self) -> "Verdict":
        from concur.histories import Verdict

        self.interrupted = True
        return Verdict(
            valid="unknown",
            reason=f"stopped after {self.events} events",
            algorithm="none",
            operations=0,
            steps=0,
            seconds=0.0,
        )


def _headline(case: _Case, verdict: "Verdict") -> None:
    from concur.cli.terminal import out
    from concur.histories.formats import plain

    if isinstance(case.question, Placed) and not case.interrupted:
        for line in case.question.spectrum.table():
            out().print(plain(line), soft_wrap=True)
        return
    colours = {True: "bold green", False: "bold red", "unknown": "bold yellow"}
    line = plain(verdict.headline)
    out().print(line, style=colours[verdict.valid], soft_wrap=True)


def _details(case: _Case, verdict: "Verdict", explanation: "Explanation | None") -> None:
    from concur.cli.terminal import out
    from concur.histories.formats import plain

    console = out()
    lines = list(map(plain, verdict.details()))
    if explanation is not None:
        lines = list(explanation.lines)
        if isinstance(case.question, Placed):
            lines = ["", f"{explanation.title}:", *lines]
        picture = explanation.timeline(console.width)
        lines += ["", *picture.splitlines(), ""] if picture else []
    for line in lines:
        console.print(line, soft_wrap=True)
    how = "while they were read" if case.streamed else f"after {case.read_seconds:.2f} s of reading"
    console.print(
        f"{verdict.operations:,} operations ({case.format}) held against {case.question.model}: "
        f"{verdict.algorithm}, {verdict.seconds:.2f} s, {how}"
    )


def _print_json(case: _Case, verdict: "Verdict", explanation: "Explanation | None") -> None:
    from concur.cli.terminal import print_json

    told: dict[str, object] = {
        "file": case.file,
        "format": case.format,
        "model": case.question.model,
        "consistency": verdict.consistency,
        "valid": verdict.valid,
        "reason": verdict.reason,
        "operations": verdict.operations,
        "seconds": verdict.seconds,
        "read_seconds": case.read_seconds,
        "algorithm": verdict.algorithm,
        "steps": verdict.steps,
        "anomalies": list(verdict.anomaly),
    }
    if explanation is not None:
        told["explanation"] = {
            "lines": explanation.lines,
            "events": [one.op.index for one in explanation.shown],
            "complete": explanation.complete,
        }
    print_json(told | ({} if case.interrupted else case.question.keys()))
