"""A counter: read, add, fetch-and-add. `counter` and `fetch-add` are two names of it."""

from typing import Any

from concur.histories.models.base import Model
from concur.machines.counter import Counter


class CounterModel(Model, Counter):
    """`read`; `add` with the amount; `fetch-add` with the amount, giving the total before."""

    name = "counter"
    starts = 0
    blind = ("add",)

    def starting(self, initial: Any) -> int:
        if type(initial) is not int:
            raise self.wrong_initial(initial, "an integer")
        return initial


class FetchAddModel(CounterModel):
    """The same."""

    name = "fetch-add"
