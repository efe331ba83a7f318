"""What `check_machine` does inside each of its two processes.

The parent starts two of these under different hash seeds, hands both the same machine and the same
commands, and compares what they report. Clocks, dice and their like are seen as they are called,
by a profile function that is told of every call into C.
"""

import copy
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import msgspec

from concur.chance import Stream
from concur.errors import BadInput
from concur.logs import Log
from concur.machines.base import Machine, MachineError, refuse_result
from concur.machines.load import load
from concur.values import Map, Set

PAIRS_MAX = 400
"""Pairs of commands that are tried in both orders, for each sequence."""

MISTAKES = (NameError, AttributeError, TypeError, ImportError)
"""Exceptions that no author means to raise, when a command raises nothing else."""


class Trace(msgspec.Struct):
    """What one sequence of commands did: encoded results and snapshots, for comparison."""

    results: list[bytes] = []
    snapshots: list[bytes] = []


class Report(msgspec.Struct):
    """`late` is a failure that a difference between the processes would explain better."""

    failure: str | None
    late: str | None = None
    traces: list[Trace] = []


class Failure(Exception):
    """The machine is not fit; the message says why and what to do."""


def main() -> None:
    """Read a job from stdin, write a report to stdout. Whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = pickle.load(sys.stdin.buffer)  # of the parent, our own process
    sys.path[:] = job["path"]
    report = Report(None)
    try:
        main_file = job["main"]
        if main_file:
            _import_main(main_file)
        source = pickle.loads(job["machine"])
        probe = Probe(load(source))
        report.traces = [probe.sequence(bodies) for bodies in job["sequences"]]
        probe.finish()
        report.late = probe.late
    except (Failure, BadInput) as failure:
        report.failure = str(failure)
    with answers:
        answers.write(msgspec.msgpack.encode(report))


class Probe:
    """Tries one machine. Raises Failure."""

    def __init__(self, machine: Machine[Any, Any]) -> None:
        self.machine = machine
        self.raised: dict[str, list[BaseException | None]] = {}
        self.late: str | None = None

    def sequence(self, bodies: list[bytes]) -> Trace:
        machine = self.machine
        trace = Trace([], [])
        commands = [self.encoding(body) for body in bodies]
        for command in commands:
            self.event(command)
        state = self.start()
        half: Any = None
        past: list[tuple[Any, Any, str]] = []  # (state, its picture, what it was given)
        for number, command in enumerate(commands):
            if number == len(bodies) // 2:
                half = machine.snapshot(state)
            before = picture(state) if machine.pure else machine.snapshot(state)
            after, result = self.apply(state, command)
            what = f"after command {number}, {show(command)}"
            if machine.pure:
                self.unchanged(state, before, command)
                again, second = self.apply(state, command)
                if picture(again) != picture(after) or picture(second) != picture(result):
                    raise Failure(
                        f"apply({show(command)}) is not a function of state and command: applied "
                        f"twice to the same state, it gave {show(result)} and {show(second)}, "
                        f"states {show(after)} and {show(again)}. {HIDDEN}"
                    )
                self.state(after, what, commands)
                if len(past) < PAIRS_MAX:
                    past.append((state, before, show(command)))
            self.completion(command, result)
            if machine.read_only(command) and not isinstance(result, MachineError):
                now = picture(after) if machine.pure else machine.snapshot(after)
                if now != before:
                    raise Failure(
                        f"read_only({show(command)}) is True, but applying it changed the state "
                        f"to {show(after)}. Return False for it, or leave the state alone in apply."
                    )
            state = after
            trace.results.append(machine.encode_result(result))
            if number % 10 == 9 or number == len(bodies) - 1:
                trace.snapshots.append(self.snapshot(state, what))
        for earlier, before, given in past:
            if picture(earlier) != before:
                raise Failure(
                    f"the state that {given} was applied to was changed in place by a later "
                    f"command; it is now {show(earlier)}. {FROZEN}"
                )
        if half is not None:
            try:
                self.resume(half, commands, trace)
            except Failure as failure:
                self.late = self.late or str(failure)
        if machine.pure:
            self.pairs(commands, past)
        return trace

    def start(self) -> Any:
        state = self.machine.initial()
        if self.machine.pure and picture(self.machine.initial()) != picture(state):
            raise Failure(f"initial() gave two different states. {HIDDEN}")
        self.snapshot(state, "initial()")
        return state

    def apply(self, state: Any, command: Any) -> tuple[Any, Any]:
        """Apply under watch; an error is a result, as in `Machine.run`."""
        machine = self.machine
        before = picture(state) if machine.pure else None
        outcomes = self.raised.setdefault(kind_of(command), [])
        watch = Watch()
        try:
            with watch:
                answer = machine.apply(state, command)
        except Exception as error:
            watch.complain(f"apply({show(command)})")
            outcomes.append(error)
            if before is not None:
                self.unchanged(state, before, command)
            return state, machine.decode_result(machine.encode_error(error))
        except BaseException as error:
            raise Failure(
                f"apply({show(command)}) raised {type(error).__name__}, which stops a process. "
                "Raise an ordinary exception, such as concur.machines.Refused."
            ) from None
        watch.complain(f"apply({show(command)})")
        outcomes.append(None)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise Failure(
                f"apply({show(command)}) returned {show(answer)}. Return the pair (state, result)."
            )
        wrong = refuse_result(answer[1])
        if wrong:
            raise Failure(
                f"the result of {show(command)} does not encode: {wrong}, got {show(answer[1])}. "
                "Return one of those; a tuple(sorted(...)) where there is a set, a list or a dict."
            )
        return answer

    def finish(self) -> None:
        """Look at what was raised overall."""
        for kind, outcomes in sorted(self.raised.items()):
            if len(outcomes) >= 5 and all(isinstance(error, MISTAKES) for error in outcomes):
                error = outcomes[0]
                raise Failure(
                    f"every {kind} raised, first {type(error).__name__}: {error}. "
                    "It looks like a mistake in apply; raise concur.machines.Refused to refuse."
                )

    # --- single rules -----------------------------------------------------------------------------

    def encoding(self, body: bytes) -> Any:
        command = self.machine.decode(body)
        try:
            hash(command)
        except TypeError as error:
            raise Failure(
                f"command {show(command)} is not hashable: {error}. Use frozen Structs whose "
                "fields are None, bool, int, str, bytes and tuples."
            ) from None
        again = self.machine.encode(command)
        if again != body:
            raise Failure(f"decode(encode({show(command)})) encodes differently from the original.")
        return command

    def event(self, command: Any) -> None:
        event = self.machine.event(command)
        if not isinstance(event, tuple) or len(event) != 3 or not isinstance(event[0], str):
            raise Failure(
                f"event({show(command)}) gave {show(event)}. Return (f, key, value), f a string."
            )
        f, key, value = event
        for given, how in ((value, ""), (lists(value), ", its tuples read back as lists,")):
            try:
                back: Any = self.machine.command(f, key, given)
            except Exception as error:
                back = error
            if picture(back) != picture(command):
                raise Failure(
                    f"command() is not the inverse of event(): event({show(command)}) gave "
                    f"{show(event)}, from which{how} command() made {show(back)}. Make the event "
                    "hold every field of the command, and command() put them back."
                )

    def completion(self, command: Any, result: Any) -> None:
        completion = self.machine.completion(command, result)
        if (
            not isinstance(completion, tuple)
            or len(completion) != 3
            or completion[0] not in ("ok", "fail")
            or not isinstance(completion[2], str | None)
        ):
            raise Failure(
                f"completion({show(command)}, {show(result)}) gave {show(completion)}. "
                'Return ("ok" or "fail", value, error or None).'
            )

    def unchanged(self, state: Any, before: Any, command: Any) -> None:
        if picture(state) != before:
            raise Failure(
                f"apply({show(command)}) changed the state it was given in place; it is now "
                f"{show(state)}. {FROZEN}"
            )

    def state(self, state: Any, what: str, commands: list[Any]) -> None:
        wrong = refuse_state(state)
        if wrong:
            state = self.machine.initial()
            for command in commands:  # a change in place, if there is one, is worse: say that first
                before = picture(state)
                after, _ = self.apply(state, command)
                self.unchanged(state, before, command)
                state = after
            raise Failure(f"the state {what} holds {wrong}")

    def snapshot(self, state: Any, what: str) -> bytes:
        """The snapshot, after a look at whether it can be restored."""
        machine = self.machine
        try:
            data = machine.snapshot(state)
        except Exception as error:
            raise Failure(
                f"snapshot() {what} raised {type(error).__name__}: {error}. The default takes "
                "states of concur's values; write snapshot() and restore() for others."
            ) from None
        if not isinstance(data, bytes):
            raise Failure(f"snapshot() {what} gave a {type(data).__name__}. Return bytes.")
        try:
            back = machine.restore(data)
            again = machine.snapshot(back)
        except Exception as error:
            raise Failure(
                f"restore() of the snapshot {what} raised {type(error).__name__}: {error}. "
                "It has to take whatever snapshot() gives (the default needs the type of the state "
                "as the return annotation of initial())."
            ) from None
        if again != data or (machine.pure and picture(back) != picture(state)):
            raise Failure(
                f"restore(snapshot()) {what} is not the same state: {show(state)} became "
                f"{show(back)}, snapshots {show(data)} and {show(again)}. Put all of the state "
                "into the snapshot, and restore all of it."
            )
        return data

    def resume(self, half: bytes, commands: list[Any], trace: Trace) -> None:
        """A replica that starts from a snapshot in the middle must get to the same end."""
        state = self.machine.restore(half)
        for number in range(len(commands) // 2, len(commands)):
            state, result = self.apply(state, commands[number])
            if self.machine.encode_result(result) != trace.results[number]:
                raise Failure(
                    f"a replica restored from the snapshot before command {len(commands) // 2} "
                    f"answered {show(commands[number])} with {show(result)}, the others with "
                    f"{show(self.machine.decode_result(trace.results[number]))}. The snapshot "
                    "misses something that apply uses."
                )
        if self.machine.snapshot(state) != trace.snapshots[-1]:
            raise Failure(
                "a replica restored from a snapshot in the middle ended with another snapshot "
                "than one that applied everything. Put all of the state into the snapshot, in a "
                "canonical order."
            )

    def pairs(self, commands: list[Any], past: list[tuple[Any, Any, str]]) -> None:
        """Sampled: what is said to commute does, and conflicts() is symmetric."""
        machine = self.machine
        stream = Stream(len(commands), "pairs of commands")
        for _ in range(min(PAIRS_MAX, len(commands) ** 2)):
            a, b = stream.choice(commands), stream.choice(commands)
            forth, back = machine.conflicts(a, b), machine.conflicts(b, a)
            if bool(forth) != bool(back):
                raise Failure(
                    f"conflicts() is not symmetric: {forth} for {show(a)}, {show(b)} and {back} "
                    "the other way round. Make it give the same for both orders."
                )
            apart = self.apart(a, b)
            if forth and not apart:
                continue
            state = past[stream.below(len(past))][0]
            middle, a_first = self.apply(state, a)
            end, b_second = self.apply(middle, b)
            middle, b_first = self.apply(state, b)
            other_end, a_second = self.apply(middle, a)
            for left, right, what in (
                (end, other_end, "the state"),
                (a_first, a_second, f"the result of {show(a)}"),
                (b_second, b_first, f"the result of {show(b)}"),
            ):
                if picture(left) == picture(right):
                    continue
                claim = (
                    f"have different key()s, {show(machine.key(a))} and {show(machine.key(b))},"
                    if forth
                    else "do not conflict according to conflicts()"
                )
                fix = "give key() None for one" if forth else "make conflicts() True"
                raise Failure(
                    f"{show(a)} and {show(b)} {claim} but do not commute: from {show(state)}, "
                    f"{what} is {show(left)} in that order and {show(right)} in the other. "
                    f"If in doubt, {fix}."
                )

    def apart(self, a: Any, b: Any) -> bool:
        one, other = self.machine.key(a), self.machine.key(b)
        return one is not None and other is not None and picture(one) != picture(other)


HIDDEN = (
    "Something hidden takes part: an attribute of the machine or of a module, a clock, dice. "
    "Keep everything in the state, and let the client put times and random numbers in the command."
)
FROZEN = (
    "Build a new state instead: Map.put and Set.add return new collections, frozen Structs have "
    "msgspec.structs.replace, tuples are rebuilt."
)


# --- watching for hidden inputs ------------------------------------------------------------------

_CLOCK = "Times differ between replicas. Let the client put the time into the command."
_DICE = "Draws differ between replicas. Let the client put the random number into the command."
_WORLD = "Hosts differ. Let the client put what is needed into the command."
_ADDRESS = "Addresses and string hashes differ between processes. Compare or hash the value itself."

_MODULES = {
    "time": _CLOCK,
    "posix": _WORLD,
    "nt": _WORLD,
    "io": _WORLD,
    "_io": _WORLD,
    "socket": _WORLD,
    "_socket": _WORLD,
    "_uuid": _DICE,
}
_HARMLESS = {
    ("time", "gmtime"),
    ("time", "mktime"),
    ("time", "strftime"),
    ("time", "strptime"),
    ("time", "asctime"),
    ("posix", "fspath"),
    ("io", "BytesIO"),
    ("io", "StringIO"),
}
_DATES = ("now", "utcnow", "today")


class Watch:
    """Notes calls of clocks, dice and the outside world while it is entered."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __enter__(self) -> None:
        sys.setprofile(self._profile)

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def complain(self, where: str) -> None:
        if self.seen:
            what, fix = self.seen[0]
            raise Failure(f"{where} calls {what}. {fix}")

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "c_call":
            return
        caller = str(frame.f_globals.get("__name__"))
        found = None if caller.startswith(_TRUSTED) else hidden_input(argument)
        if found is None:
            return
        if found[1] is _ADDRESS and (
            # A dataclass hashes its fields, the copy module remembers by id: to no visible end.
            frame.f_code.co_name == "__hash__"
            or caller.partition(".")[0] in sys.stdlib_module_names
        ):
            return
        self.seen.append(found)


_TRUSTED = ("importlib.", "logging", "linecache", "concur.values", "concur.logs")
"""Callers whose use of clocks, files and hashes does not reach a state."""


def hidden_input(function: Callable[..., Any]) -> tuple[str, str] | None:
    """What a C function reads besides its arguments, and what to do about it; None if nothing."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None)
    if isinstance(owner, type):
        if owner.__module__ == "datetime" and name in _DATES:
            return f"{owner.__name__}.{name}()", _CLOCK
        return None
    if type(owner).__module__ == "random" or type(owner).__module__ == "_random":
        import random

        if owner is random._inst or isinstance(owner, random.SystemRandom):
            return f"random.{name}()", _DICE
        return None
    if module == "builtins":
        if name == "id":
            return "id()", _ADDRESS
        if name == "hash":
            return "hash()", _ADDRESS
        if name in ("open", "input"):
            return f"{name}()", _WORLD
        return None
    if (module, name) in _HARMLESS or module not in _MODULES:
        return None
    if name in ("urandom", "getrandom"):
        return "os.urandom()", _DICE
    shown = {"posix": "os", "nt": "os", "_io": "io", "_socket": "socket", "_uuid": "uuid"}
    return f"{shown.get(module, module)}.{name}()", _MODULES[module]


# --- looking at values -------------------------------------------------------------------------


def picture(value: Any) -> Any:
    """A deep copy in plain tuples, types included, that no later change of `value` can reach."""
    return _picture(value, 0)


def _picture(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return type(value).__name__, value if value == value else "nan"
    if depth > 50:
        return "deep", repr(type(value))
    down = depth + 1
    if isinstance(value, tuple | list):
        return type(value).__name__, tuple(_picture(item, down) for item in value)
    if isinstance(value, dict | Map):
        pairs = value.items()
        return type(value).__name__, tuple(
            (_picture(key, down), _picture(item, down)) for key, item in pairs
        )
    if isinstance(value, set | frozenset | Set):
        return type(value).__name__, tuple(sorted(repr(_picture(item, down)) for item in value))
    if isinstance(value, Log):
        return "Log", hash(value)
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        return type(value).__name__, tuple(_picture(getattr(value, name), down) for name in names)
    fields = getattr(value, "__dict__", None)
    if fields is not None:
        return type(value).__name__, _picture(dict(fields), down)
    try:
        return type(value).__name__, copy.deepcopy(value)
    except Exception:
        return type(value).__name__, repr(value)


def refuse_state(value: Any) -> str | None:
    """Why `value` is no value that a state may hold, with what to use instead."""
    if value is None or isinstance(value, bool | int | str | bytes | Log):
        return None
    kind = type(value).__name__
    instead = {
        "dict": "concur.values.Map",
        "set": "concur.values.Set, which has one order",
        "frozenset": "concur.values.Set, which has one order",
        "list": "a tuple",
        "bytearray": "bytes",
        "float": "an int, such as a number of cents or nanoseconds; float sums depend on the order",
    }
    if kind in instead:
        return f"a {kind}: {show(value)}. Use {instead[kind]}."
    parts: Iterable[Any]
    if isinstance(value, Map):
        parts = (part for pair in value.items() for part in pair)
    elif isinstance(value, tuple | Set):
        parts = value
    elif isinstance(value, msgspec.Struct):
        if not value.__struct_config__.frozen:
            return f"a Struct that is not frozen: {show(value)}. Declare it with frozen=True."
        parts = (getattr(value, name) for name in value.__struct_fields__)
    else:
        return (
            f"a {kind}: {show(value)}. Use None, bool, int, str, bytes, tuples, frozen Structs, "
            "Map, Set or Log; or wrap a mutable object in concur.machines.Adaptor."
        )
    return next(filter(None, map(refuse_state, parts)), None)


def lists(value: Any) -> Any:
    return [lists(item) for item in value] if isinstance(value, tuple) else value


def show(value: Any) -> str:
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    words = repr(value)
    return words if len(words) <= 120 else words[:117] + "..."


def kind_of(command: Any) -> str:
    return str(command[0]) if isinstance(command, tuple) else type(command).__name__


def _import_main(path: str) -> None:
    """Load the parent's main script under a name that does not run it, as multiprocessing does."""
    import runpy
    import types

    module = types.ModuleType("__main__")
    module.__dict__.update(runpy.run_path(path, run_name="__mp_main__"))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
