"""What breaks "durable before visible" on purpose (CORE.md, 5 and 6): for mutants only.

Protocols cannot get that rule wrong, so a mutant that does needs help from the driver. Each of
these decorators marks a node class, and drivers model what happens without the rule:

    @send_before_durable
    class Hasty(Replica): ...

Shipped protocols must not import this module; a tidy test says so.
"""

from typing import Any, TypeVar

from concur.node import Node

N = TypeVar("N", bound=type[Node[Any]])


def send_before_durable(role: N) -> N:
    """What a step says leaves at once; its records reach the disk later, or never."""
    return _marked(role, "send_before_durable")


def persist_separately(role: N) -> N:
    """Each changed field is a record of its own: a crash may keep one of a step and no other."""
    return _marked(role, "persist_separately")


def release_out_of_order(role: N) -> N:
    """A step waits for its own records and not for those of earlier steps: what persists nothing
    leaves at once, even if it repeats what an earlier step said and the disk does not hold yet."""
    return _marked(role, "release_out_of_order")


def _marked(role: N, how: str) -> N:
    if not (isinstance(role, type) and issubclass(role, Node)):
        raise TypeError(f"{how}: expected a Node class, got {role!r}")
    role.unsafe_ = role.unsafe_ | {how}
    return role


__all__ = ["persist_separately", "release_out_of_order", "send_before_durable"]
