"""Networks: regions, how long a message takes between them, and what may happen to it on the way.

A `Network` is a frozen description; the simulated world draws from it. Every delay distribution is
a table of 1,024 integer nanoseconds, one for each quantile, and a draw is

    table[next(stream) & 1023]

so a run depends on no platform's libm and a draw costs one index. `network("wan-5")` gives a
preset, `network("office.toml")` and `network("rtt.csv")` read one's own:

    name = "office"                       # optional, default: the file's name
    regions = ["cellar", "attic"]
    rtt_ms = [[0.2, 3.0], [3.0, 0.2]]     # round trips; row = sender, column = receiver
    # or by pairs, one direction being enough:  rtt_ms.cellar.attic = 3.0
    intra_region_rtt_ms = 0.5             # for pairs within a region that rtt_ms does not list
    distribution = "log-normal"           # or "normal", "constant"
    jitter = 0.05                         # standard deviation of a delay, relative to its mean
    loss = 0.0                            # chances for each datagram
    duplicate = 0.0
    reorder = 0.0
    bandwidth_mbit_s = 1000
    replica_regions = ["cellar"]          # where replicas go, round robin; default: all regions
    client_regions = ["attic"]

A CSV file is a matrix of round trips in milliseconds: a header `from,cellar,attic`, then one row
for each region in the same order. Lines that start with `#` are comments. Its other fields are
those of the `wan` presets.
"""

import csv
import re
import tomllib
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from concur.errors import BadInput
from concur.simulate.quantiles import NORMAL_MILLIONTHS

TABLE_SIZE = 1024
"""Entries of a delay table: quantiles (i + 1/2) / 1024, so beyond 99.9 % a tail has one entry."""

PRESETS = ("lan", "datacenter", "wan-3", "wan-5", "aws-15")

DISTRIBUTIONS = ("constant", "normal", "log-normal")

DELAY_MS_MAX = 3_600_000.0
"""An hour: Mars is 45 minutes away and back. Anything longer is a slip of the unit."""

SPREAD_MAX = 10.0
"""Largest standard deviation relative to the mean; measured networks stay below 2."""

REGIONS_MAX = 64
FILE_BYTES_MAX = 256 * 1024
"""A matrix of 64 x 64 regions with ten digits each takes 45 kB."""

BANDWIDTH_MBIT_S_MAX = 1e7
NAME_LENGTH_MAX = 64

WAN_JITTER = 0.05
"""An assumption: the source of the AWS matrix publishes means only."""

WAN_BANDWIDTH_BYTES_PER_S = 125_000_000
"""1 Gbit/s for each pair of nodes: an assumption, about what a tuned TCP flow keeps on a WAN."""

WAN_3 = ("virginia", "ireland", "tokyo")
WAN_5 = (*WAN_3, "oregon", "sao_paulo")

_FIELDS = (
    "name", "regions", "rtt_ms", "intra_region_rtt_ms", "distribution", "jitter", "loss",
    "duplicate", "reorder", "bandwidth_mbit_s", "replica_regions", "client_regions",
)  # fmt: skip


class Constant(msgspec.Struct, frozen=True):
    """Every message takes `mean_ms`."""

    mean_ms: float

    def __post_init__(self) -> None:
        _number("constant delay: mean_ms", self.mean_ms, 0, DELAY_MS_MAX)

    def table(self) -> tuple[int, ...]:
        """1,024 one-way delays in nanoseconds, ascending."""
        return _delay_table("constant", _ns(self.mean_ms), 0)


class Normal(msgspec.Struct, frozen=True):
    """A normal distribution, truncated at zero: its negative part is cut off, not piled up there.
    `mean_ms` is the mean before truncation."""

    mean_ms: float
    std_ms: float

    def __post_init__(self) -> None:
        _number("normal delay: mean_ms", self.mean_ms, 0, DELAY_MS_MAX)
        _number("normal delay: std_ms", self.std_ms, 0, DELAY_MS_MAX)

    def table(self) -> tuple[int, ...]:
        """1,024 one-way delays in nanoseconds, ascending."""
        return _delay_table("normal", _ns(self.mean_ms), _ns(self.std_ms))


class LogNormal(msgspec.Struct, frozen=True):
    """A log-normal distribution, with the long right tail of queues, given by its own mean and
    standard deviation (not those of the logarithm); std_ms / mean_ms counts in steps of 0.0001."""

    mean_ms: float
    std_ms: float

    def __post_init__(self) -> None:
        _number("log-normal delay: mean_ms", self.mean_ms, 0, DELAY_MS_MAX)
        _number("log-normal delay: std_ms", self.std_ms, 0, SPREAD_MAX * self.mean_ms)

    def table(self) -> tuple[int, ...]:
        """1,024 one-way delays in nanoseconds, ascending."""
        return _delay_table("log-normal", _ns(self.mean_ms), _ns(self.std_ms))


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What messages meet between regions. Raises BadInput, naming the field, if it makes no sense.

    `one_way_ns[i][j]` is the mean delay from `regions[i]` to `regions[j]`; the diagonal is the
    delay between two nodes of one region. `loss`, `duplicate` and `reorder` are base rates for
    datagrams, before any fault: a reordered one is held back for a few more delays.
    Each link carries `bandwidth_bytes_per_s`. Empty `replica_regions` or `client_regions` mean all
    regions.
    """

    name: str
    regions: tuple[str, ...]
    one_way_ns: tuple[tuple[int, ...], ...]
    distribution: str = "log-normal"
    jitter: float = WAN_JITTER
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    bandwidth_bytes_per_s: int = WAN_BANDWIDTH_BYTES_PER_S
    replica_regions: tuple[str, ...] = ()
    client_regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def delays(self, source: str, target: str) -> tuple[int, ...]:
        """The table of 1,024 delays in nanoseconds from region to region; equal ones are shared."""
        mean_ns = self.one_way_ns[self._index(source)][self._index(target)]
        return _delay_table(self.distribution, mean_ns, round(mean_ns * self.jitter))

    def place_replicas(self, n: int) -> tuple[str, ...]:
        """The region of each of n replicas, round robin. Raises BadInput unless n > 0."""
        if n < 1:
            raise BadInput(f"network {self.name}: cannot place {n} replicas, expected at least 1")
        return _round_robin(self.replica_regions or self.regions, n)

    def place_clients(self, n: int) -> tuple[str, ...]:
        """The region of each of n clients, round robin. Raises BadInput if n is negative."""
        if n < 0:
            raise BadInput(f"network {self.name}: cannot place {n} clients, expected 0 or more")
        return _round_robin(self.client_regions or self.regions, n)

    def within(self, regions: tuple[str, ...], name: str) -> "Network":
        """The same network with some of its regions only, in the given order."""
        order = [self._index(region) for region in regions]
        return msgspec.structs.replace(
            self,
            name=name,
            regions=regions,
            one_way_ns=tuple(tuple(self.one_way_ns[i][j] for j in order) for i in order),
            replica_regions=tuple(r for r in self.replica_regions if r in regions),
            client_regions=tuple(r for r in self.client_regions if r in regions),
        )

    def describe(self) -> str:
        """The network as text: conditions, placement, and mean one-way delays in milliseconds."""
        spread = "" if self.distribution == "constant" else f", jitter {self.jitter:.0%}"
        rates = {"loss": self.loss, "duplicate": self.duplicate, "reorder": self.reorder}
        chances = ", ".join(f"{rate} {share:.2%}" for rate, share in rates.items() if share)
        lines = [
            f"network {self.name}: {len(self.regions)} region{'s'[: len(self.regions) > 1]}, "
            f"{self.distribution} delays{spread}, {chances or 'no loss'}, "
            f"{self.bandwidth_bytes_per_s / 125_000:g} Mbit/s per link",
            f"replicas in {', '.join(self.replica_regions or self.regions)}",
            f"clients in {', '.join(self.client_regions or self.regions)}",
            "mean one-way delay, ms (row to column)",
        ]
        width = max(map(len, self.regions))
        numbers = range(1, len(self.regions) + 1)
        lines.append(" " * (width + 3) + "".join(f"{number:>7}" for number in numbers))
        for number, region, row in zip(numbers, self.regions, self.one_way_ns, strict=True):
            cells = "".join(f"{delay_ns / 1e6:>7.4g}" for delay_ns in row)
            lines.append(f"{number:>2} {region:{width}}{cells}")
        return "\n".join(lines)

    def _index(self, region: str) -> int:
        try:
            return self.regions.index(region)
        except ValueError:
            raise BadInput(
                f"network {self.name} has no region {_shown(region)}: "
                f"expected one of {', '.join(self.regions)}"
            ) from None


def network(name_or_path: "str | Path | Network") -> Network:
    """A preset by name, or the network that a `.toml` or `.csv` file describes.

    Raises BadInput for an unknown name, and for a file that is malformed, truncated or too large:
    one line with the file, the line or field, and what was expected. A `Network` is returned as is.
    """
    if isinstance(name_or_path, Network):
        return name_or_path
    if name_or_path in PRESETS:
        return _preset(str(name_or_path))
    path = Path(name_or_path)
    kind = path.suffix.lower()
    if kind not in (".toml", ".csv"):
        raise BadInput(
            f"unknown network {_shown(str(name_or_path))}: expected {', '.join(PRESETS)}, "
            f"or the path of a .toml or .csv file"
        )
    where = _one_line(str(path), 200)
    text = _read(path, where)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem)[:NAME_LENGTH_MAX]
    return (_from_toml if kind == ".toml" else _from_csv)(text, name, where)


@lru_cache(maxsize=1024)
def _delay_table(distribution: str, mean_ns: int, std_ns: int) -> tuple[int, ...]:
    """The delays of a distribution at its 1,024 quantiles, in nanoseconds, ascending.

    In integers and correctly rounded decimals only, so that every platform gives the same table.
    """
    if std_ns == 0 or mean_ns == 0 or distribution == "constant":
        return (mean_ns,) * TABLE_SIZE
    if distribution == "normal":
        values = [mean_ns + std_ns * z // 1_000_000 for z in NORMAL_MILLIONTHS]
        positive = [value for value in values if value >= 0]
        return tuple(
            positive[(2 * i + 1) * len(positive) // (2 * TABLE_SIZE)] for i in range(TABLE_SIZE)
        )
    factors = _log_normal_factors((2 * std_ns * 10_000 + mean_ns) // (2 * mean_ns))
    total = sum(factors)
    # Dividing by the sum gives the table the mean asked for; the bare quantiles lose a bit of tail.
    return tuple(mean_ns * factor * TABLE_SIZE // total for factor in factors)


@lru_cache(maxsize=64)
def _log_normal_factors(spread: int) -> tuple[int, ...]:
    """Quantiles of a log-normal, up to a common factor; `spread` is std / mean in 1/10,000.

    sigma^2 = ln(1 + spread^2). Decimal's ln, sqrt and exp are correctly rounded by specification.
    """
    context = Context(prec=24, rounding=ROUND_HALF_EVEN)
    relative = context.divide(Decimal(spread), Decimal(10_000))
    sigma = context.sqrt(context.ln(context.add(1, context.multiply(relative, relative))))
    scale = context.divide(sigma, Decimal(1_000_000))
    return tuple(
        int(context.multiply(context.exp(context.multiply(scale, z)), 10**12))
        for z in NORMAL_MILLIONTHS
    )


@lru_cache
def _preset(name: str) -> Network:
    if name == "lan":
        # One switch and two kernel network stacks: a ping of about 0.2 ms, with little queueing.
        return _single("lan", one_way_ns=100_000, jitter=0.1)
    if name == "datacenter":
        # "Round trip within same datacenter: 500 us" (J. Dean, "Numbers everyone should know").
        # Several hops share queues: a spread of a half puts the 99th percentile near 2.7 times the
        # mean, an assumption.
        return _single("datacenter", one_way_ns=250_000, jitter=0.5)
    matrix = files("concur.simulate").joinpath("data/aws15_rtt_ms.csv").read_text("utf-8")
    aws = _from_csv(matrix, "aws-15", "aws15_rtt_ms.csv")
    return {
        "wan-3": aws.within(WAN_3, "wan-3"),
        "wan-5": aws.within(WAN_5, "wan-5"),
        "aws-15": aws,
    }[name]


def _single(name: str, one_way_ns: int, jitter: float) -> Network:
    return Network(
        name=name,
        regions=(name,),
        one_way_ns=((one_way_ns,),),
        jitter=jitter,
        bandwidth_bytes_per_s=1_250_000_000,  # 10 Gbit/s, the common port of a server today
    )


# Files. Everything that a person may get wrong ends in `_bad`.


def _read(path: Path, where: str) -> str:
    try:
        if not path.is_file():
            _bad(where, "no such file", "the path of a .toml or .csv file")
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        _bad(where, f"cannot be read ({error.strerror})", "a readable file")
    if len(data) > FILE_BYTES_MAX:
        _bad(where, f"larger than {FILE_BYTES_MAX} bytes", "a smaller file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _bad(f"{where}, line {line}", "not text", "UTF-8")


def _from_csv(text: str, name: str, where: str) -> Network:
    regions: tuple[str, ...] = ()
    rows: list[tuple[int, ...]] = []
    number = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        here = f"{where}, line {number}"
        try:
            first, *cells = (cell.strip() for cell in next(csv.reader([line], strict=True)))
        except (csv.Error, StopIteration) as error:
            _bad(here, f"malformed ({error})", "comma-separated cells")
        if not regions:
            if not cells:
                _bad(here, "no regions", "a header 'from,REGION,REGION,...'")
            regions = _region_names(here, cells)
            continue
        if len(rows) == len(regions):
            _bad(here, f"a row for {_shown(first)}", f"the end after {len(regions)} rows")
        if first != regions[len(rows)]:
            _bad(here, f"a row for {_shown(first)}", f"{regions[len(rows)]!r} as in the header")
        if len(cells) != len(regions):
            _bad(here, f"{len(cells)} round trips", f"{len(regions)}, as many as regions")
        rows.append(
            tuple(
                _half(f"{here}, column {region!r}", _parse(cell))
                for region, cell in zip(regions, cells, strict=True)
            )
        )
    if not regions:
        _bad(where, "empty", "a header 'from,REGION,REGION,...'")
    if len(rows) < len(regions):
        _bad(f"{where}, line {number}", "the end", f"a row for {regions[len(rows)]!r}")
    return _build(where, name=name, regions=regions, one_way_ns=tuple(rows))


def _from_toml(text: str, name: str, where: str) -> Network:
    if re.search(r"(?:\.[\w\"' \t-]++){32}", text):  # tomllib takes quadratic memory for these
        _bad(where, "a field nested 32 deep", "a.b.c at most")
    try:
        fields = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        _bad(where, f"malformed ({_one_line(str(error))})", "TOML")
    for field in fields:
        if field not in _FIELDS:
            _bad(where, f"unknown field {_shown(field)}", f"one of {', '.join(_FIELDS)}")
    for field in ("regions", "rtt_ms"):
        if field not in fields:
            _bad(where, f"no {field}", "regions = [...] and rtt_ms = [[...], ...]")
    regions = _region_names(f"{where}, regions", fields["regions"])
    values: dict[str, Any] = {
        "name": fields.get("name", name),
        "regions": regions,
        "one_way_ns": _matrix(where, regions, fields),
    }
    for field in ("distribution", "jitter", "loss", "duplicate", "reorder"):
        if field in fields:
            values[field] = fields[field]
    if "bandwidth_mbit_s" in fields:
        mbit_s = fields["bandwidth_mbit_s"]
        _number(f"{where}, bandwidth_mbit_s", mbit_s, 0.001, BANDWIDTH_MBIT_S_MAX)
        values["bandwidth_bytes_per_s"] = round(mbit_s * 125_000)
    for field in ("replica_regions", "client_regions"):
        if field in fields:
            values[field] = _strings(f"{where}, {field}", fields[field])
            if not values[field]:
                _bad(f"{where}, {field}", "empty", "at least one region")
    return _build(where, **values)


def _matrix(
    where: str, regions: tuple[str, ...], fields: dict[str, Any]
) -> tuple[tuple[int, ...], ...]:
    rtt_ms = fields["rtt_ms"]
    if isinstance(rtt_ms, dict):
        return _matrix_of_pairs(where, regions, rtt_ms, fields.get("intra_region_rtt_ms", 0.5))
    if "intra_region_rtt_ms" in fields:
        _bad(f"{where}, intra_region_rtt_ms", "beside a matrix", "the diagonal of rtt_ms")
    n = len(regions)
    if not isinstance(rtt_ms, list) or len(rtt_ms) != n:
        shown = f"{len(rtt_ms)} rows" if isinstance(rtt_ms, list) else _shown(rtt_ms)
        _bad(f"{where}, rtt_ms", shown, f"{n} rows, one for each region")
    rows = []
    for region, row in zip(regions, rtt_ms, strict=True):
        if not isinstance(row, list) or len(row) != n:
            shown = f"{len(row)} round trips" if isinstance(row, list) else _shown(row)
            _bad(f"{where}, rtt_ms, row {region!r}", shown, f"{n} round trips")
        cells = zip(regions, row, strict=True)
        rows.append(tuple(_half(f"{where}, rtt_ms.{region}.{to}", rtt) for to, rtt in cells))
    return tuple(rows)


def _matrix_of_pairs(
    where: str, regions: tuple[str, ...], rtt_ms: dict[str, Any], intra_ms: Any
) -> tuple[tuple[int, ...], ...]:
    intra_ns = _half(f"{where}, intra_region_rtt_ms", intra_ms)
    known: dict[tuple[str, str], int] = {}
    for source, row in rtt_ms.items():
        if not isinstance(row, dict):
            _bad(f"{where}, rtt_ms.{_one_line(source)}", _shown(row), "rtt_ms.FROM.TO = number")
        for target, rtt in row.items():
            here = f"{where}, rtt_ms.{_one_line(source)}.{_one_line(target)}"
            for region in (source, target):
                if region not in regions:
                    _bad(here, f"unknown region {_shown(region)}", f"one of {', '.join(regions)}")
            known[source, target] = _half(here, rtt)
    rows = []
    for source in regions:
        cells = []
        for target in regions:
            delay = known.get((source, target), known.get((target, source)))
            if delay is None and source != target:
                _bad(f"{where}, rtt_ms", f"nothing between {source!r} and {target!r}", "a number")
            cells.append(intra_ns if delay is None else delay)
        rows.append(tuple(cells))
    return tuple(rows)


def _build(where: str, **values: Any) -> Network:
    try:
        return Network(**values)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _region_names(where: str, names: object) -> tuple[str, ...]:
    regions = _strings(where, names)
    if not 0 < len(regions) <= REGIONS_MAX:
        _bad(where, f"{len(regions)} regions", f"1 to {REGIONS_MAX}")
    for region in regions:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", region):
            _bad(where, f"region name {_shown(region)}", "1 to 64 letters, digits, '_', '-', '.'")
        if regions.count(region) > 1:
            _bad(where, f"region {region!r} twice", "each region once")
    return regions


def _strings(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _bad(where, _shown(value), "a list of region names")
    return tuple(value)


def _parse(cell: str) -> float | str:
    """The number that a cell holds, or the cell, so that the error can show it."""
    try:
        return float(cell)
    except ValueError:
        return cell


def _half(where: str, rtt_ms: object) -> int:
    """The one-way delay of a measured round trip: half of it, in nanoseconds."""
    return _ns(_number(where, rtt_ms, 1e-6, DELAY_MS_MAX) / 2)


def _check(network: Network) -> None:
    if not (
        isinstance(network.name, str)
        and 0 < len(network.name) <= NAME_LENGTH_MAX
        and network.name.isprintable()
    ):
        _bad("name", _shown(network.name), f"1 to {NAME_LENGTH_MAX} printable characters")
    where = f"network {network.name}"
    n = len(network.regions)
    _region_names(f"{where}, regions", list(network.regions))
    if len(network.one_way_ns) != n or any(len(row) != n for row in network.one_way_ns):
        _bad(f"{where}, one_way_ns", "another shape", f"{n} rows of {n} delays")
    for row in network.one_way_ns:
        for delay_ns in row:
            if type(delay_ns) is not int or not 0 <= delay_ns <= _ns(DELAY_MS_MAX):
                _bad(f"{where}, one_way_ns", _shown(delay_ns), "an int from 0 ns to an hour")
    if network.distribution not in DISTRIBUTIONS:
        shown = _shown(network.distribution)
        _bad(f"{where}, distribution", shown, f"one of {', '.join(DISTRIBUTIONS)}")
    _number(f"{where}, jitter", network.jitter, 0, SPREAD_MAX)
    for field in ("loss", "duplicate", "reorder"):
        _number(f"{where}, {field}", getattr(network, field), 0, 1)
    bandwidth = network.bandwidth_bytes_per_s
    if type(bandwidth) is not int or bandwidth < 1:
        _bad(f"{where}, bandwidth_bytes_per_s", _shown(bandwidth), "an int above 0")
    for field in ("replica_regions", "client_regions"):
        for region in getattr(network, field):
            if region not in network.regions:
                _bad(f"{where}, {field}", _shown(region), f"one of {', '.join(network.regions)}")


def _number(where: str, value: object, least: float, most: float) -> float:
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not least <= value <= most  # false for NaN
    ):
        _bad(where, _shown(value), f"a number from {least:.10g} to {most:.10g}")
    return value


def _ns(ms: float) -> int:
    return round(ms * 1_000_000)


def _round_robin(regions: tuple[str, ...], n: int) -> tuple[str, ...]:
    return tuple(regions[i % len(regions)] for i in range(n))


def _bad(where: str, what: str, expected: str) -> NoReturn:
    raise BadInput(f"{where}: {what}, expected {expected}")


def _shown(value: object) -> str:
    """The value as a person typed it, on one line and not longer than they can take in."""
    try:
        return _one_line(repr(value))
    except (ValueError, RecursionError):  # an int of 5,000 digits, a table nested 5,000 deep
        return "something giant"


def _one_line(text: str, length_max: int = 80) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length_max else line[: length_max - 3] + "..."
