"""What `concur verify` prints: the verdict, what was covered, and how it breaks if it does."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concur.verify import Scenario, Verification
    from concur.verify.liveness.response import Response
    from concur.verify.stories.counterexample import Counterexample

COLOURS = {"holds": "bold green", "violated": "bold red", "unknown": "bold yellow"}
USED_UP = {
    "seconds": "the seconds of its budget are used up",
    "states": "the states of its budget are used up",
    "memory": "the memory of its budget is used up",
    "interrupted": "it was stopped",
}


EXHAUSTED = "exhausted: "
SHOWN_MAX = 40
"""Events after faults have stopped that are shown to people."""


class Answer:
    """What a search found, and what was made of it. `interrupted` is by Ctrl-C, at any time.

    `response` is there if the question was whether all commands are answered.
    """

    def __init__(self, scenario: "Scenario", found: "Verification", seed: int) -> None:
        self.scenario = scenario
        self.found = found
        self.seed = seed
        self.response: Response | None = None
        self.example: Counterexample | None = None
        self.minimised = False
        self.transcript = ""
        self.told: tuple[str, ...] = ()  # the trace in words
        self.interrupted = found.stopped_by == "interrupted"

    @property
    def broken(self) -> str:
        """The property that does not hold; "" if there is none."""
        return self.found.property if self.example is None else self.example.property

    @property
    def reason(self) -> str:
        return self.found.reason if self.example is None else self.example.reason

    @property
    def trace(self) -> tuple[str, ...]:
        return self.found.trace if self.example is None else self.example.events

    @property
    def covered(self) -> str:
        """One sentence that claims no more than was done."""
        found = self.found
        if not found.exhausted or self.response is not None:
            return found.covered
        return f"{EXHAUSTED}{in_words(found.protocol, found.bounds)}"

    @property
    def more(self) -> str:
        """What `covered` leaves open: within which bounds, or how many states that was."""
        if self.found.exhausted and self.response is None:
            return self.found.covered.removeprefix(EXHAUSTED)
        return f"bounds: {in_words(self.found.protocol, self.found.bounds)}"


def print_answer(answer: Answer, *, json: bool) -> None:
    """For people, or one JSON object. What Ctrl-C has cut short is said on stderr, too."""
    if json:
        from concur.cli.terminal import print_json

        print_json(_as_json(answer))
    else:
        _print(answer)
    if answer.found.stopped_by == "interrupted":
        print(f"concur: stopped after {answer.found.unique_states:,} states", file=sys.stderr)


def _as_json(answer: Answer) -> dict[str, Any]:
    found = answer.found
    return {
        "protocol": found.protocol,
        "verdict": found.verdict,
        "exhausted": found.exhausted,
        "covered": answer.covered,
        "bounds": found.bounds,
        "commands": script(answer.scenario),
        "unique_states": found.unique_states,
        "transitions": found.transitions,
        "depth": found.depth,
        "seconds": found.seconds,
        "strategy": found.strategy,
        "reductions": list(found.reductions),
        "stopped_by": found.stopped_by,
        "seed": answer.seed,
        "property": answer.broken,
        "reason": answer.reason,
        "trace": list(answer.trace),
        "minimised": answer.minimised,
        "transcript": answer.transcript,
        **_told_of(answer.response),
    }


def _told_of(response: "Response | None") -> dict[str, Any]:
    """What JSON has besides if the question was whether all commands are answered."""
    if response is None:
        return {}
    return {
        "assumed": response.assumed,
        "situations": response.situations,
        "schedule": response.schedule,
        "after": list(response.after),
        "lasso": list(response.lasso),
        "rounds_max": response.rounds_max,
        "span_s_max": response.span_s_max,
    }


def _print(answer: Answer) -> None:
    from concur.cli.terminal import out
    from concur.histories.formats import plain

    console, found = out(), answer.found
    headline = found.verdict.upper()
    if found.verdict == "violated":
        headline += f": {answer.broken}"
    elif found.verdict == "unknown":
        headline += f": {USED_UP.get(found.stopped_by, 'not every state was seen')}"
    console.print(headline, style=COLOURS[found.verdict], soft_wrap=True)
    for line in answer.reason.splitlines():
        console.print(f"  {plain(line)}", soft_wrap=True)
    if answer.transcript:
        console.print()
        for line in answer.transcript.splitlines():
            console.print(plain(line), soft_wrap=True)
        console.print()
    elif answer.trace:
        console.print()
        for line in _story(answer):
            console.print(plain(line), soft_wrap=True)
        console.print()
    console.print(answer.covered, soft_wrap=True)
    console.print(answer.more, soft_wrap=True)
    if answer.response is not None:
        console.print(f"assumed: {answer.response.assumed}", soft_wrap=True)
    console.print(f"commands: {script(answer.scenario) or 'none'}", soft_wrap=True)
    changed = found.bounds["parameters"]
    listed = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    console.print(f"parameters: {listed or 'all as by default'}", soft_wrap=True)
    rate = found.unique_states / found.seconds if found.seconds else 0.0
    console.print(
        f"{found.strategy}: {found.transitions:,} transitions in {found.seconds:.1f} s, "
        f"{rate:,.0f} states a second; seed {answer.seed}",
        soft_wrap=True,
    )


def readable(example: "Counterexample") -> tuple[str, ...]:
    """Its events, with messages and commands in the words of transcripts."""
    from concur.testing.render import Renderer
    from concur.verify.nodes.stage import Packet

    renderer = Renderer(example.scenario.replicated)
    lines = []
    for label, action, _ in example.moments()[1:]:
        packet = None if action is None else action.message
        if isinstance(packet, Packet):
            label = label.replace(repr(packet), renderer.value(packet.message), 1)
        host, _, rest = label.partition(": ")
        lines.append(label if not rest.startswith(f"{host} ") else rest)
    return tuple(lines)


def _story(answer: Answer) -> Iterator[str]:
    """Numbered events; and where they are of fewer bounds than were explored, which."""
    events = answer.told or answer.trace
    width = len(str(len(events)))
    for number, event in enumerate(events, 1):
        yield f"  {number:{width}}  {event}"
    example, response = answer.example, answer.response
    if example is not None:
        bounds = example.scenario.bounds()
        if bounds != answer.found.bounds:
            yield f"  with {in_words(answer.found.protocol, bounds)}"
    if response is not None and response.after:
        yield f"  and then faults stop; {response.schedule}:"
        yield from _from_then_on(response, " " * (width + 4))


def _from_then_on(response: "Response", indent: str) -> Iterator[str]:
    repeats = len(response.after) - len(response.lasso)
    left_out = range(SHOWN_MAX // 2, len(response.after) - SHOWN_MAX // 2)
    for number, event in enumerate(response.after):
        if response.lasso and number == repeats:
            yield "  and from here on, again and again:"
        if number not in left_out:
            yield f"{indent}{event}"
        elif number == left_out[0]:
            yield f"{indent}... {len(left_out)} more events, which --json has ..."


# --- bounds in words ------------------------------------------------------------------------------

COUNTED = {
    "replicas": "replica",
    "spares": "spare",
    "clients": "client",
    "commands": "command",
    "timeouts": "timeout",
    "ticks": "tick",
    "crash": "crash",
    "wipe": "wipe",
    "duplicate": "duplicate",
    "jump": "jump",
    "loss": "loss",
    "copies": "copy of a message",
}
"""Bounds that are numbers, as one of them is called."""
PLURALS = {"crash": "crashes", "loss": "losses", "copy of a message": "copies of a message"}
WORDS: dict[tuple[str, Any], str] = {
    ("turns", "one event each"): "no batches",
    ("turns", "batches"): "batches",
    ("duplicate", "any"): "any duplicates",
    ("duplicate", "any between servers"): "any duplicates between servers",
}


def in_words(protocol: str, bounds: dict[str, Any]) -> str:
    """Bounds as a list: `raft, 3 replicas, 2 clients, 2 commands, 1 crash, any loss, no wipe`."""
    some, none = [protocol], []
    for bound, value in bounds.items():
        if bound == "parameters":
            continue
        word = many = bound
        if bound in COUNTED:
            word = COUNTED[bound]
            many = PLURALS.get(word, f"{word}s")
        if isinstance(value, int) and not isinstance(value, bool) and bound in COUNTED:
            if value:
                some.append(f"{value} {word if value == 1 else many}")
            else:
                none.append(f"no {many}")
        elif value == "any" and (bound, value) not in WORDS:
            some.append(f"any {word}")
        elif isinstance(value, str | int):
            some.append(WORDS.get((bound, value), f"{many} {value}"))
        else:
            some.append(f"{many} {_listed(value)}")
    return ", ".join(some + none)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={each}" for name, each in value.items())
    return "; ".join(map(str, value))


def script(scenario: "Scenario") -> str:
    """The commands of each client, as `--commands` takes them."""
    return "; ".join(
        ", ".join(_typed(command) for command in commands) for commands in scenario.asked()
    )


def _typed(command: Any) -> str:
    import msgspec

    kind = type(command)
    words = [str(kind.__struct_config__.tag)]
    for value in msgspec.structs.astuple(command):
        plain = isinstance(value, str) and value.isascii() and value.replace(".", "").isalnum()
        words.append(value if plain and not value[0].isdigit() else _quoted(value))
    return " ".join(words)


def _quoted(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode() if not isinstance(value, bytes) else repr(value)
