"""Networks are tables of integers, presets are what they say, and bad files get one clear line."""

import hashlib
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist, mean, stdev

import msgspec
import pytest

from concur.errors import BadInput
from concur.simulate.networks import (
    FILE_BYTES_MAX,
    PRESETS,
    Constant,
    LogNormal,
    Network,
    Normal,
    network,
)
from concur.simulate.quantiles import NORMAL_MILLIONTHS

ROOT = Path(__file__).parents[2]

GOLDEN = "5de7866b"
"""A change here changes every recorded run."""


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def digest_of_all_tables() -> str:
    digest = hashlib.sha256()
    for name in PRESETS:
        preset = network(name)
        for source in preset.regions:
            for target in preset.regions:
                digest.update(struct.pack("<1024Q", *preset.delays(source, target)))
    for delays in (Normal(10, 3), Normal(1, 2), LogNormal(0.25, 0.3), Constant(2)):
        digest.update(struct.pack("<1024Q", *delays.table()))
    return digest.hexdigest()[:8]


# Tables


def test_tables_are_the_same_bits_in_every_process() -> None:
    program = "from tests.simulate.test_networks import *; print(digest_of_all_tables())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert outputs == {GOLDEN}
    assert digest_of_all_tables() == GOLDEN


def test_quantile_literals_are_those_of_the_normal_distribution() -> None:
    for i, z in enumerate(NORMAL_MILLIONTHS):
        assert abs(z - NormalDist().inv_cdf((i + 0.5) / 1024) * 1e6) < 0.51


def test_a_constant_delay_is_constant() -> None:
    assert set(Constant(1.5).table()) == {1_500_000}


def test_a_normal_delay_has_its_mean_and_spread() -> None:
    table = Normal(10, 1).table()
    assert len(table) == 1024
    assert list(table) == sorted(table)
    assert mean(table) == pytest.approx(10e6, rel=1e-6)
    assert stdev(table) == pytest.approx(1e6, rel=0.01)


def test_a_normal_delay_is_cut_off_at_zero_and_not_piled_up_there() -> None:
    table = Normal(1, 1).table()
    assert min(table) >= 0
    assert sum(1 for delay in table if delay < 1_000) <= 2
    cut_off = NormalDist().cdf(-1)
    median_ms = 1 + NormalDist().inv_cdf(cut_off + (1 - cut_off) / 2)
    assert table[512] == pytest.approx(median_ms * 1e6, rel=0.01)


def test_a_log_normal_delay_has_its_mean_its_spread_and_a_long_tail() -> None:
    table = LogNormal(10, 5).table()
    assert list(table) == sorted(table)
    assert mean(table) == pytest.approx(10e6, rel=1e-6)
    assert stdev(table) == pytest.approx(5e6, rel=0.02)
    assert table[1023] - table[512] > 4 * (table[512] - table[0])


@pytest.mark.parametrize("std_ms", [0, 1])
def test_a_delay_of_zero_stays_zero(std_ms: float) -> None:
    assert set(Normal(0, 0).table()) == set(LogNormal(0, 0).table()) == {0}
    assert Normal(0, std_ms).table()[0] == 0


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), 1e12, True, "3"])
def test_impossible_delays_are_refused(bad: float) -> None:
    with pytest.raises(BadInput, match=r"mean_ms: .* expected a number from 0 to 3600000"):
        Constant(bad)
    with pytest.raises(BadInput, match="std_ms"):
        Normal(1, bad)
    with pytest.raises(BadInput, match="std_ms"):
        LogNormal(1, bad)


# Presets


@pytest.mark.parametrize(
    ("name", "regions"),
    [
        ("lan", 1),
        ("datacenter", 1),
        ("wan-3", ("virginia", "ireland", "tokyo")),
        ("wan-5", ("virginia", "ireland", "tokyo", "oregon", "sao_paulo")),
        ("aws-15", 15),
    ],
)
def test_presets_have_their_regions(name: str, regions: int | tuple[str, ...]) -> None:
    preset = network(name)
    assert preset.name == name
    assert regions in (preset.regions, len(preset.regions))
    assert (preset.loss, preset.duplicate, preset.reorder) == (0, 0, 0)
    assert preset is network(name)
    assert network(preset) is preset


def test_every_preset_is_covered() -> None:
    assert PRESETS == ("lan", "datacenter", "wan-3", "wan-5", "aws-15")


@pytest.mark.parametrize("name", PRESETS)
def test_delays_of_presets_average_half_of_the_round_trip(name: str) -> None:
    preset = network(name)
    for i, source in enumerate(preset.regions):
        for j, target in enumerate(preset.regions):
            table = preset.delays(source, target)
            assert len(table) == 1024
            assert table[0] > 0
            assert mean(table) == pytest.approx(preset.one_way_ns[i][j], abs=1)


def test_wan_presets_are_out_of_the_measured_matrix_in_both_directions() -> None:
    for name in ("wan-3", "wan-5", "aws-15"):
        preset = network(name)
        v, i, t = (preset.regions.index(region) for region in ("virginia", "ireland", "tokyo"))
        assert preset.one_way_ns[v][i] == 69_000_000 // 2
        assert preset.one_way_ns[i][v] == 63_000_000 // 2
        assert preset.one_way_ns[t][v] == 168_000_000 // 2
        assert preset.one_way_ns[v][v] == 2_000_000 // 2


def test_the_datacenter_has_the_tail_that_its_comment_says() -> None:
    table = network("datacenter").delays("datacenter", "datacenter")
    assert table[1013] / 250_000 == pytest.approx(2.7, abs=0.05)


def test_replicas_and_clients_go_round_robin_over_regions() -> None:
    wan = network("wan-3")
    assert wan.place_replicas(5) == ("virginia", "ireland", "tokyo", "virginia", "ireland")
    assert wan.place_clients(2) == ("virginia", "ireland")
    assert wan.place_clients(0) == ()
    for n in (0, -1):
        with pytest.raises(BadInput, match="expected at least 1"):
            wan.place_replicas(n)
    with pytest.raises(BadInput, match="expected 0 or more"):
        wan.place_clients(-1)


def test_an_unknown_region_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="no region 'mars': expected one of virginia, ireland"):
        network("wan-3").delays("virginia", "mars")


@pytest.mark.parametrize("name", PRESETS)
def test_describe_names_every_region_and_fits_a_wide_terminal(name: str) -> None:
    text = network(name).describe()
    assert text.isascii()
    for region in network(name).regions:
        assert region in text
    assert "no loss" in text
    table = text.split("(row to column)\n")[1]
    assert max(len(line) for line in table.splitlines()) <= 120


def test_describe_is_a_table_of_one_way_delays() -> None:
    assert network("wan-3").describe() == (
        "network wan-3: 3 regions, log-normal delays, jitter 5%, no loss, 1000 Mbit/s per link\n"
        "replicas in virginia, ireland, tokyo\n"
        "clients in virginia, ireland, tokyo\n"
        "mean one-way delay, ms (row to column)\n"
        "                 1      2      3\n"
        " 1 virginia      1   34.5     80\n"
        " 2 ireland    31.5      1     91\n"
        " 3 tokyo        84   98.5      1"
    )


def test_networks_survive_pickle_and_the_trace_header() -> None:
    wan = network("wan-5")
    assert pickle.loads(pickle.dumps(wan)) == wan
    assert msgspec.json.decode(msgspec.json.encode(wan), type=Network) == wan
    assert hash(wan) == hash(pickle.loads(pickle.dumps(wan)))


# One's own files

OFFICE = """
name = "office"
regions = ["cellar", "attic"]
rtt_ms = [[0.2, 3.0], [4.0, 0.2]]
distribution = "normal"
jitter = 0.1
loss = 0.01
duplicate = 0.02
reorder = 0.03
bandwidth_mbit_s = 100
replica_regions = ["cellar"]
client_regions = ["attic", "cellar"]
"""


def test_a_toml_file_sets_every_field(tmp_path: Path) -> None:
    office = network(write(tmp_path, "x.toml", OFFICE))
    assert office == Network(
        name="office",
        regions=("cellar", "attic"),
        one_way_ns=((100_000, 1_500_000), (2_000_000, 100_000)),
        distribution="normal",
        jitter=0.1,
        loss=0.01,
        duplicate=0.02,
        reorder=0.03,
        bandwidth_bytes_per_s=12_500_000,
        replica_regions=("cellar",),
        client_regions=("attic", "cellar"),
    )
    assert office.place_replicas(3) == ("cellar",) * 3
    assert office.place_clients(3) == ("attic", "cellar", "attic")
    assert "loss 1.00%, duplicate 2.00%, reorder 3.00%" in office.describe()
    assert office.delays("cellar", "attic") == Normal(1.5, 0.15).table()


def test_pairs_are_symmetric_unless_both_directions_are_given(tmp_path: Path) -> None:
    text = """
    regions = ["a", "b", "c"]
    intra_region_rtt_ms = 1
    [rtt_ms]
    a.b = 10
    b.a = 20
    b.c = 30
    c.a = 40
    c.c = 2
    """
    pairs = network(str(write(tmp_path, "three rooms!.toml", text)))
    assert pairs.name == "three-rooms-"
    ms = 1_000_000
    assert pairs.one_way_ns == (
        (ms // 2, 5 * ms, 20 * ms),
        (10 * ms, ms // 2, 15 * ms),
        (20 * ms, 15 * ms, ms),
    )


CSV = "# measured on Monday\nfrom,a,b\n\na,1,20\nb,22.5,1\n"


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        CSV.replace("\n", "\r\n"),
        "\ufeff" + CSV,
        CSV.replace(",", " , "),
        CSV.replace("a", '"a"'),
        CSV.rstrip(),
    ],
    ids=["plain", "crlf", "bom", "spaces", "quotes", "no newline at the end"],
)
def test_a_csv_matrix_is_read(tmp_path: Path, text: str) -> None:
    mine = network(write(tmp_path, "mine.CSV", text))
    assert mine.regions == ("a", "b")
    assert mine.one_way_ns == ((500_000, 10_000_000), (11_250_000, 500_000))
    assert mine.name == "mine"
    assert mine.jitter == network("wan-5").jitter


def test_the_shipped_matrix_is_read_as_a_file_too() -> None:
    path = ROOT / "src/concur/simulate/data/aws15_rtt_ms.csv"
    assert "Bengfort" in path.read_text()
    assert network(path).one_way_ns == network("aws-15").one_way_ns


# What a person may get wrong: file name, content, what the message must say

N, T = 'regions = ["a", "b"]\n', "rtt_ms = [[1, 2], [2, 1]]\n"

BAD_TOML = {
    "truncated": (N + "rtt_ms = [[1, 2], [2", "malformed (Unclosed array (at end of document))"),
    "not toml": ("hello", "malformed"),
    "empty": ("", "no regions, expected regions = [...] and rtt_ms"),
    "no rtt": (N, "no rtt_ms"),
    "twice": (N + T + T, "malformed (Cannot overwrite a value (at line 3"),
    "unknown field": (
        N + T + "jiter = 0.1",
        "unknown field 'jiter', expected one of name, regions",
    ),
    "no region": ("regions = []\nrtt_ms = []", "regions: 0 regions, expected 1 to 64"),
    "many regions": (f"regions = {[f'r{i}' for i in range(65)]}\nrtt_ms = []", "65 regions"),
    "one region as text": ('regions = "a"\nrtt_ms = [[1]]', "regions: 'a', expected a list"),
    "region number": ("regions = [1]\nrtt_ms = [[1]]", "regions: [1], expected a list"),
    "region twice": ('regions = ["a", "a"]\n' + T, "region 'a' twice"),
    "region name": ('regions = ["a b", "c"]\n' + T, "region name 'a b', expected 1 to 64 letters"),
    "not square": (N + "rtt_ms = [[1, 2]]", "rtt_ms: 1 rows, expected 2 rows"),
    "ragged": (N + "rtt_ms = [[1, 2], [2]]", "rtt_ms, row 'b': 1 round trips, expected 2"),
    "row no list": (N + "rtt_ms = [1, 2]", "rtt_ms, row 'a': 1, expected 2 round trips"),
    "rtt scalar": (N + "rtt_ms = 5", "rtt_ms: 5, expected 2 rows"),
    "negative": (N + "rtt_ms = [[1, -2], [2, 1]]", "rtt_ms.a.b: -2, expected a number from 1e-06"),
    "zero": (N + "rtt_ms = [[0, 2], [2, 1]]", "rtt_ms.a.a: 0, expected"),
    "nan": (N + "rtt_ms = [[1, 2], [nan, 1]]", "rtt_ms.b.a: nan, expected"),
    "infinite": (N + "rtt_ms = [[1, inf], [2, 1]]", "rtt_ms.a.b: inf, expected"),
    "huge": (N + "rtt_ms = [[1, 1e300], [2, 1]]", "rtt_ms.a.b: 1e+300, expected"),
    "huge int": (N + f"rtt_ms = [[1, 0x{'f' * 9000}], [2, 1]]", "something giant, expected"),
    "negative int": (N + "rtt_ms = [[1, -" + "9" * 400 + "], [2, 1]]", "..., expected a number"),
    "text": (N + "rtt_ms = [[1, '2'], [2, 1]]", "rtt_ms.a.b: '2', expected"),
    "bool": (N + "rtt_ms = [[1, true], [2, 1]]", "rtt_ms.a.b: True, expected"),
    "pair missing": (N + "rtt_ms.a.a = 1", "nothing between 'a' and 'b'"),
    "pair unknown": (N + "rtt_ms.a.mars = 1", "rtt_ms.a.mars: unknown region 'mars', expected one"),
    "pair scalar": (N + "rtt_ms.a = 1", "rtt_ms.a: 1, expected rtt_ms.FROM.TO"),
    "pair too deep": (N + "rtt_ms.a.b.c = 1", "rtt_ms.a.b: {'c': 1}, expected a number"),
    "intra beside matrix": (N + T + "intra_region_rtt_ms = 1", "expected the diagonal of rtt_ms"),
    "intra": (N + "intra_region_rtt_ms = -1\nrtt_ms.a.b = 1", "intra_region_rtt_ms: -1"),
    "jitter": (N + T + "jitter = -0.1", "jitter: -0.1, expected a number from 0 to 10"),
    "jitter nan": (N + T + "jitter = nan", "jitter: nan"),
    "loss": (N + T + "loss = 1.5", "loss: 1.5, expected a number from 0 to 1"),
    "duplicate": (N + T + "duplicate = '1%'", "duplicate: '1%'"),
    "reorder": (N + T + "reorder = []", "reorder: []"),
    "distribution": (N + T + "distribution = 'pareto'", "expected one of constant, normal, log"),
    "distribution list": (N + T + "distribution = [1]", "distribution: [1]"),
    "bandwidth": (N + T + "bandwidth_mbit_s = 0", "bandwidth_mbit_s: 0, expected a number from"),
    "replica place": (N + T + "replica_regions = ['c']", "replica_regions: 'c', expected one of a"),
    "client place": (N + T + "client_regions = 'a'", "client_regions: 'a', expected a list"),
    "no place": (N + T + "client_regions = []", "client_regions: empty"),
    "name": (N + T + "name = 5", "name: 5, expected 1 to 64 printable"),
    "name lines": (N + T + 'name = "a\\nb"', "name: 'a\\nb', expected"),
    "deep array": ("x = " + "[" * 100_000, "malformed (maximum recursion depth"),
    "deep field": ("a" + ".a" * 100_000 + " = 1", "a field nested 32 deep"),
    "not utf-8": (b"\nname = '\xff'", "line 2: not text, expected UTF-8"),
    "too large": ("#" * (FILE_BYTES_MAX + 1), "larger than 262144 bytes"),
}

BAD_CSV = {
    "empty": ("", "empty, expected a header"),
    "only comments": ("# nothing\n", "empty, expected a header"),
    "no regions": ("from\n", "line 1: no regions"),
    "semicolons": ("from;a;b\na;1;2\n", "line 1: no regions, expected a header 'from,REGION"),
    "truncated": ("from,a,b\na,1,2\n", "line 2: the end, expected a row for 'b'"),
    "truncated row": ("from,a,b\na,1,2\nb,2", "line 3: 1 round trips, expected 2"),
    "long row": ("from,a,b\na,1,2,3\nb,2,1\n", "line 2: 3 round trips, expected 2"),
    "not square": ("from,a\na,1\nb,2\n", "line 3: a row for 'b', expected the end after 1 rows"),
    "other row": ("from,a,b\na,1,2\nc,2,1\n", "line 3: a row for 'c', expected 'b' as in"),
    "rows swapped": ("from,a,b\nb,1,2\na,2,1\n", "line 2: a row for 'b', expected 'a'"),
    "column twice": ("from,a,a\na,1,2\na,2,1\n", "line 1: region 'a' twice"),
    "column unnamed": ("from,a,\na,1,2\n", "line 1: region name ''"),
    "negative": ("from,a\na,-1\n", "line 2, column 'a': -1.0, expected a number from 1e-06"),
    "zero": ("from,a\na,0\n", "line 2, column 'a': 0.0, expected"),
    "nan": ("from,a\na,NaN\n", "line 2, column 'a': nan, expected"),
    "infinite": ("from,a\na,inf\n", "line 2, column 'a': inf, expected"),
    "huge": ("from,a\na,1e99\n", "line 2, column 'a': 1e+99, expected"),
    "long number": ("from,a\na," + "9" * 9000 + "\n", "line 2, column 'a': inf, expected"),
    "text": ("from,a\na,fast\n", "line 2, column 'a': 'fast', expected a number"),
    "blank cell": ("from,a,b\na,1,\nb,1,1", "line 2, column 'b': '', expected a number"),
    "open quote": ('from,a\n"a,1\n', "line 2: malformed"),
    "nul": (b"from,a\na,\x001\n", "line 2"),
    "binary": (b"\x7fELF\xff\xfe", "line 1: not text"),
    "many regions": (
        "from," + ",".join(f"r{i}" for i in range(65)),
        "65 regions, expected 1 to 64",
    ),
    "too large": ("#" * (FILE_BYTES_MAX + 1), "larger than 262144 bytes"),
}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        *(pytest.param("n.toml", *case, id=f"toml-{name}") for name, case in BAD_TOML.items()),
        *(pytest.param("n.csv", *case, id=f"csv-{name}") for name, case in BAD_CSV.items()),
    ],
)
def test_a_bad_file_gets_one_clear_line(
    tmp_path: Path, file: str, text: str | bytes, message: str
) -> None:
    path = write(tmp_path, file, text)
    with pytest.raises(BadInput) as caught:
        network(path)
    line = str(caught.value)
    assert message in line
    assert line.startswith(str(path))
    assert ", expected " in line
    assert "\n" not in line
    assert len(line) < 300 + len(str(path))


@pytest.mark.parametrize("name", ["wan-7", "", "LAN", "/dev/zero", "mine.yaml", "x\ny"])
def test_an_unknown_name_is_answered_with_the_presets(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        network(name)
    assert "expected lan, datacenter, wan-3, wan-5, aws-15, or the path of a" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.csv", "nul\0.csv", "a/b/c.toml", "new\nline.csv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no such file, expected") as caught:
        network(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_network(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInput, match="no such file"):
        network(tmp_path / "folder.csv")


def test_a_path_longer_than_the_system_takes_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot be read") as caught:
        network("a" * 5000 + ".csv")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name: ''"),
        ({"regions": ()}, "regions: 0 regions"),
        ({"regions": ("a", "b")}, "one_way_ns: another shape"),
        ({"one_way_ns": ((1.5,),)}, "one_way_ns: 1.5, expected an int"),
        ({"one_way_ns": ((-1,),)}, "one_way_ns: -1"),
        ({"bandwidth_bytes_per_s": 0}, "bandwidth_bytes_per_s: 0"),
        ({"loss": -0.1}, "loss: -0.1"),
    ],
)
def test_a_network_made_in_python_is_checked_too(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        msgspec.structs.replace(network("lan"), **change)
    assert message in str(caught.value)
