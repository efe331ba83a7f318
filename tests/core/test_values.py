"""Set and Map against frozenset and dict: same contents, one order, deltas that add up."""

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.messages import decode, encode
from concur.values import RECENT_MAX, Map, MapDelta, Set, canonical

KEYS = st.integers(0, 12)
INTS = st.integers(-(1 << 63), (1 << 63) - 1)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "discard", "update", "without"]), KEYS, st.integers(0, 3)),
    max_size=3 * RECENT_MAX,
)


def change(m: Map[int, int], model: dict[int, int], kind: str, key: int, value: int) -> Any:
    """Apply one change to the map and to a copy of its model."""
    model = dict(model)
    if kind == "put":
        m = m.put(key, value)
        model[key] = value
    elif kind == "discard":
        m = m.discard(key)
        model.pop(key, None)
    elif kind == "update":
        pairs = [(k, value) for k in range(key)]
        m = m.update(pairs)
        model.update(pairs)
    else:
        m = m.without([*range(key), *range(key)])
        model = {k: v for k, v in model.items() if k >= key}
    return m, model


@given(CHANGES)
def test_a_map_does_what_a_dict_does_and_older_versions_stay(changes: list[Any]) -> None:
    versions: list[tuple[Map[int, int], dict[int, int]]] = [(Map(), {})]
    for kind, key, value in changes:
        versions.append(change(*versions[-1], kind, key, value))
    for m, model in versions:
        assert m.items() == sorted(model.items())
        assert list(m) == m.keys() == sorted(model)
        assert m.values() == [model[k] for k in sorted(model)]
        assert len(m) == len(model)
        assert all((k in m) == (k in model) and m.get(k, -1) == model.get(k, -1) for k in range(13))


@given(CHANGES, st.data())
def test_the_delta_of_any_two_versions_leads_from_one_to_the_other(
    changes: list[Any], data: st.DataObject
) -> None:
    versions: list[tuple[Map[int, int], dict[int, int]]] = [(Map(), {})]
    for kind, key, value in changes:
        # Sometimes from an older version, so that histories branch.
        base = versions[-1 - data.draw(st.sampled_from([0, 0, 0, 1, 70])) % len(versions)]
        versions.append(change(*base, kind, key, value))
    for _ in range(5):
        old, _ = data.draw(st.sampled_from(versions))
        new, model = data.draw(st.sampled_from(versions))
        delta = Map.delta(old, new)
        assert old.patch(delta) == new
        assert dict(old.patch(delta).items()) == model
        assert (delta == MapDelta((), ())) == (old == new)
        # A delta is a function of the two values, not of how they came about.
        assert delta == Map.delta(Map(old.items()), Map(new.items()))
        assert decode(encode(delta), MapDelta[int, int]) == delta


def test_a_long_chain_of_changes_is_forgotten_but_deltas_stay_right() -> None:
    versions = [Map[int, int]()]
    for i in range(10 * RECENT_MAX):
        versions.append(versions[-1].put(i % 7, i))
    for old, new in [(0, -1), (-2, -1), (-60, -1), (-1, 3), (100, 101), (63, 64), (64, 65)]:
        assert versions[old].patch(Map.delta(versions[old], versions[new])) == versions[new]
    links = 0
    link: Any = versions[-1]._recent
    while link is not None:
        link, links = link[0], links + 1
    assert links <= RECENT_MAX + 2


def test_forgetting_on_one_branch_does_not_change_the_deltas_of_another() -> None:
    trunk = Map((i, 0) for i in range(20))
    for i in range(RECENT_MAX - 1):
        trunk = trunk.put(i % 20, i)
    left = trunk.put(9, "left").put(3, "left").put(5, "left")
    before = Map.delta(trunk, left)
    right = trunk
    for i in range(RECENT_MAX):
        right = right.put(i % 20, "right")
    assert Map.delta(trunk, left) == before
    assert [key for key, _ in before.put] == [3, 5, 9]
    assert left.patch(Map.delta(left, right)) == right


def test_a_put_of_the_same_object_is_the_same_map() -> None:
    value = (1, 2)
    m = Map({"a": value})
    assert m.put("a", value) is m
    assert m.discard("b") is m
    assert m.patch(MapDelta((), ())) is m
    assert Map.delta(m, m.put("a", (1, 2))) == MapDelta((), ())


def test_a_delta_tells_true_from_one() -> None:
    old, new = Map({"a": 1, "b": 1}), Map({"a": True, "b": 1})
    patched = old.patch(Map.delta(old, new))
    assert patched["a"] is True


def test_removing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Map({"a": 1}).remove("b")
    with pytest.raises(KeyError):
        Map[str, int]()["a"]


@given(st.lists(st.tuples(INTS, st.text(max_size=3)), max_size=30), st.randoms())
def test_equal_maps_have_equal_hashes_and_texts_however_they_were_made(
    pairs: list[Any], chance: Any
) -> None:
    one = Map(dict(pairs))
    shuffled = list(dict(pairs).items())
    chance.shuffle(shuffled)
    other = Map[int, str]().put(7, "gone")
    for key, value in shuffled:
        other = other.put(key, value)
    other = other if 7 in dict(pairs) else other.remove(7)
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)
    assert encode(one) == encode(other)
    assert pickle.loads(pickle.dumps(one)) == other
    assert one != other.put(10**6, "more")
    assert one != dict(pairs)


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_a_set_does_what_a_frozenset_does(a: set[int], b: set[int]) -> None:
    one, other = Set(a), Set(sorted(b, reverse=True))
    assert list(one) == sorted(a)
    assert list(one | other) == sorted(a | b)
    assert list(one & other) == sorted(a & b)
    assert list(one - other) == sorted(a - b)
    assert (one <= other) == (a <= b)
    assert (one == other) == (a == b)
    assert len(one) == len(a)
    for x in range(21):
        assert (x in one) == (x in a)
        assert list(one.add(x)) == sorted(a | {x})
        assert list(one.discard(x)) == sorted(a - {x})
    assert list(one) == sorted(a)
    assert hash(one) == hash(Set(sorted(a)))
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != a


def test_adding_a_member_again_is_the_same_set() -> None:
    votes = Set(("r1",))
    assert votes.add("r1") is votes
    assert votes.discard("r2") is votes


MIXED = """
from concur.values import Map, Set
from concur.messages import Command, encode
words = ["w%d" % i for i in range(50)]
nested = Set([Set(words[:3]), Set(words[3:9]), Set(), (1, "a"), (1, 2), None, "x", b"x", 7])
m = Map({w: Set(words[i:]) for i, w in enumerate(words)} | {1: "one", None: "nothing"})
commands = Set([Command("s", i, b"") for i in range(9)])
changed = m.update([(w, 0) for w in words]).without(words[:5])
import json
print(json.dumps([repr(nested), repr(m), repr(commands), encode((nested, m, commands)).hex(),
                  repr(Map.delta(m, changed)), repr(Map.delta(Map(), changed))]))
"""


def test_order_does_not_depend_on_the_hash_seed() -> None:
    printed = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", MIXED], env=environment, capture_output=True, check=True
        )
        printed.append(json.loads(done.stdout))
    assert printed[0] == printed[1]


@given(st.lists(st.one_of(INTS, st.text(max_size=2), st.none(), st.binary(max_size=2))))
def test_the_canonical_order_is_one_whatever_the_types(items: list[Any]) -> None:
    unique = list(dict.fromkeys(items))
    assert canonical(unique) == canonical(reversed(unique))


class Bag(msgspec.Struct, frozen=True):
    votes: Set[tuple[int, str]]
    table: Map[str, Set[int]]
    deep: Map[int, Map[str, tuple[int, ...]]] = Map()


def test_collections_come_back_from_bytes_with_their_types() -> None:
    bag = Bag(Set(((2, "b"), (1, "a"))), Map({"k": Set((1, 2))}), Map({1: Map({"x": (1, 2)})}))
    back = decode(encode(bag), Bag)
    assert back == bag
    assert type(back.votes) is Set
    assert all(type(vote) is tuple for vote in back.votes)
    assert type(back.table["k"]) is Set
    assert type(back.deep[1]) is Map
    assert type(back.deep[1]["x"]) is tuple


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ([1, 1], Set[int]),
        (["a"], Set[int]),
        (7, Set[int]),
        ([[1, 2], [1, 3]], Map[int, int]),
        ([[1]], Map[int, int]),
        ([[[], 2]], Map[Any, int]),
        ({"a": 1}, Map[str, int]),
    ],
)
def test_what_is_no_collection_is_bad_input(data: Any, kind: Any) -> None:
    with pytest.raises(BadInput, match="malformed"):
        decode(encode(data), kind)
