"""Golden transcripts: nodes driven by hand, and everything that they say to each other, in a file.

A transcript is a text file of blocks, apart by an empty line: a command, `----`, and what came of
it. Running it again must give the same text; `--rewrite-transcripts` (`concur.testing.plugin`)
writes the new text instead, and the diff is for a person to explain.

    # A lost Accept is sent again.

    start multi-paxos replicas=3 clients=1 machine=register
    ----
    r1 starts (new)
    ...

    deliver r1 r2 Accept
    ----
    r2 receives Accept(ballot=(1, r1), slot=1, ...) from r1
      persists votes[1] = ...
      -> r1 Accepted(ballot=(1, r1), slot=1)

Commands (SELECTOR is `all`, `FROM TO`, `from FROM` or `to TO`, then perhaps a message's name):

    start PROTOCOL [replicas=3] [spares=0] [clients=1] [machine=register] [seed=0] [PARAMETER=VALUE]
    invoke CLIENT COMMAND [ARGUMENT ...]     a client asks, in the machine's words: write "x"
    order OPERATOR members=r1,r2,r4 [learners=r5]     an operator asks for other members,
    order OPERATOR leader=r2                          or for another leader
    deliver SELECTOR, drop SELECTOR          what is under way now, in order of sending
    duplicate SELECTOR                       a second copy of each joins the queue
    stabilize                                deliver until nothing is under way; no timer rings
    run SECONDS                              the same, and timers ring as they fall due
    timer NODE NAME [ARGUMENT]               a timer rings, due or not
    crash HOST, restart HOST, wipe HOST      wipe: crash, lose the disk, start as wiped
    show NODE [FIELD ...]                    fields, by default those that are not as in a new node
    pending [SELECTOR], timers [NODE]        what is under way; what is armed, and when it is due
    quiet COMMAND ...                        run a command, and print what is decided and completed

Lines that begin with `#` are for the reader. Timers are set silently; a step's other effects are
printed below it.

`Transcript.reached` and `reached_by` say which handlers ran, for `concur.testing.reach`.
"""

import difflib
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from concur.base import Protocol, parse_parameter
from concur.effects import Complete, Decide, Effect, Event, TurnEnd
from concur.errors import BadInput
from concur.machines import machine
from concur.messages import encode
from concur.node import SECOND
from concur.parts.membership import order_body
from concur.protocols import protocol
from concur.testing.cluster import Cluster, Key, Letter, Seat, Violated
from concur.testing.reach import Reach
from concur.testing.render import Renderer

FOLDER = "transcripts"
"""Text files in folders of this name are transcripts."""
RULE = "----"
STEPS_MAX = 20_000


class Block(msgspec.Struct, frozen=True):
    """A command and the text that should come of it; `line` counts from 1."""

    comments: tuple[str, ...]
    command: str
    expected: str
    line: int


def parse(text: str, where: str = "transcript") -> tuple[list[Block], tuple[str, ...]]:
    """The blocks of a transcript, and the comments behind the last. Raises BadInput."""
    blocks: list[Block] = []
    comments: list[str] = []
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        line = lines[i]
        if not line.strip() or line.startswith("#"):
            comments.append(line)
            i += 1
            continue
        if i + 1 >= len(lines) or lines[i + 1] != RULE:
            raise BadInput(f"{where}, line {i + 2}: expected {RULE} below the command {line!r}")
        end = i + 2
        while end < len(lines) and lines[end].strip():
            end += 1
        expected = "\n".join(lines[i + 2 : end])
        blocks.append(Block(tuple(comments), line.strip(), expected, i + 1))
        comments = []
        i = end
    return blocks, tuple(comments)


class Transcript:
    """Carries out commands, one after the other; `do` returns what is printed.

    `reached` says which handlers ran, by the class of the protocol that was started.
    """

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self.reached: dict[type[Protocol], Reach] = {}
        self._lines: list[str] = []
        self._ops = 0
        self._renderer = Renderer(machine("register"))
        self._quiet = False

    def do(self, command: str) -> str:
        """Raises BadInput for a command that makes no sense."""
        verb, *words = _split(command)
        self._lines = []
        self._quiet = verb == "quiet"
        if self._quiet:
            if not words:
                raise BadInput("quiet: expected a command behind it")
            verb, *words = words
        method = getattr(self, f"_do_{verb}", None)
        if method is None:
            names = sorted(n.removeprefix("_do_") for n in dir(self) if n.startswith("_do_"))
            raise BadInput(f"unknown command {verb!r}, expected one of {', '.join(names)}")
        if verb != "start" and self.cluster is None:
            raise BadInput(f"{verb}: expected `start PROTOCOL` first")
        try:
            method(*words)
        except Violated as broken:
            self._lines.append(f"VIOLATED {broken}")
        except TypeError as error:
            if "argument" not in str(error):
                raise
            raise BadInput(f"{command!r}: {str(error).partition('() ')[2]}") from None
        return "\n".join(self._lines)

    # --- commands ---------------------------------------------------------------------------------

    def _do_start(self, name: str, *settings: str) -> None:
        given = {
            "replicas": "3", "spares": "0", "clients": "1", "machine": "register", "seed": "0",
        }  # fmt: skip
        kind = protocol(name)
        params = {}
        for setting in settings:
            key, _, value = setting.partition("=")
            if key in given:
                given[key] = value
            else:
                name, parsed = parse_parameter(kind, setting)
                params[name] = parsed
        chosen = machine(given["machine"])
        self._renderer = Renderer(chosen)
        self.cluster = Cluster(
            kind().set_params(**params),
            replicas=_number("replicas", given["replicas"]),
            clients=_number("clients", given["clients"]),
            spares=_number("spares", given["spares"]),
            machine=chosen,
            seed=_number("seed", given["seed"]),
            watchers=(self._watch,),
            reach=self.reached.setdefault(kind, Reach()),
        )
        self._ops = 0
        self.cluster.start()

    def _do_invoke(self, client: str, name: str, *arguments: str) -> None:
        self._seat(client)
        body = encode([name, *map(_parsed, arguments)])
        self._ops += 1
        cluster = self._running
        self._renderer.machine.decode(body)
        cluster.invoke(client, self._ops, body)

    def _do_order(self, operator: str, *settings: str) -> None:
        self._seat(operator)
        if operator not in self._running.operators:
            known = ", ".join(self._running.operators) or "none: nobody changes members here"
            raise BadInput(f"order {operator}: expected an operator, {known}")
        given = {"members": "", "learners": "", "leader": ""}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if key not in given or not equals:
                raise BadInput(f"order {operator}: {setting}, expected members=, learners= or "
                               "leader=")  # fmt: skip
            given[key] = value
        members, learners = (_listed(given[key]) for key in ("members", "learners"))
        body = order_body(members, learners, given["leader"])
        self._ops += 1
        self._running.invoke(operator, self._ops, body)

    def _do_deliver(self, *selector: str) -> None:
        for letter in self._chosen(selector):
            if letter in self._running.letters:  # a crash on the way takes streams along
                self._running.deliver(letter)

    def _do_drop(self, *selector: str) -> None:
        for letter in self._chosen(selector):
            self._running.drop(letter)
            self._print_letter("lost", letter)

    def _do_duplicate(self, *selector: str) -> None:
        cluster = self._running
        for letter in self._chosen(selector):
            cluster.sent += 1
            cluster.letters.append(
                Letter(cluster.sent, letter.source, letter.to, letter.message, letter.stream)
            )
            self._print_letter("doubled", letter)

    def _do_stabilize(self) -> None:
        if not self._running.settle(STEPS_MAX):
            raise BadInput(f"stabilize: still something under way after {STEPS_MAX} letters")

    def _do_run(self, duration: str) -> None:
        try:
            length = round(float(duration) * SECOND)
        except ValueError:
            raise BadInput(f"run {duration}: expected seconds") from None
        cluster = self._running
        end = cluster.now + length
        cluster.run(lambda: False, length, STEPS_MAX)
        cluster.now = max(cluster.now, end)

    def _do_timer(self, node: str, *name: str) -> None:
        seat = self._seat(node)
        for key in seat.timers:
            if self._renderer.timer(*key).replace(":", "").split() == list(name):
                self._running.fire(seat, key)
                return
        armed = ", ".join(self._renderer.timer(*key) for key in seat.timers) or "none"
        raise BadInput(f"timer {node} {' '.join(name)}: not armed; armed are: {armed}")

    def _do_crash(self, host: str) -> None:
        self._seat(host)
        self._running.crash(host)
        self._lines.append(f"{host} crashes")

    def _do_restart(self, host: str) -> None:
        self._seat(host)
        if self._running.is_up(host):
            self._do_crash(host)
        self._running.restart(host)

    def _do_wipe(self, host: str) -> None:
        self._seat(host)
        self._running.crash(host, wiped=True)
        self._lines.append(f"{host} crashes and loses its disk")
        self._running.restart(host, kind="wiped")

    def _do_show(self, address: str, *fields: str) -> None:
        name, _, path = address.partition("/")
        root = self._seat(name).node
        node = root._at(path) if root is not None else None
        if node is None:
            self._lines.append(f"{address} is down")
            return
        for field in fields or node.fields_:
            if field not in node.fields_:
                raise BadInput(f"show {address}: no field {field!r}, expected some of "
                               f"{', '.join(node.fields_)}")  # fmt: skip
            value = getattr(node, field)
            if fields or (
                value != getattr(type(node), field)
                and field not in ("sessions", "incarnation", "began")
            ):
                kept = " (durable)" if field in node.durable_ else ""
                self._lines.append(f"{field}{kept} = {self._renderer.value(value)}")

    def _do_pending(self, *selector: str) -> None:
        for letter in self._chosen(selector or ("all",)):
            self._print_letter("under way", letter)

    def _do_timers(self, node: str = "") -> None:
        cluster = self._running
        seats = [self._seat(node)] if node else list(cluster.seats.values())
        for seat in seats:
            for key, due in sorted(seat.timers.items(), key=lambda item: (item[1], str(item[0]))):
                wait = (due - cluster.now) / 1e6
                self._lines.append(f"{seat.id}: {self._timer(key)} in {wait:g} ms")

    # --- below ------------------------------------------------------------------------------------

    @property
    def _running(self) -> Cluster:
        assert self.cluster is not None
        return self.cluster

    def _seat(self, name: str) -> Seat:
        seats = self._running.seats
        if name not in seats:
            raise BadInput(f"no node {name!r}, expected one of {', '.join(seats)}")
        return seats[name]

    def _timer(self, key: Key) -> str:
        return self._renderer.timer(*key)

    def _print_letter(self, how: str, letter: Letter) -> None:
        text = self._renderer.value(letter.message)
        self._lines.append(f"{how}: {letter.source} -> {letter.to} {text}")

    def _chosen(self, selector: tuple[str, ...]) -> list[Letter]:
        kind = selector[-1] if selector and selector[-1][:1].isupper() else ""
        rest = selector[:-1] if kind else selector
        source = to = ""
        if len(rest) == 2 and rest[0] in ("from", "to"):
            source, to = (rest[1], "") if rest[0] == "from" else ("", rest[1])
        elif len(rest) == 2:
            source, to = rest
        elif rest != ("all",):
            raise BadInput(
                f"selector {' '.join(selector)!r}: expected all, FROM TO, from FROM or to TO, then "
                "perhaps the name of a message"
            )
        found = [
            letter
            for letter in self._running.letters
            if (not source or letter.source == source)
            and (not to or letter.to == to)
            and (not kind or type(letter.message).__name__ == kind)
        ]
        return found

    def _watch(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], before: Any
    ) -> None:
        lines = [line for effect in effects for line in self._renderer.effect(effect)]
        if self._quiet:
            told = [e for e in effects if isinstance(e, Decide | Complete)]
            lines = [line for effect in told for line in self._renderer.effect(effect)]
            self._lines += [f"{seat.id} {line}" for line in lines]
        elif lines or type(event) is not TurnEnd:
            self._lines.append(self._renderer.event(seat.id, event))
            self._lines += [f"  {line}" for line in lines]


def replay(text: str, where: str = "transcript", session: Transcript | None = None) -> str:
    """The transcript with what comes of its commands now. Raises BadInput, naming the line."""
    blocks, rest = parse(text, where)
    session = session or Transcript()
    parts: list[str] = []
    for block in blocks:
        try:
            output = session.do(block.command)
        except BadInput as error:
            raise BadInput(f"{where}, line {block.line}: {error}") from None
        parts += [*block.comments, block.command, RULE]
        parts += [output] if output else []
    return "\n".join([*parts, *rest]) + "\n"


def run_transcript(path: str | Path, *, rewrite: bool = False) -> None:
    """Fail with a diff if a transcript file no longer says what happens; or write what does."""
    file = Path(path)
    text = file.read_text("utf-8")
    now = replay(text, str(path))
    if now == text:
        return
    if rewrite:
        file.write_text(now, "utf-8")
        return
    diff = difflib.unified_diff(text.splitlines(), now.splitlines(), "expected", "now", lineterm="")
    raise AssertionError(
        f"{path} no longer says what happens:\n"
        + "\n".join(diff)
        + "\n-> pytest --rewrite-transcripts writes it anew, if you can explain every line above"
    )


def transcripts_in(places: str | Path | Iterable[str | Path]) -> tuple[Path, ...]:
    """Transcript files, and those in folders called `transcripts` at or below the places named.

    Raises BadInput for a place that does not exist or holds none.
    """
    named = [places] if isinstance(places, str | Path) else list(places)
    found: dict[Path, None] = {}
    for place in map(Path, named):
        here = [place] if place.is_file() else sorted(place.rglob("*.txt"))
        files = [file for file in here if file == place or file.parent.name == FOLDER]
        if not files:
            raise BadInput(f"transcripts {place}: expected a transcript, or a folder with "
                           f"{FOLDER}/*.txt in or below it")  # fmt: skip
        found |= dict.fromkeys(file.resolve() for file in files)
    return tuple(found)


def reached_by(kind: type[Protocol], files: Iterable[Path]) -> Reach:
    """The handlers of a protocol that these transcripts run; they are replayed for it."""
    total = Reach()
    for file in files:
        text = file.read_text("utf-8")
        if kind in _started(text):
            total.add(_replayed(text, str(file)).get(kind, Reach()))
    return total


@lru_cache(maxsize=1024)
def _replayed(text: str, where: str) -> dict[type[Protocol], Reach]:
    session = Transcript()
    replay(text, where, session)
    return session.reached


def _started(text: str) -> list[type[Protocol]]:
    """The protocols that a transcript starts."""
    commands = (line for line, below in pairwise(text.splitlines()) if below == RULE)
    words = [command.removeprefix("quiet ").split() for command in commands]
    return [protocol(line[1]) for line in words if len(line) > 1 and line[0] == "start"]


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name for name in names.split(",") if name)


def _split(command: str) -> list[str]:
    """Words, with quoted ones whole and still quoted."""
    words: list[str] = []
    word, quoted = "", False
    for char in command:
        if char == '"':
            quoted = not quoted
        if char.isspace() and not quoted:
            if word:
                words.append(word)
            word = ""
        else:
            word += char
    if quoted:
        raise BadInput(f"{command!r}: a quotation mark is open")
    return [*words, word] if word else words


def _parsed(word: str) -> Any:
    try:
        return msgspec.json.decode(word)
    except msgspec.DecodeError:
        return word


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadInput(f"start: {name}={text}, expected a whole number")
    return int(text)
