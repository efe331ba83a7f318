"""`concur replay` of a counter-example that `concur verify --save` wrote."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.base import Protocol
    from concur.verify.stories.counterexample import Counterexample
    from concur.verify.stories.stepping import Stepped


def replay_story(
    path: Path,
    *,
    protocol: "Protocol | None",
    stop_at: int | None,
    show: list[str],
    steps: int,
    diagram: Path | None,
    json: bool,
) -> int:
    """Take real nodes through its events, compare their states with those of the model checker,
    and tell what happens. Exit status 1 if it does not happen as it is told."""
    from concur.cli.terminal import err, print_json
    from concur.verify.stories.counterexample import Counterexample, NotSo
    from concur.verify.stories.telling import told

    story = Counterexample.load(path, protocol)
    if stop_at is not None and not 1 <= stop_at <= len(story.events):
        raise BadInput(f"--stop-at {stop_at}: expected an event, from 1 to {len(story.events)}")
    wrong = ""
    try:
        blocks, cluster = told(story, stop_at)
        if stop_at is None and not story.happens():
            wrong = f"{story.property} does not break"
    except NotSo as error:
        wrong = str(error)
    if wrong:
        if json:
            print_json({"same": False, "divergence": wrong, "property": story.property})
        else:
            _say(f"DIFFERS {wrong}", style="bold red")
        return 1
    states = {name: _state(cluster, name) for name in show}
    if diagram is not None:
        story.diagram(diagram)
    if json:
        found = _as_json(story, blocks, states, stop_at)
        print_json(found if diagram is None else found | {"diagram": str(diagram)})
    else:
        _print(story, blocks[-steps:] if steps else blocks, states, stop_at)
        if diagram is not None:
            err().print(f"wrote {diagram}", soft_wrap=True)
    return 0


def _state(cluster: "Stepped", name: str) -> dict[str, Any] | None:
    """The fields of a node; None while it is down."""
    if name not in cluster.seats:
        known = ", ".join(cluster.seats)
        raise BadInput(f"--show {name}: no such node, expected one of {known}")
    node = cluster.seats[name].node
    return None if node is None else node.state()


def _as_json(
    story: "Counterexample",
    blocks: list[str],
    states: dict[str, dict[str, Any] | None],
    stop_at: int | None,
) -> dict[str, Any]:
    return {
        "same": True,
        "steps": len(blocks) - 1,
        "divergence": "",
        "protocol": story.scenario.protocol.label,
        "bounds": story.scenario.bounds(),
        "property": story.property,
        "reason": story.reason,
        "events": list(story.events if stop_at is None else story.events[:stop_at]),
        "state": {
            name: fields and {key: repr(value) for key, value in fields.items()}
            for name, fields in states.items()
        },
        "transcript": "\n\n".join(blocks),
    }


def _print(
    story: "Counterexample",
    blocks: list[str],
    states: dict[str, dict[str, Any] | None],
    stop_at: int | None,
) -> None:
    from concur.verify.stories.telling import ending, headline

    _say("\n".join(headline(story)))
    for block in blocks:
        _say(f"\n{block}")
    if stop_at is None:
        _say("")
        _say("\n".join(ending(story)), style="bold red")
    for name, fields in states.items():
        _say("")
        _say(name if fields is not None else f"{name} (down)", style="bold")
        for key, value in (fields or {}).items():
            _say(f"  {key} = {value!r}")


def _say(text: str, style: str = "") -> None:
    from concur.cli.terminal import out

    out().print(text, style=style or None, soft_wrap=True)
