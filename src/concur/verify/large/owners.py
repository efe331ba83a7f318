"""Which process looks after a state: by the content of all of it, or of a part that rarely changes.

A state that follows and has another owner must be sent there, which costs as much as to expand it.
So the owner of a `System`'s state is found by the local states of one place or two: a step at any
other place stays where it is. Which ones, is decided on a sample: a place that rarely moves sends
little, but its local states must be many, so that every process has its share of each layer.
"""

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

from concur.verify.engine.packing import LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.large.fingerprints import digest, fingerprints
from concur.verify.model import Model

SAMPLE = 4000
"""States, breadth-first, on which it is decided, and so many steps, the last ones."""
LEADING = 4
"""Of the places, those that promise most are tried in pairs."""
SENDING = 1.5
"""What it costs to send a state, when to expand it costs 1: measured on the Paxos register."""

Fields = tuple[int, ...]
"""Places, in order; one more is the observer. None at all: the whole state."""


def owner_of(model: Model[Any], fields: Fields, processes: int) -> Callable[[Any], int]:
    """The owner of each state: a number below `processes`, the same in each of them."""
    if not fields or not isinstance(model, System):
        of = fingerprints(model).of
        return lambda state: of(state) % processes
    packing = model._packing
    shifts = (*packing.places, packing.observer)
    numbers = (*model._locals, model._observed)
    shares: list[list[int]] = [[] for _ in fields]

    def learn() -> None:
        for field, share in zip(fields, shares, strict=True):
            new = numbers[field].values[len(share) :]
            share += [digest(b"owner %d" % field, value) % processes for value in new]

    if len(fields) == 1:
        (shift,), (share,) = [shifts[field] for field in fields], shares

        def owner(state: int) -> int:
            try:
                return share[(state >> shift) & LOCAL_MASK]
            except IndexError:
                learn()
                return share[(state >> shift) & LOCAL_MASK]

        return owner

    def owner_by_all(state: int) -> int:
        if any(len(n) > len(s) for n, s in zip((numbers[f] for f in fields), shares, strict=True)):
            learn()
        pairs = zip(fields, shares, strict=True)
        return sum(s[(state >> shifts[f]) & LOCAL_MASK] for f, s in pairs) % processes

    return owner_by_all


def choose(model: Model[Any], processes: int) -> Fields:
    """By what to divide the states of `model`: what promises most on a sample of them."""
    if not isinstance(model, System):
        return ()
    layers, edges = _sample(model)
    total = sum(map(len, layers))

    def gain(fields: Fields) -> float:
        owner = owner_of(model, fields, processes)
        busiest = sum(max(Counter(map(owner, layer)).values()) for layer in layers)
        sent = sum(owner(before) != owner(after) for before, after in edges) / max(1, len(edges))
        return total / max(1, busiest) / (1 + SENDING * sent)

    one: dict[Fields, float] = {
        (field,): gain((field,)) for field in range(len(model.behaviours) + 1)
    }
    leading = sorted(sorted(one, key=lambda fields: -one[fields])[:LEADING])
    two: dict[Fields, float] = {(*a, *b): gain((*a, *b)) for a, b in combinations(leading, 2)}
    gains: dict[Fields, float] = {**one, **two, (): gain(())}
    return max(gains, key=lambda fields: gains[fields])


def _sample(model: System) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """The first layers, and steps from the last of them."""
    seen = dict.fromkeys(model.initial())
    layers = [list(seen)]
    edges: list[tuple[int, int]] = []
    while layers[-1] and len(seen) < SAMPLE:
        following: dict[int, None] = {}
        for state in layers[-1]:
            for new in model.successors(state):
                edges.append((state, new))
                if new not in seen:
                    seen[new] = following[new] = None
            if len(seen) >= SAMPLE:
                break
        layers.append(list(following))
    return [layer for layer in layers if layer], edges[-SAMPLE:]
