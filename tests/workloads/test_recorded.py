"""A user's own operations are asked as the file says, and a wrong file is one clear line."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines import counter, kv, machine, queue, register
from concur.protocols.unreplicated import Unreplicated
from concur.simulate.simulation import Simulation
from concur.simulate.trace import FileRecorder, replay
from concur.workloads import Recorded, Workload, recorded, workload
from tests.cli.helpers import concur, concur_json, refused
from tests.machines import bad_machines as bad

Asked = list[tuple[int, Any]]


def ask(load: Workload, index: int = 0, clients: int = 1) -> Asked:
    """What one client asks, and when, if every command takes no time."""
    script = load.client(index, clients, 1)
    asked, now = [], 0
    while (due := script.next_command(now, None)) is not None:
        now += due[0]
        asked.append((now, due[1]))
    return asked


def commands(load: Workload, index: int = 0, clients: int = 1) -> list[Any]:
    return [command for _, command in ask(load, index, clients)]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def make(content: str, name: str = "ops.csv") -> str:
        path = tmp_path / name
        path.write_text(content)
        return str(path)

    return make


# --- what is asked -------------------------------------------------------------------------------


def test_rows_of_a_table_are_commands(write: Any) -> None:
    path = write(
        "f,key,value\n"
        "put,x,1\n"
        'put,x,"a, ""b"""\n'
        "get,x,\n"
        'cas,x,"[""1"", null]"\n'
        "append,x,z\n"
        "delete,x,\n"
        '\nscan,,"["""", 10]"\n'
    )
    assert commands(workload(path)) == [
        kv.Put("x", "1"),
        kv.Put("x", 'a, "b"'),
        kv.Get("x"),
        kv.Cas("x", "1", None),
        kv.Append("x", "z"),
        kv.Delete("x"),
        kv.Scan("", 10),
    ]


def test_lines_of_json_keep_their_types(write: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"f": "put", "key": "x", "value": 1},
        {"f": "put", "key": "x", "value": "1"},
        {"f": "put", "key": "x", "value": None},
        {"f": "cas", "key": "x", "value": [None, True]},
    ]
    path = write("\n".join(map(json.dumps, rows)), "ops.jsonl")
    found = commands(workload(path))
    assert repr(found) == repr(
        [kv.Put("x", 1), kv.Put("x", "1"), kv.Put("x", None), kv.Cas("x", None, True)]
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("f,value\nread,\nwrite,a\n", [register.Read(), register.Write("a")]),
        ("f,value\nread,\nadd,2\n", [counter.Read(), counter.Add(2)]),
        ("f,key,value\nenqueue,q,2\ndequeue,q,\n", [queue.Enqueue("q", "2"), queue.Dequeue("q")]),
    ],
)
def test_the_machine_is_one_that_knows_the_operations(
    write: Any, content: str, expected: list[Any]
) -> None:
    assert commands(workload(write(content))) == expected


def test_the_machine_may_be_chosen(write: Any) -> None:
    load = workload(write("f\nread\n"))
    assert commands(load) == [register.Read()]
    assert commands(load.on(machine("counter"))) == [counter.Read()]
    assert load.on(machine("register")) is load
    with pytest.raises(BadInput, match=r"line 2: unknown operation 'read', .* machine lock: acq"):
        load.on(machine("lock"))


def test_any_machine_has_operations_in_files(write: Any) -> None:
    path = write('f,value\ndeposit,"[""ann"", 5]"\n')
    with pytest.raises(BadInput, match="'deposit', expected operations of one machine: kv has get"):
        workload(path)
    load = workload(path, on=bad.bank)
    assert commands(load) == [("deposit", "ann", 5)]
    assert load == Recorded(name=path, file=path, of=bad.bank)
    run = Simulation(Unreplicated(), replicas=1, machine=bad.bank).run(path, seconds=1.0)
    assert [op.result for op in run.history_.operations()] == [5]


def test_values_of_a_size_have_it_and_are_unique(write: Any) -> None:
    rows = "".join(f"put,k{n % 3},{size}\n" for n, size in enumerate((0, 1, 20, 20, 1030)))
    found = commands(workload(write("f,key,value_bytes\n" + rows)))
    values = [put.value for put in found]
    assert len(set(values)) == 5
    assert [len(value) for value in values[2:]] == [20, 20, 1030]


# --- by whom and when ----------------------------------------------------------------------------


def test_without_clients_operations_are_dealt_out_in_turn(write: Any) -> None:
    load = workload(write("f,key\n" + "".join(f"get,k{n}\n" for n in range(5))))
    assert [commands(load, i, 2) for i in range(2)] == [
        [kv.Get("k0"), kv.Get("k2"), kv.Get("k4")],
        [kv.Get("k1"), kv.Get("k3")],
    ]


def test_a_recorded_client_stays_one_client_and_keeps_its_order(write: Any) -> None:
    rows = "get,a,ann\nget,b,bob\nget,c,ann\nget,d,cyd\n"
    load = workload(write("f,key,client\n" + rows))
    assert [commands(load, i, 2) for i in range(2)] == [
        [kv.Get("a"), kv.Get("c"), kv.Get("d")],  # ann and cyd
        [kv.Get("b")],
    ]


@pytest.mark.parametrize(
    ("unit", "times"),
    [
        ("time_s", ("10", "10.000000001", "11.5")),
        ("time_ms", ("0", "0.000001", "1500")),
        ("time_us", ("7", "7.001", "1500007")),
        ("time_ns", ("1700000000000000000", "1700000000000000001", "1700000001500000000")),
    ],
)
def test_times_are_exact_and_begin_at_zero(write: Any, unit: str, times: tuple[str, ...]) -> None:
    load = workload(write(f"f,key,{unit}\n" + "".join(f"get,k,{time}\n" for time in times)))
    assert load.open_loop
    assert [time for time, _ in ask(load)] == [0, 1, 1_500_000_000]


def test_speed_makes_times_shorter_and_closed_ignores_them(write: Any) -> None:
    path = write("f,key,time_s\nget,k,0\nget,k,1\nget,k,3\n")
    assert [time for time, _ in ask(workload(f"{path}:speed=2"))] == [0, 500_000_000, 1_500_000_000]
    closed = workload(f"{path}:closed=true,think_s=0.25")
    assert not closed.open_loop
    assert [time for time, _ in ask(closed)] == [250_000_000, 500_000_000, 750_000_000]


def test_what_is_overdue_is_asked_at_once(write: Any) -> None:
    script = workload(write("f,key,time_s\nget,k,0\nget,k,1\n")).client(0, 1, 1)
    assert [script.next_command(5_000_000_000, None) for _ in range(3)] == [
        (0, kv.Get("k")),
        (0, kv.Get("k")),
        None,
    ]


def test_first_reads_so_many_and_no_more(write: Any) -> None:
    path = write("f,key\nget,a\nget,b\nnonsense,,,,\n")
    assert commands(workload(f"{path}:first=2")) == [kv.Get("a"), kv.Get("b")]


# --- other shapes --------------------------------------------------------------------------------


def test_invocations_of_a_history_are_asked_again(write: Any, tmp_path: Path) -> None:
    run = Simulation(Unreplicated(), replicas=1, clients=3, seed=1)
    asked = run.run("mixed:think_s=0.01", seconds=0.2).history_
    from concur.histories.formats.jsonl import write_jsonl

    path = tmp_path / "history.jsonl"
    write_jsonl(asked, path)
    load = workload(str(path))
    assert load.open_loop
    operations = asked.operations()
    assert [machine("kv").event(c) for i in range(3) for c in commands(load, i, 3)] == [
        (op.f, op.key, op.value) for i in range(3) for op in operations if op.process % 3 == i
    ]


def test_twitters_traces_are_understood(write: Any) -> None:
    load = workload(
        write(
            "7,a:b,6,30,9,get,0\n"
            "7,a:b,6,30,8,set,60\n"
            "9,a-long-key,4,2,9,add,60\n"
            "9,k,1,5,9,incr,0\n"
            "9,k,1,5,9,delete,0\n"
        )
    )
    assert ask(load, 0, 2) == [
        (0, kv.Get("a:b---")),
        (2_000_000_000, kv.Cas("a-long-key", None, "2.")),
        (2_333_333_333, kv.Put("k", "3.---")),
        (2_666_666_666, kv.Delete("k")),
    ]
    assert ask(load, 1, 2) == [(500_000_000, kv.Put("a:b---", "1.".ljust(30, "-")))]


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_of_a_file_is_replayed_only_with_that_file(write: Any, tmp_path: Path) -> None:
    path = write("f,key,value,time_s\nput,x,1,0\nget,x,,0.1\n")
    trace = tmp_path / "run.trace"
    run = Simulation(Unreplicated(), replicas=1, clients=2)
    run.run(path, seconds=1.0, recorder=FileRecorder(trace))
    assert [op.return_ns is not None for op in run.history_.operations()] == [True, True]
    assert replay(trace).same
    write("f,key,value,time_s\nput,x,2,0\nget,x,,0.1\n")
    with pytest.raises(BadInput, match="is not the one of the run") as caught:
        replay(trace)
    assert "\n" not in str(caught.value)
    Path(path).unlink()
    with pytest.raises(BadInput, match=r"ops\.csv: No such file"):
        replay(trace)


def test_a_run_that_has_begun_notices_another_file(write: Any) -> None:
    load = workload(write("f,key\nget,a\n"))
    again = pickle.loads(pickle.dumps(load))
    assert again == load
    assert commands(again) == [kv.Get("a")]
    write("f,key\nget,b2\n")
    with pytest.raises(BadInput, match="expected the file as it was"):
        load.client(0, 1, 1)


def test_a_file_is_described_in_a_line(write: Any) -> None:
    path = write("f,key,time_s\nget,a,0\nget,a,4\n")
    assert workload(f"{path}:speed=2").describe() == (
        f"{path}: 2 operations of a kv; open loop over 2 s"
    )
    assert workload(f"{path}:closed=1,think_s=0.5").describe() == (
        f"{path}: 2 operations of a kv; closed loop, think time 0.5 s"
    )


def test_files_run_from_the_command_line(write: Any, tmp_path: Path) -> None:
    path = write("f,key,value_bytes,time_s\nenqueue,q,30,0\ndequeue,q,,0.1\n")
    world = ("unreplicated", "--workload", path, "--replicas", "1", "--seconds", "1")
    found = concur_json("compare", *world)
    assert [row["commands"] for row in found["rows"]] == [1]  # the other one was in the warm-up
    trace = str(tmp_path / "run.trace")
    assert concur_json("simulate", *world, "--trace", trace)["commands"] == 2
    assert concur("replay", trace).exit_code == 0
    write("f,key\nlength,q\n")
    assert "is not the one of the run" in refused("replay", trace)


def test_a_wrong_file_is_refused_before_anything_is_written(write: Any, tmp_path: Path) -> None:
    path = write("f,key\nget,a\nfly,a\n")
    report, trace = tmp_path / "report.html", tmp_path / "run.trace"
    complaint = f"workload file {path}, line 3: operation 'fly' beside get"
    assert complaint in refused("compare", "--workload", path, "--html", str(report))
    assert complaint in refused("simulate", "paxos", "--workload", path, "--trace", str(trace))
    assert [found.name for found in tmp_path.iterdir()] == ["ops.csv"]


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "ops.csv: no operations"),
        ("f,key\n", "line 1: no operations"),
        ("f,key\nget\n", "line 2: 1 cells, expected 2 as in the header"),
        ("f,key,colour\nget,a,red\n", "line 1: unknown column 'colour', expected a header with f"),
        ("get,a\n", "line 1: unknown column 'get'"),
        ("f,key,key\n", "line 1: column key comes twice"),
        ("f,key,time\nget,a,1\n", "line 1: column time: which unit\\? expected time_s"),
        ("f,key\nfly,a\n", "line 2: operation 'fly', expected operations of one machine: kv has"),
        ("f,value\nput,1\nenqueue,1\n", "line 3: operation 'enqueue' beside put"),
        ("f,value\nput,1\n", "line 2: put without a key, expected one in the column key"),
        ("f,key,value\nput,a,1\nget,,\n", "line 3: get without a key"),
        ("f\nscan\n", "line 2: scan without a value, expected \\[first key, how many\\]"),
        ("f\nacquire\n", "line 2: acquire without a value"),
        ("f,value\nrelease,me\n", "line 2: release with value 'me', expected \\[owner, token"),
        ("f,value_bytes\nadd,4\n", "line 2: add with value_bytes, expected a value"),
        ("f;key\nget;a\n", "line 1: columns with ';' between them, expected commas"),
        ("f,key\nget,a\n,b\n", "line 3: no operation, expected a column f"),
        ("f,key\nput,a\n", "line 2: put without a value"),
        ("f,key,value_bytes\nput,a,many\n", "line 2: value_bytes 'many', expected a whole"),
        (
            "f,key,value_bytes\nput,a,2000000\n",
            "line 2: value_bytes '2000000', expected .* 1048576",
        ),
        ("f,key,value_bytes\ncas,a,5\n", "line 2: cas with value_bytes"),
        ("f,key,value,value_bytes\nput,a,x,5\n", "line 2: both value and value_bytes"),
        ("f,key,value\ncas,a,x\n", "line 2: cas with value 'x', expected \\[old, new\\]"),
        ("f,key,client,process\nget,a,1,2\n", "line 2: both client and process"),
        ("f,key,client\nget,a,1\nget,a,\n", "line 3: no client, unlike the operations before"),
        ("f,key,time_s\nget,a,2\nget,a,1\n", "line 3: time_s goes back"),
        ("f,key,time_s\nget,a,\nget,a,1\n", "line 3: a time, unlike the operations before"),
        ("f,key,time_s\nget,a,-1\n", "line 2: time_s '-1', expected a number"),
        ("f,key,time_s\nget,a,0\nget,a,9999999999999\n", "line 3: .* expected less"),
        ("f,key,time_s,time_ns\nget,a,0,0\n", "line 2: both time_s and time_ns"),
        (f"f,key\nget,{'k' * 2000}\n", "line 2: kv key: 2000 characters"),
        ('f,key\nget,"a\n', "line 2: unexpected end of data"),
        ("7,k,1,5,9,get,0\n6,k,1,5,9,get,0\n", "line 2: the timestamp goes back"),
        ("7,k,1,5,9,get,0\n6,k,1,5,9,touch,0\n", "line 2: expected timestamp, key, key size"),
        ("7,k,2000,5,9,get,0\n", "line 1: key size '2000', expected .* 1024"),
    ],
)
def test_a_wrong_table_is_one_clear_line(write: Any, content: str, message: str) -> None:
    path = write(content)
    with pytest.raises(BadInput, match=message) as caught:
        workload(path)
    assert f"workload file {path}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]\n", "line 1: no JSON object, expected one such as"),
        ("\n{\n", "line 2: Input data was truncated"),
        ('{"f": "get", "key": "a", "vaule": 1}\n', "line 1: unknown column 'vaule'"),
        ('{"f": 3}\n', "line 1: no operation"),
        ('{"f": "get", "key": 3}\n', "line 1: get with key 3, expected text"),
        ('{"f": "get"}\n', "line 1: get without a key"),
        ('{"f": "get", "key": "a", "client": [1]}\n', "line 1: client \\(1,\\), expected text"),
        ('{"f": "get", "key": "a", "time_s": true}\n', "line 1: time_s True"),
        ('{"f": "put", "key": "a", "value": 0.5}\n', "line 1: kv value: a float"),
    ],
)
def test_wrong_lines_of_json_are_one_clear_line(write: Any, content: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        workload(write(content, "ops.jsonl"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("speed=0", "speed=0.0, expected a factor above 0"),
        ("speed=nan", "speed=nan"),
        ("speed=abc", "ops.csv: speed='abc', expected a number$"),
        ("closed=maybe", "closed='maybe', expected true or false$"),
        ("first=x", "first='x', expected a whole number$"),
        ("speed=1,speed=2", "speed is given twice, expected once"),
        ("first=0", "first=0, expected 1 to 1000000"),
        ("rate=5", "rate=5.0, expected none: a file has its own times"),
        ("think_s=1", "think_s=1.0, expected 0 where times are given"),
        ("keys=5", "unknown parameter 'keys', expected one of think_s, rate, speed, closed, first"),
        ("speed", "'speed', expected parameter=value"),
    ],
)
def test_wrong_parameters_of_a_file_are_one_clear_line(
    write: Any, parameters: str, message: str
) -> None:
    path = write("f,key,time_s\nget,a,0\n")
    with pytest.raises(BadInput, match=message):
        workload(f"{path}:{parameters}")


def test_a_file_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"f,key\nget,\xff\n")
    for path, message in (
        (tmp_path / "none.csv", "No such file"),
        (folder, "no ordinary file"),
        (binary, "line 2: not UTF-8"),
        (f"{tmp_path}/a\0b.csv", "a bad name"),
    ):
        with pytest.raises(BadInput, match=message):
            workload(str(path))


def test_a_file_that_is_too_long_says_how_to_read_a_part(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "OPERATIONS_MAX", 2)
    path = write("f,key\nget,a\nget,b\nget,c\n")
    with pytest.raises(BadInput, match=r"more than 2 operations, .*ops\.csv:first=2"):
        workload(path)
    assert len(commands(workload(f"{path}:first=2"))) == 2
    monkeypatch.setattr(recorded, "LINE_BYTES_MAX", 20)
    with pytest.raises(BadInput, match="line 2: longer than 20 bytes"):
        workload(write("f,key\nget," + "k" * 30))
