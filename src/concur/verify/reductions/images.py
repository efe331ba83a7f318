"""Images of local states, messages and histories under a group of renamings, and whether they fit.

Each image is computed once, gets a number as everything else does, and is kept in tables by number.
See `concur.verify.reductions.symmetry`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from concur.errors import BadInput, ConcurError
from concur.verify.engine.answers import Answers
from concur.verify.engine.behaviour import Behaviour
from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.nodes.histories import Judge, Judged
from concur.verify.nodes.host import Host, HostState
from concur.verify.reductions.renaming import Renaming, difference, difference_of_hosts

RENAMINGS_MAX = 5040
"""Of one group: all orders of seven nodes."""

CHECK_ALL = 256
CHECK_EVERY = 8
"""The first answers are all checked for symmetry, and then one in so many."""


class Asymmetric(ConcurError):
    """What was said to be interchangeable is not."""


class Images:
    """The renamings that `generators` generate, and what they make of what is in `system`.

    Once made, it checks for a sample of the system's answers that the image of what follows is what
    follows the image.
    """

    def __init__(
        self,
        system: System,
        generators: Sequence[Mapping[str, str]],
        words: str = "",
        ids: Collection[str] = (),
    ) -> None:
        self.system = system
        self.words = words
        names = [behaviour.name for behaviour in system.behaviours]
        self._ids = {*names, *ids}
        self._renamings = [Renaming(each, self._ids) for each in _group(generators)]
        self._normal = self._renamings[0]
        self._places = [
            [names.index(renaming.names.get(name, name)) for name in names]
            for renaming in self._renamings
        ]
        """Of each renaming: where each place goes."""
        count = range(len(names))
        self._sources = [[places.index(at) for at in count] for places in self._places]
        order = range(len(self._renamings))
        self._locals: list[list[dict[int, int]]] = [[{} for _ in names] for _ in order]
        self._envelopes: list[dict[int, int]] = [{} for _ in order]
        self._origins: list[dict[int, int]] = [{} for _ in order]
        self._observed: list[dict[int, int]] = [{} for _ in order]
        self._asked = self._checked = self._folds = 0
        self._is_checking = False
        self._listen(system.answers)

    @property
    def order(self) -> int:
        """How many renamings there are, the one that changes nothing with them."""
        return len(self._renamings)

    @property
    def checked(self) -> int:
        """How many answers were compared with those of an image."""
        return self._checked

    # --- images of what has a number --------------------------------------------------------------

    def _local(self, way: int, place: int, number: int) -> int:
        known = self._locals[way][place].get(number)
        if known is None:
            known = number
            if way:
                value = self._value(self._renamings[way], place, self.system._locals[place][number])
                known = self.system._locals[self._places[way][place]].number(value)
            self._locals[way][place][number] = known
        return known

    def _envelope(self, way: int, number: int) -> int:
        known = self._envelopes[way].get(number)
        if known is None:
            answers, places = self.system.answers, self._places[way]
            source, target, message = self.system._envelopes[number]
            renamed = self._renamings[way].value(message)
            (known,) = answers.count(places[source], ((places[target], renamed),), {})
            other = self._origins[way].setdefault(known, number)
            if other != number:
                raise Asymmetric(
                    "two messages that differ only in the order of what is `unordered_`: "
                    f"{answers.route(*self.system._envelopes[other])} and {message!r}"
                )
            self._envelopes[way][number] = known
        return known

    def _history(self, way: int, number: int) -> int:
        known = self._observed[way].get(number)
        if known is None:
            known = number
            if way:
                renamed = self._told(self._renamings[way], self.system._observed[number])
                known = self.system._observe(renamed)
            self._observed[way][number] = known
            self._check_folds()
        return known

    def _value(self, renaming: Renaming, place: int, value: Any) -> Any:
        if isinstance(value, HostState):
            return renaming.host(value, _nodes(self.system.behaviours[place]))
        return renaming.value(value)

    def _told(self, renaming: Renaming, value: Any) -> Any:
        if isinstance(value, Judged):
            assert isinstance(self.system.observer, Judge)
            return renaming.judged(value, tuple(self.system.observer.scripts))
        return renaming.value(value)

    # --- whether it is a symmetry -----------------------------------------------------------------

    def _listen(self, answers: Answers) -> None:
        """Hear of each new answer, and check some of them."""
        plain = answers.answer

        def answer(question: int, key: int) -> Any:
            found = plain(question, key)
            if not self._is_checking:
                self._asked += 1
                if self._asked <= CHECK_ALL or self._asked % CHECK_EVERY == 0:
                    self.check(question, key)
            return found

        answers.answer = answer  # type: ignore[method-assign]

    def check(self, question: int, key: int) -> None:
        """Compare an answer (`concur.verify.engine.answers`) with that of one of its images."""
        if self.order == 1 or self._is_checking:
            return
        self._is_checking = True
        try:
            self._check(question, key, 1 + self._checked % (self.order - 1))
            self._checked += 1
        finally:
            self._is_checking = False

    def _check(self, question: int, key: int, way: int) -> None:
        answers, packing = self.system.answers, self.system.packing
        number = key & LOCAL_MASK
        if question < 0:
            place = ~question
            to = ~self._places[way][place]
            what = "moves"
        else:
            envelope = question // packing.width
            place = self.system._envelopes[envelope][1]
            to = self._envelope(way, envelope) * packing.width
            what = f"receives {self.system._envelopes[envelope][2]!r}"
        left = key >> LOCAL_BITS << LOCAL_BITS
        image = left | self._local(way, place, number)
        mine = [(name, step) for name, step, _ in answers.ask(question, key)]
        theirs = [(name, step) for name, step, _ in answers.ask(to, image)]
        behaviour = self.system.behaviours[place]
        state = behaviour.show(self.system._locals[place][number])
        self._compare(way, place, mine, theirs, f"{what}, in the state {state}")

    def _compare(
        self,
        way: int,
        place: int,
        mine: list[tuple[str, Any]],
        theirs: list[tuple[str, Any]],
        what: str,
    ) -> None:
        """Whether the images of `mine`, the outcomes at `place`, are `theirs`."""
        to = self._places[way][place]
        everybody = list(range(len(self._places[way])))
        images = [
            self._outcome(self._renamings[way], self._places[way], place, to, step)
            for _, step in mine
        ]
        others = [self._outcome(self._normal, everybody, to, to, step) for _, step in theirs]
        missing = list((Counter(images) - Counter(others)).elements())
        found = list((Counter(others) - Counter(images)).elements())
        if not missing and not found:
            return
        names = [behaviour.name for behaviour in self.system.behaviours]
        exchange = self._renamings[way].names
        become = ", ".join(f"{name} becomes {exchange[name]}" for name in sorted(exchange))
        where = f"when {names[place]} {what}, if {become}"
        if not missing or not found:
            more, less = (place, to) if missing else (to, place)
            raise Asymmetric(
                self._complaint(f"{names[more]} has an outcome that {names[less]} has not", where)
            )
        one, other = missing[0], found[0]
        if one[0] != other[0]:
            numbers = self.system._locals[to]
            why = self._difference(to, numbers[one[0]], numbers[other[0]])
        elif one[1] != other[1]:
            why = "it sends " + " and ".join(self._routes(one[1])) + ", not "
            why += (" and ".join(self._routes(other[1]))) or "anything"
        else:
            why = f"it says or costs {one[2:]}, not {other[2:]}"
        raise Asymmetric(self._complaint(why, where))

    def _outcome(
        self, renaming: Renaming, places: list[int], place: int, to: int, step: Any
    ) -> tuple[Any, ...]:
        answers = self.system.answers
        state = self.system._locals[to].number(self._value(renaming, place, step.state))
        sends = ((places[target], renaming.value(message)) for target, message in step.sends)
        copies = answers.count(to, sends, {})
        events = tuple(renaming.value(event) for event in step.events)
        said = answers.said.number((to, events)) if events else 0
        return state, tuple(sorted(copies.items())), said, step.costs

    def _routes(self, copies: Iterable[tuple[int, int]]) -> list[str]:
        return [self.system.answers.route(*self.system._envelopes[at]) for at, _ in copies]

    def _difference(self, place: int, one: Any, other: Any) -> str:
        if isinstance(one, HostState):
            return difference_of_hosts(one, other, _nodes(self.system.behaviours[place]))
        return difference(one, other)

    def _check_folds(self) -> None:
        """Whether the observer, too, goes by nothing but whether names are equal."""
        system, folds = self.system, self.system.folds
        if len(folds) == self._folds or self._is_checking or self.order == 1:
            return
        self._folds = len(folds)
        way = 1 + self._folds % (self.order - 1)
        renaming, key = self._renamings[way], next(reversed(folds))
        value = system._observed[key >> LOCAL_BITS]
        place, events = system.answers.said[key & LOCAL_MASK]
        image = self._told(renaming, value)
        for event in events:
            value = system.observer.after(value, place, event)
            moved = self._places[way][place]
            image = system.observer.after(image, moved, renaming.value(event))
        expected, image = self._told(renaming, value), self._told(self._normal, image)
        broken = system.observer.broken
        if expected != image or (broken(value) is None) != (broken(image) is None):
            why = difference(expected, image) or "only one of two images is broken"
            raise Asymmetric(self._complaint(why, f"in what the observer makes of {events!r}"))

    def _complaint(self, why: str, where: str) -> str:
        said = f"interchangeable were said to be {self.words}, but " if self.words else ""
        return f"{self.system.name}: {said}names matter {where}: {why}"


def _nodes(behaviour: Behaviour) -> list[type[Any]]:
    assert isinstance(behaviour, Host)
    return [role.node for _, role in behaviour.seats]


def _group(generators: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """All that comes of applying `generators` again and again; first what changes nothing."""
    words = sorted({word for each in generators for pair in each.items() for word in pair})
    for each in generators:
        if sorted(each.get(word, word) for word in words) != words:
            raise BadInput(f"renaming {dict(each)!r}: expected one that exchanges names")
    found = {tuple(words): None}
    queue = list(found)
    for known in queue:
        for each in generators:
            new = tuple(each.get(word, word) for word in known)
            if new not in found:
                found[new] = None
                queue.append(new)
        if len(found) > RENAMINGS_MAX:
            raise BadInput(f"more than {RENAMINGS_MAX:,} renamings: make fewer interchangeable")
    return [dict(zip(words, image, strict=True)) for image in found]
