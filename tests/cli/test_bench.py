"""`concur bench`: what it prints, with which status, about a server that is right or wrong."""

import json
from pathlib import Path

import pytest

from concur.score.compare import ROW_METRICS
from tests.cli.helpers import concur, concur_json, refused
from tests.serve.fake_redis import FakeRedis, serving
from tests.serve.test_load import Forgetful, Mangles

QUICK = ("--seconds", "0.2", "--warmup", "0", "--keys", "20", "--connections", "4")


def at(server: FakeRedis) -> str:
    return f"redis://127.0.0.1:{server.port}"


def test_bench_has_the_keys_of_compare() -> None:
    with serving(FakeRedis()) as server:
        found = concur_json("bench", at(server), *QUICK, "--reads", "0.3")
    (row,) = found["rows"]
    assert row.keys() >= {"protocol", "consistency", "valid", "reason", *ROW_METRICS}
    assert (row["protocol"], row["valid"], row["consistency"]) == ("fake", True, "linearizable")
    assert row["throughput"] > 0
    assert row["cpu_us_per_command"] is None
    assert (found["complete"], found["clients"], found["reads"]) == (True, 4, 0.3)


def test_bench_is_readable_for_people() -> None:
    with serving(FakeRedis()) as server:
        done = concur("bench", at(server), *QUICK)
    assert done.exit_code == 0, done.output
    assert "fake at redis://127.0.0.1" in done.stdout
    assert "p99 ms" in done.stdout
    assert "valid: an order of all operations" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_history_is_written_and_can_be_checked_again(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with serving(FakeRedis()) as server:
        concur_json("bench", at(server), *QUICK, "--history", str(file), "--no-check")
    assert concur_json("check", str(file), "--model", "kv")["valid"] is True


@pytest.mark.parametrize("kind", [Forgetful, Mangles])
def test_a_server_that_is_wrong_has_status_1(kind: type[FakeRedis]) -> None:
    with serving(kind()) as server:
        found = concur_json("bench", at(server), *QUICK, status=1)
    (row,) = found["rows"]
    assert (row["valid"], row["consistency"]) == (False, "not linearizable")


def test_without_a_check_nothing_is_claimed() -> None:
    with serving(FakeRedis()) as server:
        done = concur("bench", at(server), *QUICK, "--no-check", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["valid"], row["consistency"]) == (None, "not checked")


def test_a_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISCLI_AUTH", "secret")
    with serving(FakeRedis()) as server:
        line = refused("bench", at(server), *QUICK)
    assert "unknown command" in line  # this one knows no AUTH


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("localhost:6379",), "target 'localhost:6379': expected redis://host:port"),
        (("redis://127.0.0.1:1",), "127.0.0.1:1: Connection refused, expected a server"),
        (("redis://h", "--connections", "0"), "--connections: 0, expected a whole number from 1"),
        (("redis://h", "--reads", "2"), "--reads: 2.0, expected a number from 0 to 1"),
        (("redis://h", "--value-bytes", "8"), "--value-bytes: 8, expected a whole number from 16"),
        (("redis://h", "rediss://h"), "targets: expected the same user, password and TLS for all"),
        (("rediss://h", "--ca", "/no/such"), "--ca /no/such: "),
        (("redis://h", "--history", "/no/such/file"), "history /no/such/file: there is no folder"),
    ],
)
def test_wrong_input_gets_one_line(arguments: tuple[str, ...], line: str) -> None:
    assert refused("bench", *arguments).startswith(line)
