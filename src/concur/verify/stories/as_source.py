"""A story as a regression test: a pytest file of its own, that fails if, and only if, it happens
again.

The file names the protocol and the commands as Python does, so whatever it takes must be at the top
of a module that can be imported. Events that can no longer happen are skipped, and if the property
still holds at the end, the test passes.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines import Machine, all_machines
from concur.values import Map, Set
from concur.verify.scenario import Scenario

if TYPE_CHECKING:
    from concur.verify.stories.counterexample import Counterexample

WIDTH = 100
PLAIN = (type(None), bool, int, float, str, bytes)
NAMED = {type(machine): machine.name for machine in all_machines()}

TEMPLATE = '''"""{title}

A story that the model checker found. It fails as long as this can happen.
"""

{imports}

STORY = {story}


def test_{name}() -> None:
    broken = STORY.again()
    assert broken is None or broken[0] != STORY.property, broken[1]
'''


def regression_test(story: "Counterexample") -> str:
    """The source. Raises BadInput for what cannot be imported."""
    names = Names()
    source = names.call(
        "Counterexample",
        {
            "scenario": names.scenario(story.scenario, 1),
            "property": _quoted(story.property, 1, "property="),
            "reason": _quoted(story.reason, 1, "reason="),
            **({"start": repr(story.start)} if story.start else {}),
            "events": _listed([_quoted(label, 2) for label in story.events], 1),
        },
        0,
    )
    label = re.sub(r"\W+", "_", story.scenario.protocol.label).strip("_").lower()
    called = re.sub(r"\W+", "_", story.property).strip("_").lower()
    return TEMPLATE.format(
        title=f"{story.scenario.protocol.label}: {story.property} breaks.",
        imports=names.imports(),
        story=source,
        name=f"{label}_keeps_{called}",
    )


class Names:
    """Python expressions for values, and the imports that they need."""

    def __init__(self) -> None:
        self._known = {"Counterexample": "concur.verify", "Scenario": "concur.verify"}

    def imports(self) -> str:
        modules: dict[str, list[str]] = {}
        for name, module in self._known.items():
            modules.setdefault(module, []).append(name)
        ours = sorted(module for module in modules if module.partition(".")[0] == "concur")
        theirs = sorted(module for module in modules if module not in ours)
        lines = [
            f"from {module} import {', '.join(sorted(modules[module]))}"
            for block in (ours, theirs)
            for module in block
        ]
        return "\n".join(lines)

    def kind(self, kind: type) -> str:
        """The name of a class, which is imported."""
        module, name = kind.__module__, kind.__qualname__
        if module == "__main__" or not name.isidentifier():
            raise BadInput(
                f"regression test: {module}.{name} cannot be imported, expected a class at the top "
                "of a module"
            )
        if self._known.setdefault(name, module) != module:
            raise BadInput(f"regression test: two classes {name}, of {module} and of "
                           f"{self._known[name]}")  # fmt: skip
        return name

    def scenario(self, scenario: Scenario, depth: int) -> str:
        """With all that is not as it is by default."""
        fields = {}
        for field in msgspec.structs.fields(Scenario):
            value = getattr(scenario, field.name)
            if value == field.default:
                continue
            fields[field.name] = self.value(value)
        return self.call("Scenario", fields, depth)

    def value(self, value: Any) -> str:
        kind = type(value)
        if kind in PLAIN:
            return _repr(value)
        if kind in NAMED:
            return _repr(NAMED[kind])
        if isinstance(value, Protocol):
            given = value.get_params(deep=False)
            changed = {
                name: given[name]
                for name, declared in kind.parameters.items()
                if given[name] != declared.default
            }
            return self.line(self.kind(kind), changed)
        if isinstance(value, msgspec.Struct):
            return self.line(self.kind(kind), msgspec.structs.asdict(value))
        if isinstance(value, tuple | list):
            inside = ", ".join(map(self.value, value))
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        if kind in (Map, Set):
            return (
                f"{self.kind(kind)}({self.value(tuple(value.items() if kind is Map else value))})"
            )
        if isinstance(value, Mapping):
            return f"{{{', '.join(f'{self.value(k)}: {self.value(v)}' for k, v in value.items())}}}"
        if isinstance(value, Machine) or kind.__init__ is object.__init__:
            return f"{self.kind(kind)}()"
        raise BadInput(f"regression test: {value!r} cannot be written down")

    def line(self, name: str, fields: dict[str, Any]) -> str:
        return f"{name}({', '.join(f'{k}={self.value(v)}' for k, v in fields.items())})"

    def call(self, name: str, fields: dict[str, str], depth: int) -> str:
        """A call with a line for each argument."""
        inside = "".join(f"{'    ' * (depth + 1)}{k}={v},\n" for k, v in fields.items())
        return f"{name}(\n{inside}{'    ' * depth})"


def _listed(items: list[str], depth: int) -> str:
    inside = "".join(f"{'    ' * (depth + 1)}{item},\n" for item in items)
    return f"(\n{inside}{'    ' * depth})" if items else "()"


def _repr(value: Any) -> str:
    """With the quotation marks that people prefer."""
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    plain = repr(text)
    if '"' in text or plain[0] == '"':
        return plain
    return f'"{plain[1:-1]}"'


def _quoted(text: str, depth: int, before: str = "") -> str:
    """A text, in pieces if it is too long for a line."""
    if len(before) + len(_text(text)) < WIDTH - 4 * depth:
        return _text(text)
    room = WIDTH - 4 * (depth + 1)
    pieces: list[str] = []
    while text:
        most = len(text)
        while len(_text(text[:most])) > room:
            most = min(room, most - 1)
        at = text.rfind(" ", 1, most) + 1 if len(text) > most else most
        pieces.append(_text(text[: at or most]))
        text = text[at or most :]
    indent = "    " * (depth + 1)
    inside = "\n".join(f"{indent}{piece}" for piece in pieces)
    return f"(\n{inside}\n{'    ' * depth})"
