"""Options that several verbs share, and how what was typed is read."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.base import Protocol

WORLD = "The world"
RUN = "The run"
OUTPUT = "Output"

Network = Annotated[
    str,
    typer.Option(
        help="lan, datacenter, wan-3, wan-5, aws-15, or a .toml or .csv file of your own.",
        rich_help_panel=WORLD,
        metavar="NAME|FILE",
    ),
]
Workload = Annotated[
    str | None,
    typer.Option(
        help="ycsb-a to ycsb-f, twitter-read-heavy, -mixed, -write-heavy, -counters or -hot, zipf, "
        "uniform, hot-key, mixed, counter, lock, queue, register, or a .toml file; parameters as "
        "in hot-key:conflict=0.5. Or your own operations, a .csv with a header such as "
        "time_s,client,f,key,value_bytes or a .jsonl file, as in ops.csv:speed=2 "
        "(docs/workloads.md). Default: ycsb-a to compare, mixed to simulate, or what fits "
        "--machine.",
        rich_help_panel=WORLD,
        metavar="NAME|FILE",
        show_default=False,
    ),
]
Faults = Annotated[
    str,
    typer.Option(
        help="none, all (a random schedule from the seed), kind=count,... such as "
        "leader-crash,partition=2, or a .json schedule. A kind that the protocol cannot have is "
        "refused, or left out of a comparison, which says so.",
        rich_help_panel=WORLD,
        metavar="FAULTS",
    ),
]
Replicas = Annotated[int, typer.Option(help="How many replicas.", rich_help_panel=WORLD)]
Spares = Annotated[
    int | None,
    typer.Option(
        help="Replicas beside those, which may become members, where a protocol can change them. "
        "Default: 2 if members are to change.",
        rich_help_panel=WORLD,
        show_default=False,
    ),
]
Clients = Annotated[
    int,
    typer.Option(help="How many clients, spread over the regions.", rich_help_panel=WORLD),
]
Machine = Annotated[
    str | None,
    typer.Option(
        help="What is replicated: kv, register, counter, lock, queue or package.module:Class. "
        "Default: what the workload asks for.",
        rich_help_panel=WORLD,
        metavar="NAME",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Decides everything left to chance. Default: 0.",
        rich_help_panel=RUN,
        show_default=False,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="Many seeds: from A up to, not including, B.", rich_help_panel=RUN, metavar="A:B"
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "--set", "-p",
        help="A parameter of the protocol, as in batch_max=16; may be given again. In a comparison "
        "it is for every protocol that has it; PROTOCOL.NAME=VALUE, as in raft.batch_max=16, is "
        "for one.",
        rich_help_panel=WORLD,
        metavar="NAME=VALUE",
    ),
]  # fmt: skip
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object, and nothing else.", rich_help_panel=OUTPUT),
]


def seeds_of(seed: int | None, seeds: str | None) -> range:
    """The seeds that `--seed` or `--seeds` asks for; half open, as in Python. Raises BadInput."""
    if seed is not None and not 0 <= seed < 2**63:
        raise BadInput(f"--seed {seed}: expected a whole number from 0 to {2**63 - 1}")
    if seeds is None:
        return range(seed or 0, (seed or 0) + 1)
    if seed is not None:
        raise BadInput(f"--seed {seed} and --seeds {seeds}: expected one of them")
    first, colon, last = seeds.partition(":")
    numbers = [text for text in (first, last) if text.isascii() and text.isdigit()]
    if not colon or len(numbers) < 2 or int(first) >= int(last) or len(last) > 18:
        raise BadInput(f"--seeds {seeds!r}: expected A:B with A below B, such as 0:10")
    return range(int(first), int(last))


def with_settings(protocols: "list[Protocol]", settings: list[str] | None) -> None:
    """Set parameters as typed: `name=value` wherever that name is known, or
    `protocol.name=value` for one. Raises BadInput."""
    from concur.base import parse_parameter

    for text in settings or ():
        left = text.partition("=")[0]
        label, dot, rest = text.partition(".") if "." in left else ("", "", text)
        meant = [p for p in protocols if not dot or p.label == label]
        if not meant:
            names = ", ".join(p.label for p in protocols)
            raise BadInput(f"parameter {text!r}: no protocol {label!r} here, expected {names}")
        outer = rest.partition("=")[0].partition("__")[0]
        knowing = [p for p in meant if outer in type(p).parameters]
        for protocol in knowing or meant[:1]:
            name, value = parse_parameter(type(protocol), rest)
            protocol.set_params(**{name: value})


def plain_parameters(protocol: "Protocol") -> dict[str, Any]:
    """Parameters and what they are, as JSON takes them."""
    return {
        name: {"default": declared.default, "expected": declared.describe(), "doc": declared.doc}
        for name, declared in type(protocol).parameters.items()
    }
