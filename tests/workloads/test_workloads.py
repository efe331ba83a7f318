"""Workloads do what their name says, the same for the same seed, whatever other clients do."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines import all_machines, check_machine, kv, lock, queue
from concur.workloads import Workload, default_workload, presets, workload
from tests.machines import bad_machines as bad

NAMES = pytest.mark.parametrize("name", presets())


def commands(
    load: Workload, count: int, index: int = 0, clients: int = 4, seed: int = 1
) -> list[Any]:
    """What one client asks for, alone, each answered before the next."""
    return [command for _, command in play(load, count, [index], clients, seed)]


def play(
    load: Workload, count: int, indexes: list[int], clients: int = 4, seed: int = 1
) -> list[tuple[int, Any]]:
    """`count` rounds in which each client does one command, on one machine."""
    machine = load.machine()
    state = machine.initial()
    scripts = [load.client(index, clients, seed) for index in indexes]
    last: list[bytes | None] = [None] * len(scripts)
    done = []
    for _ in range(count):
        for at, script in enumerate(scripts):
            step = script.next_command(0, last[at])
            assert step is not None
            state, last[at] = machine.run(state, machine.encode(step[1]))
            done.append((at, step[1]))
    return done


def share(found: list[Any], kind: type) -> float:
    return sum(type(command) is kind for command in found) / len(found)


# --- determinism ---------------------------------------------------------------------------------


@NAMES
def test_a_client_does_the_same_for_the_same_seed_and_something_else_for_another(name: str) -> None:
    load = workload(name)
    first = commands(load, 400)  # some begin with 250 records, which are the same for all seeds
    assert commands(load, 400) == first
    assert commands(load, 400, seed=2) != first
    assert commands(load, 400, index=1) != first


@NAMES
def test_a_client_does_not_depend_on_how_often_others_are_asked(name: str) -> None:
    load = workload(name)
    alone = load.client(0, 3, 1)
    crowd = [load.client(index, 3, 1) for index in range(3)]
    for turn in range(100):
        for other in crowd[1:]:
            for _ in range(turn % 3):
                other.next_command(turn, None)
        assert crowd[0].next_command(turn, None) == alone.next_command(turn, None)


def test_commands_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from concur.workloads import *; from concur.workloads import presets\n"
        "for name in presets():\n"
        "    script = workload(name).client(1, 3, 9)\n"
        "    print([script.next_command(0, None) for _ in range(50)])\n"
        "script = workload('zipf', rate=50.0).client(1, 3, 9)\n"
        "print([script.next_command(0, None) for _ in range(50)])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@NAMES
def test_commands_are_ones_that_the_machine_takes(name: str) -> None:
    machine = workload(name).machine()
    for _, command in play(workload(name), 300, [0, 1, 2]):
        assert machine.decode(machine.encode(command)) == command


@NAMES
def test_a_workload_pickles_and_describes_itself_in_a_line(name: str) -> None:
    load = workload(name)
    assert pickle.loads(pickle.dumps(load)) == load
    assert load.describe().startswith(f"{name}: ")
    assert "\n" not in load.describe()


# --- the mixes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("ycsb-a", kv.Get, 0.5),
        ("ycsb-a", kv.Put, 0.5),
        ("ycsb-b", kv.Get, 0.95),
        ("ycsb-b", kv.Put, 0.05),
        ("ycsb-c", kv.Get, 1.0),
        ("ycsb-d", kv.Get, 0.95),
        ("ycsb-d", kv.Put, 0.05),
        ("ycsb-e", kv.Scan, 0.95),
        ("ycsb-e", kv.Put, 0.05),
        ("hot-key", kv.Get, 0.5),
        ("mixed", kv.Get, 0.35),
        ("mixed", kv.Put, 0.25),
        ("mixed", kv.Append, 0.15),
        ("mixed", kv.Cas, 0.15),
        ("mixed", kv.Delete, 0.10),
    ],
)
def test_a_mix_has_its_shares(name: str, kind: type, expected: float) -> None:
    assert share(commands(workload(name), 4000), kind) == pytest.approx(expected, abs=0.025)


TWITTER = [name for name in presets() if name.startswith("twitter-")]


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("twitter-read-heavy", {kv.Get: 1.0}),
        ("twitter-mixed", {kv.Get: 0.65, kv.Put: 0.13, kv.Delete: 0.22}),
        ("twitter-write-heavy", {kv.Get: 0.2, kv.Put: 0.8}),
        # 30 per cent of what is decided are increments, of two commands each, that is 130 commands.
        (
            "twitter-counters",
            {kv.Get: 0.67 / 1.3, kv.Put: 0.31 / 1.3, kv.Delete: 0.02 / 1.3, kv.Cas: 0.3 / 1.3},
        ),
        ("twitter-hot", {kv.Get: 0.99 / 1.01, kv.Put: 0.01 / 1.01, kv.Cas: 0.01 / 1.01}),
    ],
)
def test_twitters_mixes_have_the_published_shares_once_all_records_are_written(
    name: str, shares: dict[type, float]
) -> None:
    found = commands(workload(name), 6250)
    assert share(found[:250], kv.Put) == 1  # a quarter of 1000 records
    assert sum(shares.values()) == pytest.approx(1)
    for kind in (kv.Get, kv.Put, kv.Delete, kv.Cas):
        assert share(found[250:], kind) == pytest.approx(shares.get(kind, 0), abs=0.02)


@pytest.mark.parametrize(
    ("name", "key_bytes", "value_bytes"),
    [
        ("twitter-read-heavy", 21, 68),
        ("twitter-mixed", 96, 414),
        ("twitter-write-heavy", 44, 1030),
        ("twitter-counters", 35, 224),
        ("twitter-hot", 18, 37),
    ],
)
def test_twitters_keys_and_values_have_the_published_sizes(
    name: str, key_bytes: int, value_bytes: int
) -> None:
    found = [command for _, command in play(workload(name), 400, [0, 1, 2, 3])]
    values = [getattr(c, "value", None) or getattr(c, "new", None) for c in found]
    written = [value for value in values if value is not None]
    assert {len(command.key.encode()) for command in found} == {key_bytes}
    assert {len(value.encode()) for value in written} == {value_bytes}
    assert len(set(written)) == len(written)


@pytest.mark.parametrize("name", TWITTER)
def test_reads_of_twitters_mixes_find_something_from_the_start(name: str) -> None:
    load = workload(name)
    written = {command.key for i in range(4) for command in commands(load, 250, index=i)}
    assert len(written) == load.keys == 1000  # type: ignore[attr-defined]
    assert {c.key for c in commands(load, 2000)} <= written


@pytest.mark.parametrize("name", TWITTER)
def test_the_most_popular_key_has_the_share_that_its_exponent_gives(name: str) -> None:
    load = workload(name, written_first=False)
    exponent = load.zipf  # type: ignore[attr-defined]
    found = Counter(command.key for command in commands(load, 5000))
    expected = 1 / sum(rank**-exponent for rank in range(1, 1001))
    assert found.most_common(1)[0][1] / 5000 == pytest.approx(expected, abs=0.02)


def test_consumers_keep_queues_short() -> None:
    load = workload("queue")
    store = load.machine()
    state = store.initial()
    lengths, empty = [], 0
    for _, command in play(load, 1000, [0, 1, 2, 3]):
        state, result = store.apply(state, command)
        lengths.append(max((len(items.values) for items in state.values()), default=0))
        empty += type(command) is queue.Dequeue and result is None
    assert max(lengths) < 60
    assert empty > 100


def test_half_of_ycsb_f_reads_a_key_and_then_replaces_what_it_read() -> None:
    found = commands(workload("ycsb-f", keys=20), 3000)
    pairs = [(a, b) for a, b in pairwise(found) if type(b) is kv.Cas]
    assert len(pairs) == pytest.approx(1000, abs=80)
    assert all(type(a) is kv.Get and a.key == b.key for a, b in pairs)


def test_a_read_modify_write_alone_always_succeeds_and_is_dropped_after_a_failed_read() -> None:
    load = workload("ycsb-f", keys=5)
    store = load.machine()
    state = store.initial()
    script = load.client(0, 1, 1)
    result: bytes | None = None
    swapped = 0
    for _ in range(500):
        _, command = script.next_command(0, result) or (0, None)
        state, result = store.run(state, store.encode(command))
        if type(command) is kv.Cas:
            swapped += 1
            assert store.decode_result(result) is True
    assert swapped > 100
    silent = load.client(0, 1, 1)
    assert not any(
        type((silent.next_command(0, None) or (0, None))[1]) is kv.Cas for _ in range(500)
    )


def test_zipf_prefers_few_keys_and_uniform_none() -> None:
    def top(name: str, **given: Any) -> list[tuple[str, int]]:
        found = commands(workload(name, **given), 5000)
        return Counter(command.key for command in found).most_common(3)

    # The most popular of 1000 keys has 1 / (sum of i ** -0.99), 12.9 per cent.
    assert top("zipf")[0][1] / 5000 == pytest.approx(0.129, abs=0.02)
    assert top("uniform")[0][1] / 5000 < 0.005
    assert top("zipf", scrambled=False)[0][0] == "k00000000"
    assert top("zipf")[0][0] != "k00000000"


def test_ycsb_d_reads_what_was_inserted_last() -> None:
    found = [command for _, command in play(workload("ycsb-d", keys=100), 1000, [0, 1, 2, 3])]
    inserted = [command.key for command in found if type(command) is kv.Put]
    assert len(set(inserted)) == len(inserted)
    late = Counter(command.key for command in found[-1000:] if type(command) is kv.Get)
    assert sum(count for key, count in late.items() if key >= "k00000200") > 400


def test_ycsb_e_scans_different_lengths_within_its_bound() -> None:
    scans = [c for c in commands(workload("ycsb-e", scan_limit_max=10), 500) if type(c) is kv.Scan]
    assert {scan.limit for scan in scans} == set(range(1, 11))


@pytest.mark.parametrize("conflict", [0.0, 0.3, 1.0])
def test_a_hot_key_has_its_share_and_other_keys_are_private(conflict: float) -> None:
    done = play(workload("hot-key", conflict=conflict), 1000, [0, 1, 2])
    keys = [(client, command.key) for client, command in done]
    hot = sum(key == "hot" for _, key in keys) / len(keys)
    assert hot == pytest.approx(conflict, abs=0.03)
    assert all(key in ("hot", f"private-{client}") for client, key in keys)


@pytest.mark.parametrize(
    "name", ["ycsb-a", "ycsb-d", "ycsb-f", "hot-key", "mixed", "register", "queue"]
)
def test_no_value_is_written_twice_by_any_client(name: str) -> None:
    done = play(workload(name, value_bytes=12), 500, [0, 1, 2, 3])
    written = [
        getattr(command, "value", None) or getattr(command, "new", None) for _, command in done
    ]
    values = [value for value in written if value is not None]
    assert len(set(values)) == len(values) > 0
    assert {len(value) for value in values} == {12}


def test_some_compare_and_sets_of_the_mixed_workload_succeed_and_some_fail() -> None:
    for name in ("mixed", "register"):
        load = workload(name)
        machine = load.machine()
        state = machine.initial()
        scripts = [load.client(index, 4, 3) for index in range(4)]
        last: list[bytes | None] = [None] * 4
        outcomes: Counter[Any] = Counter()
        for _ in range(500):
            for at, script in enumerate(scripts):
                _, command = script.next_command(0, last[at]) or (0, None)
                state, last[at] = machine.run(state, machine.encode(command))
                if type(command).__name__ == "Cas":
                    outcomes[machine.decode_result(last[at] or b"")] += 1
        assert min(outcomes[True], outcomes[False]) > 30, (name, outcomes)


def test_the_lock_workload_gets_on_even_if_answers_are_lost() -> None:
    load = workload("lock")
    machine = load.machine()
    state = machine.initial()
    scripts = [load.client(index, 3, 1) for index in range(3)]
    last: list[bytes | None] = [None] * 3
    for turn in range(600):
        for at, script in enumerate(scripts):
            _, command = script.next_command(0, last[at]) or (0, None)
            state, last[at] = machine.run(state, machine.encode(command))
            if turn % 7 == at:
                last[at] = None
    assert state.token > 50
    assert isinstance(command, lock.Acquire | lock.Release | lock.Holder)


def test_preload_creates_every_record_with_a_value_of_its_own() -> None:
    load = workload("ycsb-c", keys=50)
    puts = list(load.preload())
    assert len({put.key for put in puts}) == len({put.value for put in puts}) == 50
    assert {command.key for command in commands(load, 2000)} <= {put.key for put in puts}


# --- loops ---------------------------------------------------------------------------------------


def test_a_closed_loop_thinks_as_long_as_it_is_told() -> None:
    script = workload("ycsb-a", think_s=0.25).client(0, 1, 1)
    assert [(script.next_command(7, None) or (0,))[0] for _ in range(3)] == [250_000_000] * 3


def test_an_open_loop_is_a_poisson_process_of_its_rate() -> None:
    script = workload("ycsb-a", rate=100.0).client(0, 1, 1)
    gaps = [(script.next_command(0, None) or (0,))[0] for _ in range(40_000)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(10_000_000, rel=0.02)
    # An exponential distribution has its standard deviation at its mean, its median at ln 2 of it.
    assert (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 == pytest.approx(
        mean, rel=0.03
    )
    assert sorted(gaps)[20_000] == pytest.approx(6_931_472, rel=0.03)


def test_the_rate_does_not_change_what_is_asked_for() -> None:
    closed, open_ = workload("hot-key"), workload("hot-key", rate=5.0)
    assert commands(closed, 100) == commands(open_, 100)


# --- where workloads come from -------------------------------------------------------------------


@pytest.mark.parametrize("machine", all_machines(), ids=lambda machine: machine.name)
def test_every_machine_has_a_default_workload(machine: Any) -> None:
    for load in (default_workload(machine), default_workload(machine.name)):
        assert load.machine() == machine
        check_machine(machine, commands(load, 100))


@pytest.mark.parametrize("machine", [bad.Good(), bad.bank, "tests.machines.bad_machines:bank"])
def test_any_other_machine_has_one_too(machine: Any) -> None:
    load = default_workload(machine)
    kinds = {load.machine().event(command)[0] for command in commands(load, 100)}
    assert len(kinds) == 2


def test_parameters_come_from_a_name_a_file_or_keywords(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('preset = "ycsb-b"\nkeys = 7\n')
    expected = workload("ycsb-b", keys=7, think_s=0.5)
    assert workload("ycsb-b:keys=7,think_s=0.5") == expected
    assert workload("ycsb-b:keys=7", think_s=0.5) == expected
    assert workload(str(path), think_s=0.5) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "ycsb-z",
            "workload 'ycsb-z': unknown, expected one of ycsb-a, ycsb-b, .*, or a .toml, .csv, ",
        ),
        ("ycsb-a:colour=red", "unknown parameter 'colour', expected one of think_s, rate"),
        ("ycsb-a:name=x", "unknown parameter 'name'"),
        ("ycsb-a:keys", "'keys', expected parameter=value"),
        ("ycsb-a:keys=many", "ycsb-a: keys='many', expected a whole number"),
        ("ycsb-a:keys=0", "ycsb-a: keys=0, expected 1 to 100000"),
        ("ycsb-a:reads=0.9", "add up to 1, not 1.4"),
        ("ycsb-a:zipf=0", "zipf=0.0, expected an exponent above 0"),
        ("ycsb-a:zipf=nan", "zipf=nan"),
        ("ycsb-a:key_bytes=8", "key_bytes=8, expected 9 to 1024"),
        ("ycsb-d:written_first=1", "written_first=True, expected false where the latest"),
        ("queue:queues=0", "queues=0, expected 1 to"),
        ("ycsb-a:keys_drawn=oddly", "keys_drawn='oddly', expected one of "),
        ("ycsb-a:value_bytes=0", "value_bytes=0, expected 1 to"),
        ("ycsb-a:think_s=-1", "think_s=-1.0, expected 0 or more seconds"),
        ("ycsb-a:rate=0", "rate=0.0, expected commands/s above 0"),
        ("ycsb-a:rate=5,think_s=1", "think_s=1.0, expected 0 in an open loop"),
        ("ycsb-e:scan_limit_max=1001", "scan_limit_max=1001, expected 1 to 1000"),
        ("ycsb-f:rate=5", "rate=5.0, expected none"),
        ("lock:rate=5", "rate=5.0, expected none"),
        ("hot-key:conflict=1.5", "conflict=1.5, expected a share from 0 to 1"),
        ("counter:amount_max=0", "amount_max=0, expected 1 or more"),
        ("no/such/file.toml", "workload file no/such/file.toml: No such file"),
    ],
)
def test_bad_input_is_one_clear_line(given: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        workload(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("preset = 3", "preset=3, expected one of ycsb-a"),
        ("keys = 3", "preset=None"),
        ("preset = ", "expected TOML"),
        ('preset = "zipf"\nkeys = "x"', "mine.toml: workload zipf: keys='x'"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(BadInput, match=message) as caught:
        workload(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clients_and_machines_that_do_not_exist_are_bad_input() -> None:
    with pytest.raises(BadInput, match="client 3, expected 0 to 2"):
        workload("zipf").client(3, 3, 1)
    with pytest.raises(BadInput, match="machine 'memcached': unknown"):
        default_workload("memcached")


def test_an_endless_script_never_runs_dry() -> None:
    script = workload("mixed").client(0, 1, 1)
    assert all(islice(iter(lambda: script.next_command(0, None), None), 1000))
