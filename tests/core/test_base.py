"""Protocols are descriptions: parameters, clone, nesting, constraints, tags, repr."""

import pickle
from typing import Any

import pytest

from concur.base import Protocol, Role, Tags, parameter, parse_parameter
from concur.errors import BadInput
from concur.messages import Message
from concur.node import Node, on


class Ping(Message, frozen=True):
    n: int


class Pong(Message, frozen=True):
    n: int


class Player(Node["Inner"]):
    @on(Ping)
    def ping(self, source: str, m: Ping) -> None: ...


class Umpire(Node["Inner"]):
    @on(Pong, Ping)
    def any(self, source: str, m: Any) -> None: ...


class Inner(Protocol):
    name = "inner"
    tags = Tags(leader=True)

    retry_s: float = parameter(default=0.5, above=0, doc="seconds between attempts")
    quorum: int | None = parameter(default=None, at_least=1, at_most=9)
    mode: str = parameter(default="fast", one_of=("fast", "slow"))
    timeout_s: tuple[float, float] = parameter(default=(0.1, 0.2), above=0, ascending=True)
    eager: bool = parameter(default=False)

    def roles(self) -> tuple[Role, ...]:
        return Role("player", Player, "r"), Role("umpire", Umpire, "u", count=1)

    def problems(self, replicas: int) -> tuple[str, ...]:
        if self.quorum is not None and self.quorum > replicas:
            return (f"a quorum of {self.quorum} among {replicas}",)
        return ()


class Outer(Protocol):
    name = "outer"
    inner: Protocol = parameter(default=Inner())
    copies: int = parameter(default=2, at_least=1)


def test_parameters_are_stored_as_given_and_have_defaults() -> None:
    odd = object()
    assert Inner(retry_s=odd).retry_s is odd  # type: ignore[arg-type]
    assert Inner().get_params() == {
        "retry_s": 0.5,
        "quorum": None,
        "mode": "fast",
        "timeout_s": (0.1, 0.2),
        "eager": False,
    }
    assert Inner.retry_s == 0.5


def test_an_unknown_parameter_is_named_with_those_that_exist() -> None:
    with pytest.raises(BadInput, match=r"inner: unknown parameter 'retries', .* retry_s, quorum"):
        Inner(retries=3)  # type: ignore[call-arg]
    with pytest.raises(BadInput, match="unknown parameter 'x'"):
        Inner().set_params(x=1)


def test_nested_parameters_are_read_and_set_with_two_underscores() -> None:
    outer = Outer(inner=Inner(retry_s=2.0))
    assert outer.get_params()["inner__retry_s"] == 2.0
    assert "inner__retry_s" not in outer.get_params(deep=False)
    assert outer.set_params(inner__retry_s=3.0, copies=5) is outer
    assert outer.inner.get_params()["retry_s"] == 3.0
    assert outer.set_params(inner__quorum=2, inner=Inner(mode="slow")).inner == Inner(
        quorum=2, mode="slow"
    )
    with pytest.raises(BadInput, match="holds no protocol"):
        outer.set_params(copies__x=1)
    with pytest.raises(BadInput, match="inner: unknown parameter 'nope'"):
        outer.set_params(inner__nope=1)


def test_setting_a_nested_parameter_does_not_change_the_default_of_others() -> None:
    Outer().set_params(inner__retry_s=9.0)
    assert Outer().inner == Inner()
    assert repr(Outer()) == "Outer()"


def test_a_clone_is_equal_and_independent() -> None:
    outer = Outer(inner=Inner(retry_s=2.0), copies=3)
    twin = outer.clone()
    assert twin == outer
    assert hash(twin) == hash(outer)
    twin.set_params(inner__retry_s=1.0)
    assert outer.get_params()["inner__retry_s"] == 2.0
    assert twin != outer
    assert pickle.loads(pickle.dumps(outer)) == outer


def test_the_repr_shows_what_differs_from_the_defaults_and_can_be_read_back() -> None:
    assert repr(Inner()) == "Inner()"
    outer = Outer(inner=Inner(mode="slow"), copies=3)
    assert repr(outer) == "Outer(inner=Inner(mode='slow'), copies=3)"
    assert eval(repr(outer)) == outer


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"retry_s": 0}, "inner.retry_s: 0, expected a number above 0"),
        ({"retry_s": float("nan")}, "inner.retry_s: nan, expected a number above 0"),
        ({"retry_s": float("inf")}, "inner.retry_s: inf, expected a number above 0"),
        ({"retry_s": "1"}, "inner.retry_s: '1', expected a number above 0"),
        ({"retry_s": True}, "inner.retry_s: True, expected a number above 0"),
        (
            {"quorum": 0},
            "inner.quorum: 0, expected a whole number or None at least 1 and at most 9",
        ),
        ({"mode": "quick"}, "inner.mode: 'quick', expected one of 'fast', 'slow'"),
        (
            {"timeout_s": (0.3, 0.2)},
            "inner.timeout_s: (0.3, 0.2), expected (a number, a number) above 0, ascending",
        ),
        ({"timeout_s": [0.1, 0.2]}, "inner.timeout_s: [0.1, 0.2], expected (a number, a number)"),
        ({"eager": 1}, "inner.eager: 1, expected true or false"),
        ({"quorum": 4}, "inner: a quorum of 4 among 3"),
    ],
)
def test_a_wrong_parameter_is_one_line_that_says_what_is_expected(
    wrong: dict[str, Any], expected: str
) -> None:
    for protocol in (Inner(**wrong), Outer(inner=Inner(**wrong))):
        with pytest.raises(BadInput) as caught:
            protocol.validate(3)
        assert str(caught.value).startswith(expected)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("replicas", [0, -1, 1.5, True, "3", 10**6])
def test_an_impossible_number_of_replicas_is_refused(replicas: Any) -> None:
    with pytest.raises(BadInput, match="replicas: "):
        Inner().validate(replicas)


def test_right_parameters_pass() -> None:
    fine = Inner(retry_s=1, quorum=3, timeout_s=(0.1, 0.1), mode="slow")
    assert fine.validate(3) is fine


def test_subclasses_inherit_parameters_and_may_give_them_other_defaults() -> None:
    class Slow(Inner):
        retry_s = 5.0
        extra: int = parameter(default=1)

    assert Slow().retry_s == 5.0
    assert Slow().clone().retry_s == 5.0
    assert repr(Slow(retry_s=0.5)) == "Slow(retry_s=0.5)"
    assert Inner().retry_s == 0.5
    assert "extra" not in Inner.parameters
    with pytest.raises(BadInput, match="above 0"):
        Slow(retry_s=-1).validate(3)


def test_parameters_of_all_bases_are_there() -> None:
    class Left(Protocol):
        left: int = parameter(default=1)

    class Right(Protocol):
        right: int = parameter(default=2)

    class Both(Left, Right):
        pass

    assert Both().get_params() == {"left": 1, "right": 2}


def test_a_parameter_needs_an_annotation_that_can_be_made_out() -> None:
    with pytest.raises(TypeError, match="needs a type annotation"):
        type("Wrong", (Protocol,), {"x": parameter(default=1)})
    body = {
        "__module__": __name__,
        "x": parameter(default=1),
        "__annotations__": {"x": "int | None"},
    }
    made: Any = type("Postponed", (Protocol,), dict(body))
    with pytest.raises(BadInput, match="expected a whole number or None"):
        made(x="1").validate(1)
    with pytest.raises(TypeError, match="cannot make out"):
        type("Wrong", (Protocol,), {**body, "__annotations__": {"x": "Nothing"}})


def test_the_vocabulary_of_a_protocol_is_what_its_roles_handle() -> None:
    assert Inner().messages() == [Ping, Pong]
    assert (Inner().label, Protocol().label) == ("inner", "Protocol")
    with pytest.raises(NotImplementedError, match="Protocol names no roles"):
        Protocol().roles()


def test_a_typed_parameter_is_read_as_json_or_else_as_a_string() -> None:
    assert parse_parameter(Inner, "timeout_s=[0.1,0.3]") == ("timeout_s", (0.1, 0.3))
    assert parse_parameter(Inner, "mode=slow") == ("mode", "slow")
    assert parse_parameter(Outer, "inner__quorum=2") == ("inner__quorum", 2)
    for wrong in ("mode", "speed=1"):
        with pytest.raises(BadInput, match="expected NAME=VALUE"):
            parse_parameter(Inner, wrong)
