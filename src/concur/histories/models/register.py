"""A register: read, write, and compare-and-set. `register` and `cas-register` are two names of it:
a history without a compare-and-set is one of plain reads and writes."""

from concur.histories.models.base import Model
from concur.machines.register import Register


class RegisterModel(Model, Register):
    """`read`; `write` with the value; `cas` with [old, new]. Initially null, or any scalar."""

    name = "register"
    words = ("cas",)
    blind = ("write",)


class CasRegisterModel(RegisterModel):
    """The same."""

    name = "cas-register"
