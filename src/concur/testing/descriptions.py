"""Checks of a protocol's description: parameters, constraints, roles, imports. Nothing runs."""

import ast
import inspect
import pickle
import sys
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from concur.base import Parameter, Protocol, Role, Tags
from concur.effects import Invoke
from concur.errors import BadInput
from concur.messages import Codec, Message, check_message
from concur.node import Node
from concur.parts.membership import OPERATOR, ChangeMembers
from concur.testing.subject import Subject

COSTS = ("server", "client", "switch", "memory")
PLACES = ("replica", "client", "network")
LINKS = ("datagram", "stream")

HIDDEN_INPUTS = {
    "asyncio", "concurrent", "datetime", "gc", "io", "locale", "multiprocessing", "os", "pathlib",
    "platform", "random", "secrets", "select", "selectors", "signal", "socket", "socketserver",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "uuid", "weakref", "zoneinfo",
    "numpy", "requests", "httpx", "aiohttp", "pickle", "shelve", "marshal", "ctypes",
}  # fmt: skip
"""Modules that read clocks, dice, disks, sockets or the process around them."""
DRIVERS = {
    "chance", "cli", "faults", "histories", "plot", "score", "search", "serve", "simulate",
    "testing", "verify", "watch", "workloads",
}  # fmt: skip
"""Parts of Concur that run protocols; a protocol knows none of them."""
UNHEARD_NAMES = {"open", "input", "print", "id", "hash", "globals", "eval", "exec", "__import__"}
"""Built-ins whose result, or effect, is no function of a node's state."""


def parameters_are_stored_as_given(subject: Subject) -> None:
    """`__init__` computes and checks nothing: it keeps exactly the objects that it is given."""
    kind = type(subject.protocol)
    for name in kind.parameters:
        nonsense = object()
        try:
            made = kind(**{name: nonsense})
        except Exception as error:
            subject.fail(
                f"{kind.__name__}({name}=<nonsense>) raised {type(error).__name__}: {error}",
                "do not define __init__; declare the constraint in parameter(...), or check "
                "combinations in problems(). Drivers call validate() before they run anything.",
            )
        if getattr(made, name) is not nonsense:
            subject.fail(
                f"{kind.__name__}({name}=value).{name} is not the value that was given",
                "do not define __init__; compute what follows from parameters where it is used",
            )
        extra = set(vars(made)) - set(kind.parameters)
        if extra:
            subject.fail(
                f"constructing it sets {min(extra)}, which is no parameter",
                "a protocol is a description: keep state in nodes",
            )


def parameters_round_trip(subject: Subject) -> None:
    """get_params and set_params, clone, equality, repr and pickle keep every parameter."""
    protocol, kind = subject.protocol, type(subject.protocol)
    params = protocol.get_params(deep=False)
    if list(params) != list(kind.parameters):
        subject.fail(f"get_params() gives {list(params)}, declared are {list(kind.parameters)}")
    for how, twin in (
        ("clone()", protocol.clone()),
        ("type(p)(**p.get_params(deep=False))", kind(**params)),
        ("kind().set_params(**params)", kind().set_params(**params)),
    ):
        if twin is protocol or twin != protocol or hash(twin) != hash(protocol):
            subject.fail(
                f"{how} gives {twin!r}, which is not equal to {protocol!r} and another object",
                "do not override clone, get_params, __eq__ or __hash__; let values be immutable",
            )
    try:
        thawed = pickle.loads(pickle.dumps(protocol))
    except Exception as error:
        subject.fail(
            f"it cannot be pickled: {error}",
            "define it, and the types of its parameters, at the top level of a module",
        )
    if thawed != protocol:
        subject.fail("a pickled copy is not equal", "let values of parameters define equality")
    if "object at 0x" in repr(protocol):
        subject.fail(f"its repr is {protocol!r}", "give the types of its parameters a repr")


def parameters_declare_their_constraints(subject: Subject) -> None:
    """Each says what it does, has bounds if it is a number, and defaults that are accepted."""
    for name, declared in type(subject.protocol).parameters.items():
        if not declared.doc:
            subject.fail(f"parameter {name} says nothing", f"{name} = parameter(..., doc='what')")
        bounded = (declared.above, declared.at_least, declared.at_most) != (None, None, None)
        if _holds_numbers(declared.kind) and not bounded and not declared.one_of:
            subject.fail(
                f"parameter {name} is a number without bounds",
                f"{name} = parameter(default={declared.default!r}, above=0, ...)",
            )
        if not declared.accepts(declared.default):
            subject.fail(
                f"the default of {name}, {declared.default!r}, is refused: expected "
                f"{declared.describe()}",
                "change the default or the constraint",
            )


def wrong_parameters_are_refused(subject: Subject) -> None:
    """validate() names the parameter, in one line, for each value outside its constraint."""
    kind, replicas = type(subject.protocol), subject.replicas
    for name, declared in kind.parameters.items():
        for wrong in _wrong_values(declared):
            changed = subject.protocol.clone().set_params(**{name: wrong})
            try:
                changed.validate(replicas)
            except BadInput as refused:
                text = str(refused)
                if name not in text or "\n" in text:
                    subject.fail(
                        f"{name}={wrong!r} is refused with {text!r}",
                        "say in one line which parameter it is, and what was expected",
                    )
            except Exception as error:
                subject.fail(
                    f"validate() with {name}={wrong!r} raised {type(error).__name__}: {error}",
                    "problems() is only asked when each parameter alone is right; it yields text",
                )
            else:
                subject.fail(
                    f"validate() accepts {name}={wrong!r}",
                    f"{name}: <type> = parameter(default=..., above=..., at_most=...)",
                )


def description_says_what_it_is(subject: Subject) -> None:
    """A name for the command line, a one-line summary, and tags of the right types."""
    kind = type(subject.protocol)
    if not kind.name or kind.name != kind.name.lower() or " " in kind.name:
        subject.fail(f"its name is {kind.name!r}", 'name = "my-protocol"')
    if not kind.summary or "\n" in kind.summary:
        subject.fail("it has no one-line summary", 'summary = "One sentence for `concur list`."')
    try:
        msgspec.convert(msgspec.structs.asdict(kind.tags), Tags)
    except msgspec.ValidationError as error:
        subject.fail(f"its tags are wrong: {error}", "see concur.base.Tags")
    unknown = set(kind.tags.tolerates) - {"loss", "duplication", "reordering"}
    if unknown:
        subject.fail(f"tags.tolerates names {min(unknown)!r}", "loss, duplication, reordering")


def roles_are_well_formed(subject: Subject) -> None:
    """roles() names node classes, distinct prefixes, and places, costs and links that exist."""
    protocol = subject.protocol
    roles = protocol.roles()
    if not isinstance(roles, tuple) or not roles or protocol.roles() != roles:
        subject.fail(f"roles() gives {roles!r}", "return the same tuple of Role each time")
    for role in roles:
        _role_is_well_formed(subject, role, roles)
    for of in ("name", "prefix"):
        names = [getattr(role, of) for role in roles]
        if len(set(names)) != len(names):
            subject.fail(f"two roles share a {of}: {names}", "each role has its own")
    if not any(role.place == "replica" for role in roles):
        subject.fail("no role stands at a replica's place", "the first such role are the members")
    _operators_fit(subject, roles)
    clients = [role for role in roles if role.place == "client"]
    if protocol.tags.log and not any(Invoke in role.node._events for role in clients):
        subject.fail(
            "nobody handles Invoke, so no client can ask for anything",
            'Role("client", Client, "c", "clients", place="client", cost="client"), with '
            "concur.parts.client.Client or a node of your own",
        )


def _operators_fit(subject: Subject, roles: tuple[Role, ...]) -> None:
    """Where members can be changed somebody asks for it, and replicas listen."""
    changes = subject.protocol.tags.membership
    if changes != any(role.name == OPERATOR.name for role in roles):
        subject.fail(
            f"tags.membership is {changes}, but "
            + ("nobody can ask for other members" if changes else "it has an operator"),
            "return concur.parts.membership.OPERATOR among the roles, and say membership=True",
        )
    members = next((role for role in roles if role.place == "replica"), None)
    if changes and members is not None and ChangeMembers not in members.node._messages:
        subject.fail(
            f"tags.membership is True, but {members.node.__name__} does not handle ChangeMembers",
            "@on(ChangeMembers), answered by Done or Refused (concur.parts.membership)",
        )


def _role_is_well_formed(subject: Subject, role: Role, roles: tuple[Role, ...]) -> None:
    where = f"role {role.name!r}"
    if not (isinstance(role.node, type) and issubclass(role.node, Node)):
        subject.fail(f"{where}: node is {role.node!r}", "name a subclass of concur.node.Node")
    if not role.prefix.isalpha() or not role.prefix.islower():
        subject.fail(f"{where}: prefix {role.prefix!r}", "one or a few lower-case letters")
    good = role.count in ("replicas", "clients") or (
        type(role.count) is int and role.count > 0  # a bool is no count
    )
    if not good:
        subject.fail(f"{where}: count {role.count!r}", '"replicas", "clients" or a number above 0')
    for value, known, field in (
        (role.place, PLACES, "place"),
        (role.cost, COSTS, "cost"),
        (role.links, LINKS, "links"),
    ):
        if value not in known:
            subject.fail(f"{where}: {field} {value!r}", f"one of {', '.join(known)}")
    if role.beside:
        home = next((other for other in roles if other.name == role.beside), None)
        if home is None or home.count != role.count:
            subject.fail(
                f"{where}: it stands beside {role.beside!r}",
                "name a role that comes before it and has as many nodes",
            )


def messages_are_declared_right(subject: Subject) -> None:
    """Message names differ, and their fields are annotated as values."""
    try:
        kinds = subject.protocol.messages()
        Codec(kinds)
        for kind in kinds:
            check_message(kind)
    except (TypeError, ValueError) as wrong:
        subject.fail(str(wrong), "rename one of them, or annotate fields with values (CORE.md, 2)")
    for kind in kinds:
        for field in msgspec.structs.fields(kind):
            if field.type is Any:
                subject.fail(
                    f"{kind.__name__}.{field.name} is annotated as Any, so a peer could send "
                    "anything",
                    "say what it holds: the codec refuses the rest before any step",
                )


def imports_bring_in_no_hidden_inputs(subject: Subject) -> None:
    """No clock, dice, disk or socket in the modules of the protocol and its nodes."""
    for module, source in _sources(subject.protocol):
        for line, what, fix in _offences(module, source):
            subject.fail(f"{module}, line {line}: {what}", fix)


# --- below ---------------------------------------------------------------------------------------


def _holds_numbers(kind: Any) -> bool:
    if kind in (int, float):
        return True
    return any(_holds_numbers(part) for part in typing.get_args(kind))


def _wrong_values(declared: Parameter) -> Iterator[Any]:
    """Values just outside the constraint, in the shape of the default; and one of another type."""

    def shaped(number: float) -> Any:
        if isinstance(declared.default, tuple):
            return tuple(type(item)(number) for item in declared.default)
        return int(number) if type(declared.default) is int else number

    if isinstance(declared.default, int | float | tuple) and _holds_numbers(declared.kind):
        if declared.above is not None:
            yield shaped(declared.above)
        if declared.at_least is not None:
            yield shaped(declared.at_least - 1)
        if declared.at_most is not None:
            yield shaped(declared.at_most + 1)
        if declared.kind is float:
            yield float("nan")
            yield float("inf")
    if declared.one_of:
        yield "no such choice"
    if declared.kind is not Any:
        yield object()


def _sources(protocol: Protocol) -> Iterator[tuple[str, str]]:
    """The modules that the protocol's own classes come from; not those of Concur's core."""
    classes: list[type] = [type(protocol)]
    classes += [role.node for role in protocol.roles()]
    classes += [kind for kind in protocol.messages() if issubclass(kind, Message)]
    core = ("concur.base", "concur.node", "concur.messages", "concur.parts", "builtins", "typing")
    seen = set()
    for one in classes:
        for base in one.__mro__:
            name = base.__module__
            if name in seen or name.startswith(core) or name not in sys.modules:
                continue
            seen.add(name)
            try:
                yield name, inspect.getsource(sys.modules[name])
            except (OSError, TypeError):
                continue  # typed in a session: there is no file to read


def _offences(module: str, source: str) -> Iterator[tuple[int, str, str]]:
    tree = ast.parse(source)
    through = (
        "take it as an input: now, uptime, jitter and choose of the node, a timer, an event, or a "
        "parameter of the protocol"
    )
    testing = module.startswith(("tests.", "test_")) or ".tests." in module
    for node in ast.walk(tree):
        names = []
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] in HIDDEN_INPUTS:
                yield line, f"imports {name}", through
            if parts[0] == "concur" and len(parts) > 1 and parts[1] in DRIVERS and not testing:
                yield line, f"imports {name}", "a protocol knows no driver"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = node.func.id
            if called in UNHEARD_NAMES:
                yield (
                    node.lineno,
                    f"calls {called}()",
                    f"use observe(...) to report, and values to compare; {through}",
                )
