"""`concur list`: the protocols, what each needs and what it gives."""

from concur.cli.options import Json, plain_parameters

EXAMPLES = "Example: concur list --json"


def list_protocols(json: Json = False) -> int:
    """The protocols, and what each needs and gives."""
    import msgspec

    from concur.card import traits
    from concur.cli.terminal import out, print_json
    from concur.protocols import all_protocols

    found = [kind() for kind in all_protocols()]
    if json:
        print_json(
            {
                "protocols": [
                    {
                        "name": p.label,
                        "summary": p.summary,
                        "paper": p.paper,
                        "roles": [
                            {"name": r.name, "count": r.count, "place": r.place, "links": r.links}
                            for r in p.roles()
                        ],
                        "tags": msgspec.to_builtins(p.tags),
                        "parameters": plain_parameters(p),
                    }
                    for p in found
                ]
            }
        )
        return 0
    console = out()
    for protocol in found:
        console.print(protocol.label, style="bold")
        lines = [
            protocol.summary,
            protocol.paper,
            "; ".join(traits(protocol.tags)),
            "parameters: " + (", ".join(type(protocol).parameters) or "none"),
        ]
        from rich.padding import Padding

        for line in filter(None, lines):
            console.print(Padding(line, (0, 0, 0, 2)))
        console.print()
    return 0
