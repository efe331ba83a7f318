"""What a checker needs of a machine: the machine is the sequential specification.

Any `concur.machines.Machine` is one. It is stated here structurally, so that whoever checks the
history of another database can bring a specification that is no replicated machine.
"""

from typing import Any, Protocol


class Specification(Protocol):
    """States are hashable values; nothing here has side effects."""

    @property
    def name(self) -> str: ...

    def initial(self) -> Any: ...

    def apply(self, state: Any, command: Any, /) -> tuple[Any, Any]:
        """The state and the result after `command`. One that raises changes nothing."""
        ...

    def read_only(self, command: Any, /) -> bool: ...

    def key(self, command: Any, /) -> Any:
        """The object that `command` touches; None if it touches all of them."""
        ...

    def command(self, f: str, key: Any, value: Any, /) -> Any:
        """The command that an invoke event stands for. Raises BadInput if there is none."""
        ...

    def event(self, command: Any, /) -> tuple[str, Any, Any]:
        """f, key and value of the invoke event of `command`."""
        ...

    def completion(self, command: Any, result: Any, /) -> tuple[str, Any, str | None]:
        """Type, value and error of the event that reports `result`."""
        ...

    def snapshot(self, state: Any, /) -> bytes:
        """An encoding that tells all states apart, also those that Python calls equal."""
        ...
