"""The card of a protocol: what it is, in a notebook, instead of its bare `repr`.

A piece of HTML that stands for itself: no script, no font, no address of anything. It takes the
colours of the page around it, so it is readable on light and on dark paper, whoever chose that.
"""

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concur.base import Parameter, Protocol, Role, Tags

VALUE_LENGTH_MAX = 120
"""Characters of a value that are shown."""

STYLE = """
.concur-card {max-width: 62em; padding: .7em 1em; border: 1px solid rgba(127, 127, 127, .45);
 border-radius: 6px; font: 14px/1.45 system-ui, sans-serif; color: inherit}
.concur-card > * {margin: 0 0 .5em}
.concur-card > :last-child {margin-bottom: 0}
.concur-card .concur-name {font-size: 1.25em; font-weight: 600}
.concur-card .concur-quiet {opacity: .8}
.concur-card ul {display: flex; flex-wrap: wrap; gap: .35em; padding: 0; list-style: none}
.concur-card li {padding: 0 .6em; border: 1px solid rgba(127, 127, 127, .45); border-radius: 1em}
.concur-card summary {cursor: pointer; font-weight: 600}
.concur-card .concur-wide {overflow-x: auto}
.concur-card table {border-collapse: collapse; margin: .3em 0 0; color: inherit; font-size: 1em}
.concur-card tr {background: transparent}
.concur-card th, .concur-card td {padding: .2em .9em .2em .4em; text-align: left;
 vertical-align: top; border: 0; border-top: 1px solid rgba(127, 127, 127, .3)}
.concur-card th {font-weight: 600}
.concur-card thead th {border-top: 0}
.concur-card .concur-changed th, .concur-card .concur-wrong th {box-shadow: inset 3px 0 #c77700}
.concur-card .concur-changed {background: rgba(199, 119, 0, .13)}
.concur-card .concur-wrong {background: rgba(214, 48, 49, .18)}
.concur-card code {padding: 0; color: inherit; background: none}
"""


def card(protocol: "Protocol") -> str:
    """The card as HTML. Never raises: a protocol that is being written is shown as far as it is."""
    kind = type(protocol)
    name = f'<span class="concur-name">{escape(kind.__name__)}</span>'
    if protocol.name:
        name += f" <code>{escape(protocol.name)}</code>"
    parts = [f"<div>{name}</div>"]
    if protocol.summary:
        parts.append(f"<div>{escape(protocol.summary)}</div>")
    parts.append(
        f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in traits(protocol.tags))}</ul>"
    )
    parts.append(_roles(protocol))
    parts.append(_parameters(protocol))
    if protocol.paper:
        parts.append(f'<div class="concur-quiet">{escape(protocol.paper)}</div>')
    return f'<div class="concur-card"><style>{STYLE}</style>\n' + "\n".join(parts) + "\n</div>"


def traits(tags: "Tags") -> list[str]:
    """Tags in words."""
    said = [
        "runs a log" if tags.log else "decides single values",
        "has a leader" if tags.leader else "",
        "survives crashes of a minority" if tags.crash_tolerant else "stops with one crash",
        "durable" if tags.durable else "keeps nothing on disk",
        "takes back wiped replicas" if tags.recovers_wiped else "",
        "changes its membership" if tags.membership else "",
        f"{tags.reads} reads",
        f"needs {', '.join(tags.needs)}" if tags.needs else "",
    ]
    return [text for text in said if text]


def _roles(protocol: "Protocol") -> str:
    try:
        roles = protocol.roles()
        rows = "".join(map(_role, roles))
    except Exception as error:
        return f'<div class="concur-quiet">Roles: {escape(_short(error))}</div>'
    return _table(("Role", "How many", "Where", "Links"), rows)


def _role(role: "Role") -> str:
    many = {"replicas": "one for each replica", "clients": "one for each client"}
    where = {
        "replica": "with the replicas",
        "client": "with the clients",
        "network": "in the network",
    }
    place = where.get(role.place, role.place)
    if role.beside:
        place = f"on the host of its {role.beside}"
    if role.cost not in ("server", role.place):
        place += f", as a {role.cost}"
    cells = many.get(str(role.count), str(role.count)), place, role.links
    return f'<tr><th scope="row">{escape(role.name)}</th>{_cells(cells)}</tr>'


def _parameters(protocol: "Protocol") -> str:
    declared = type(protocol).parameters
    if not declared:
        return '<div class="concur-quiet">No parameters.</div>'
    changed = 0
    rows = ""
    for name, one in declared.items():
        value = getattr(protocol, name, one.default)
        differs = not _equal(value, one.default)
        changed += differs
        rows += _parameter(name, one, value, differs=differs)
    count = (
        f"{changed} of {len(declared)} changed" if changed else f"{len(declared)}, as by default"
    )
    return (
        f"<details{' open' if changed else ''}><summary>Parameters ({count})</summary>"
        f"{_table(('Name', 'Value', 'What it is', 'Expected'), rows)}</details>"
    )


def _parameter(name: str, one: "Parameter", value: Any, *, differs: bool) -> str:
    try:
        wrong = not one.accepts(value)
    except Exception:
        wrong = True
    shown = f"<code>{escape(_short(value))}</code>"
    remarks = ["not accepted"] if wrong else []
    if differs:
        remarks.append(f"default {_short(one.default)}")
    if remarks:
        shown += f' <span class="concur-quiet">({escape("; ".join(remarks))})</span>'
    style = "concur-wrong" if wrong else "concur-changed" if differs else ""
    attribute = f' class="{style}"' if style else ""
    return (
        f'<tr{attribute}><th scope="row"><code>{escape(name)}</code></th><td>{shown}</td>'
        f"{_cells((one.doc, one.describe()))}</tr>"
    )


def _table(heads: tuple[str, ...], rows: str) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    return (
        f'<div class="concur-wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(texts: tuple[str, ...]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) and type(a) is type(b)


def _short(value: Any) -> str:
    try:
        words = str(value) if isinstance(value, BaseException) else repr(value)
    except Exception as error:
        words = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    return words if len(words) <= VALUE_LENGTH_MAX else words[: VALUE_LENGTH_MAX - 3] + "..."
