"""`Protocol`: a description of a protocol. Parameters only, as an estimator in scikit-learn.

    class Paxos(Protocol):
        name = "paxos"
        retry_s: float = parameter(default=0.5, above=0, doc="how long a proposer waits")

        def roles(self): ...

`Paxos(retry_s=1.0)` stores what it is given and computes nothing; drivers call `validate` before
they use it. A protocol is cheap to clone and to pickle, and equal to another with equal parameters.
"""

import inspect
import math
import sys
import typing
from collections.abc import Callable, Iterable
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Self, Union, dataclass_transform

import msgspec

from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.messages import Message
    from concur.node import Config, Node

_UNSET: Any = object()


class Parameter(msgspec.Struct, frozen=True):
    """The declarative constraint of one parameter; `describe` is its only error style."""

    default: Any
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[Any, ...] = ()
    ascending: bool = False
    doc: str = ""
    kind: Any = None

    def describe(self) -> str:
        """What values are accepted, in words."""
        bounds = [
            f"{word} {bound:.15g}"
            for word, bound in (
                ("above", self.above),
                ("at least", self.at_least),
                ("at most", self.at_most),
            )
            if bound is not None
        ]
        kind = "one of " + ", ".join(map(repr, self.one_of)) if self.one_of else _name(self.kind)
        text = f"{kind} {' and '.join(bounds)}".strip()
        return f"{text}, ascending" if self.ascending else text

    def accepts(self, value: Any) -> bool:
        if not _is_a(value, self.kind) or (self.one_of and value not in self.one_of):
            return False
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if not math.isfinite(number):
                return False
            if self.above is not None and not number > self.above:
                return False
            if self.at_least is not None and not number >= self.at_least:
                return False
            if self.at_most is not None and not number <= self.at_most:
                return False
        return not self.ascending or list(numbers) == sorted(numbers)


def parameter(
    *,
    default: Any,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    one_of: Iterable[Any] = (),
    ascending: bool = False,
    doc: str = "",
) -> Any:
    """Declare a parameter of a protocol: its default, what is accepted, and what it does.

    The accepted type is the annotation. Bounds hold for numbers and for each number of a tuple.
    """
    return Parameter(default, above, at_least, at_most, tuple(one_of), ascending, doc)


class Tags(msgspec.Struct, frozen=True):
    """What a protocol is, needs, gives and claims. Drivers and checks go by these, not by names."""

    log: bool = True
    """Runs a log of commands for a machine (False: decides single values)."""
    leader: bool = False
    """Has a distinguished replica, announced by `observe("leader", ...)`."""
    durable: bool = True
    """Keeps its promises on disk, so that a crashed replica may come back by itself."""
    crash_tolerant: bool = True
    """Goes on while a minority of the replicas is down."""
    recovers_wiped: bool = True
    """A replica that lost its disk can come back."""
    membership: bool = False
    """Replicas may be added and removed, as an operator orders (`concur.parts.membership`)."""
    learners: bool = False
    """Replicas may follow without a vote."""
    needs: tuple[str, ...] = ()
    """What the world must offer: synchronized_clock, sequencer, one_sided_memory ..."""
    reads: str = "linearizable"
    tolerates: tuple[str, ...] = ("loss", "duplication", "reordering")
    memoise: bool = True
    """Steps are functions of interned values (False for nodes that learn floats)."""


class Role(msgspec.Struct, frozen=True):
    """A kind of node: how many there are, where they stand, what their work costs.

    `count` is a number, "replicas" or "clients". `place` is replica, client or network. `beside`
    names a role whose hosts these nodes share, one each (the same CPU, disk and crash fate). `cost`
    is the cost class: server, client (free), switch (line rate) or memory (network card only).
    `links` are datagram or stream.
    """

    name: str
    node: "type[Node[Any]]"
    prefix: str
    count: int | str = "replicas"
    place: str = "replica"
    beside: str = ""
    cost: str = "server"
    links: str = "datagram"


@dataclass_transform(kw_only_default=True, field_specifiers=(parameter,))
class _Described:
    """Gives type checkers the keyword-only `__init__` that parameters make."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What can happen in a world, for a protocol that is asked what follows from that.

    `asking` are the clients that ask for something, each with how many commands it has. `rings`
    says whether a timer of that name can ring at a node. `orders`: whether operators give any;
    `wipes`: whether a replica may lose its disk, and come back knowing nothing.
    """

    config: "Config"
    asking: tuple[tuple[str, int], ...] = ()
    rings: Callable[[str, str], bool] = lambda timer, node: True
    orders: bool = False
    wipes: bool = False


class Protocol(_Described):
    """Base of all protocols. Subclasses declare parameters and name their roles."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    tags: ClassVar[Tags] = Tags()
    parameters: ClassVar[dict[str, Parameter]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own: dict[str, Parameter] = {}
        inherited: dict[str, Parameter] = {}
        for base in reversed(cls.__bases__):
            inherited.update(getattr(base, "parameters", {}))
        annotations = inspect.get_annotations(cls)
        for name, declared in list(cls.__dict__.items()):
            if isinstance(declared, Parameter):
                if name not in annotations:
                    raise TypeError(f"{cls.__name__}.{name} needs a type annotation")
                kind = _evaluated(annotations[name], cls)
                own[name] = msgspec.structs.replace(declared, kind=kind)
                setattr(cls, name, declared.default)
            elif name in inherited:  # a plain value is a new default under the old constraint
                own[name] = msgspec.structs.replace(inherited[name], default=declared)
        cls.parameters = {**inherited, **own}

    def __init__(self, **params: Any) -> None:
        known = type(self).parameters
        for name in params:
            if name not in known:
                raise BadInput(_unknown(self, name))
        for name, declared in known.items():
            value = params.get(name, _UNSET)
            if value is _UNSET:  # a default is shared; a protocol among them must not be
                value = declared.default
                value = value.clone() if isinstance(value, Protocol) else value
            setattr(self, name, value)

    # --- what subclasses say ----------------------------------------------------------------------

    def roles(self) -> tuple[Role, ...]:
        """The roles of this protocol. Ids are their prefixes and a number from 1."""
        raise NotImplementedError(f"{type(self).__name__} names no roles")

    def problems(self, replicas: int) -> Iterable[str]:
        """What is wrong with these parameters for this number of replicas, beyond each alone."""
        return ()

    def crash_tolerance(self, replicas: int) -> int:
        """How many replicas may be down, or without their disk, while the others go on.

        A minority, or none for protocols that tolerate no crash. Override it where quorums are not
        majorities: no more than n less the largest quorum that anything needs.
        """
        return (replicas - 1) // 2 if self.tags.crash_tolerant else 0

    def interchangeable(self, world: Circumstances) -> tuple[tuple[str, ...], ...]:
        """Groups of nodes in which it does not matter which is which; none unless a protocol says.

        That is so if nobody's code ever asks more of two of their ids than whether they are equal:
        no order of ids, no place in a list of members, no number in an id. Where order tells
        nothing but the order of ids, a tuple is to be declared `unordered_`. Clients are compared
        with their commands, which is not for the protocol to do. The model checker believes it,
        and checks it on a sample of what happens (`concur.verify.reductions.symmetry`).
        """
        return ()

    def tells_time(self, role: Role, world: Circumstances) -> bool:
        """Whether anything at nodes of `role` depends on `uptime`, if their code reads it at all.

        The model checker does not let time pass where nothing does. It refuses to tell it then.
        """
        return True

    # --- parameters -------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; those of nested protocols too, as `a__b`, if `deep`."""
        params: dict[str, Any] = {}
        for name in type(self).parameters:
            value = getattr(self, name)
            params[name] = value
            if deep and isinstance(value, Protocol):
                params.update({f"{name}__{k}": v for k, v in value.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones as `a__b`; returns self. Raises BadInput on unknown names."""
        nested: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            outer, _, inner = name.partition("__")
            if outer not in type(self).parameters:
                raise BadInput(_unknown(self, name))
            if not inner:
                setattr(self, outer, value)
            else:
                nested.setdefault(outer, {})[inner] = value
        for outer, inside in nested.items():
            below = getattr(self, outer)
            if not isinstance(below, Protocol):
                raise BadInput(f"{self.label}.{outer}: holds no protocol, so {outer}__... is wrong")
            below.set_params(**inside)
        return self

    def clone(self) -> Self:
        """A new description with the same parameters, nested protocols cloned too."""
        params = self.get_params(deep=False)
        return type(self)(
            **{k: v.clone() if isinstance(v, Protocol) else v for k, v in params.items()}
        )

    def validate(self, replicas: int) -> Self:
        """Raise BadInput, in one line, if a parameter or the number of replicas cannot be."""
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 1:
            raise BadInput(f"replicas: {replicas!r}, expected a whole number of at least 1")
        if replicas > REPLICAS_MAX:
            raise BadInput(f"replicas: {replicas}, expected at most {REPLICAS_MAX}")
        for name, declared in type(self).parameters.items():
            value = getattr(self, name)
            if not declared.accepts(value):
                raise BadInput(f"{self.label}.{name}: {value!r}, expected {declared.describe()}")
            if isinstance(value, Protocol):
                value.validate(replicas)
        for problem in self.problems(replicas):
            raise BadInput(f"{self.label}: {problem}")
        return self

    # --- what follows from the roles --------------------------------------------------------------

    @property
    def label(self) -> str:
        return self.name or type(self).__name__

    def messages(self) -> "list[type[Message]]":
        """Every message class that some role handles, children of known roles not included."""
        kinds = {kind for role in self.roles() for kind in role.node._messages}
        return sorted(kinds, key=lambda kind: kind.__name__)

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, declared in type(self).parameters.items()
            if getattr(self, name) != declared.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from concur.card import card

        return card(self)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.get_params(deep=False).items()))))


REPLICAS_MAX = 1000
"""More replicas than this are refused: a typing error, not a cluster."""


def parse_parameter(protocol: type[Protocol], text: str) -> tuple[str, Any]:
    """Read "name=value" as a user types it, the value as JSON or, failing that, as a string."""
    name, equals, value = text.partition("=")
    declared = protocol.parameters.get(name.partition("__")[0])
    if not equals or declared is None:
        known = ", ".join(protocol.parameters) or "none"
        raise BadInput(f"parameter {text!r}: expected NAME=VALUE with a name among {known}")
    try:
        parsed = msgspec.json.decode(value.encode())
    except msgspec.DecodeError:
        parsed = value
    if isinstance(parsed, list):
        parsed = tuple(parsed)
    return name, parsed


def _evaluated(annotation: Any, cls: type) -> Any:
    """An annotation that `from __future__ import annotations` has left as a string."""
    if not isinstance(annotation, str):
        return annotation

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    known = vars(sys.modules[cls.__module__])
    try:
        return inspect.get_annotations(holder, globals=known, eval_str=True)["it"]
    except (NameError, SyntaxError):
        raise TypeError(f"{cls.__name__}: cannot make out the annotation {annotation!r}") from None


def _unknown(protocol: Protocol, name: str) -> str:
    known = ", ".join(type(protocol).parameters) or "none"
    return f"{protocol.label}: unknown parameter {name!r}, expected one of {known}"


def _is_a(value: Any, kind: Any) -> bool:
    """Whether `value` fits an annotation; whole numbers fit float."""
    origin = typing.get_origin(kind)
    if origin in (Union, UnionType):
        return any(_is_a(value, option) for option in typing.get_args(kind))
    if origin is tuple:
        items = typing.get_args(kind)
        if not isinstance(value, tuple):
            return False
        if len(items) == 2 and items[1] is Ellipsis:
            return all(_is_a(item, items[0]) for item in value)
        return len(items) == len(value) and all(map(_is_a, value, items))
    if kind is None or kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type):
        return isinstance(value, kind)
    return True


def _name(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(_name(option) for option in typing.get_args(kind))
    if origin is tuple:
        return f"({', '.join(_name(item) for item in typing.get_args(kind))})"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    if kind is type(None):
        return "None"
    return words.get(kind, getattr(kind, "__name__", str(kind)))
