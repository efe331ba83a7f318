"""`concur check`: the verdict, its status, and what happens to files that are not histories."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import concur.histories as histories
from concur.cli import app
from concur.cli import check as verb
from concur.cli.questions import Question
from concur.histories import History, read_history, write_history
from concur.histories.formats import reading
from tests.cli.helpers import concur, concur_json, refused
from tests.score.made import verdict


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def history(last: Any, pairs: int = 20) -> History:
    made = History()
    for number in range(pairs):
        op = made.invoke(0, "put", "x", number, 10 * number)
        made.complete(op, "ok", number, 10 * number + 4)
    op = made.invoke(1, "get", "x", None, 10 * pairs)
    made.complete(op, "ok", last, 10 * pairs + 4)
    return made


def test_a_history_that_is_right_gives_status_0() -> None:
    write_history(history(19), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    first, last = done.stdout.splitlines()[0], " ".join(done.stdout.split())
    assert first == "valid: an order of all operations, within real time, explains every outcome"
    assert "21 operations (jsonl) held against kv: zones, 0.0" in last


def test_one_that_is_not_gives_status_1_and_the_reason() -> None:
    write_history(history(3), "h.edn")
    done = concur("check", "h.edn", "--model", "kv")
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "INVALID: no order of the operations on 'x' explains every outcome"
    assert "  3. process 1 read 3 from 'x', 200 to 204 ns (events 40 and 41)" in lines
    assert any(line.startswith("process 1") and "get → 3" in line for line in lines)


def test_one_that_the_budget_does_not_decide_gives_status_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_history(history(19), "h.jsonl")
    budgets = []

    def gives_up(history: History, machine: Any, budget_s: float) -> Any:
        budgets.append(budget_s)
        return verdict("unknown", "undecided: the search ran out of time within its budget")

    monkeypatch.setattr(histories, "check", gives_up)
    done = concur("check", "h.jsonl", "--model", "kv", "--budget-s", "0.5")
    assert done.exit_code == 3
    assert done.stdout.startswith("unknown: undecided: the search ran out of time")
    assert concur_json("check", "h.jsonl", "--model", "kv", status=3)["valid"] == "unknown"
    assert budgets == [0.5, 10.0]


def test_a_weaker_consistency_may_hold() -> None:
    write_history(history(3), "h.jsonl")
    arguments = ("check", "h.jsonl", "--model", "kv", "--consistency")
    done = concur(*arguments, "sequential")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("valid: an order of all operations, each process's in its order")
    found = concur_json(*arguments, "k-atomic=2", status=1)
    assert (found["valid"], found["consistency"]) == (False, "k-atomic=2")


def test_a_spectrum_places_the_history_and_gives_the_status_of_linearizable() -> None:
    write_history(history(3), "h.jsonl")
    arguments = ("check", "h.jsonl", "--model", "kv", "--consistency", "spectrum")
    done = concur(*arguments)
    assert done.exit_code == 1, done.output
    assert "Why it is not k-atomic=2: 'x':" in done.stdout.splitlines()
    found = concur_json(*arguments, status=1)
    status = {model["consistency"]: model["status"] for model in found["models"]}
    assert (status["linearizable"], status["sequential"]) == ("broken", "holds")
    assert found["valid"] is False
    write_history(history(19), "h.jsonl")
    assert concur(*arguments).exit_code == 0


def test_only_linearizable_is_checked_while_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "HELD_EVENTS_MAX", 10)
    write_history(history(19), "h.jsonl")
    line = refused("check", "h.jsonl", "--model", "kv", "--consistency", "pram")
    assert line == (
        "h.jsonl: more than 10 events, or 2,048 MB of values, expected less: only linearizable, "
        "without a certificate, is checked while a file is read"
    )


def test_it_prints_one_json_object() -> None:
    write_history(history(3), "h.edn")
    Path("h.gz").write_bytes(gzip.compress(Path("h.edn").read_bytes()))
    found = concur_json("check", "h.gz", "--model", "kv", status=1)
    assert found.keys() >= {
        "valid", "reason", "operations", "seconds", "read_seconds", "algorithm", "anomalies",
    }  # fmt: skip
    assert (found["valid"], found["operations"], found["format"]) == (False, 21, "edn")
    assert found["anomalies"]


def test_standard_input_is_a_file() -> None:
    write_history(history(19), "h.jsonl")
    done = CliRunner().invoke(
        app, ["check", "-", "--model", "kv"], input=Path("h.jsonl").read_bytes(), prog_name="concur"
    )
    assert done.exit_code == 0, done.output


def test_it_converts() -> None:
    write_history(history(19), "h.jsonl")
    assert concur("check", "h.jsonl", "--model", "kv", "--write", "h.edn").exit_code == 0
    assert read_history("h.edn").digest() == history(19).digest()


@pytest.mark.parametrize("last", [19, 3])
def test_a_long_history_is_checked_while_it_is_read(
    last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "HELD_EVENTS_MAX", 10)
    write_history(history(last), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv", "--write", "h.edn")
    assert done.exit_code == (0 if last == 19 else 1), done.output
    assert done.stderr == "concur: more than 5 operations: checked while they are read\n"
    assert "while they were read" in " ".join(done.stdout.split())
    assert read_history("h.edn").digest() == history(last).digest()


def test_large_values_make_a_history_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "VALUES_BYTES_MAX", 1000)
    write_history(history(19), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv")
    assert done.exit_code == 0
    assert re.match(r"concur: more than \d+ operations: checked while", done.stderr), done.stderr
    assert "while they were read" in " ".join(done.stdout.split())


@pytest.mark.parametrize("ending", ["jsonl", "edn", "json"])
@pytest.mark.parametrize("held", [10, 1000])
def test_what_the_model_does_not_know_is_said_with_its_line(
    ending: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "HELD_EVENTS_MAX", held)
    made = history(19)
    made.invoke(2, "fetch", "x", None, 300)
    write_history(made, "h.edn")
    write_history(made, "h.jsonl")
    lines = Path("h.jsonl").read_text().splitlines()
    Path("h.json").write_text("[\n" + ",\n".join(lines) + "]")
    Path("h.jsonl").write_text("\n\n" + "\n".join(lines))
    done = concur("check", f"h.{ending}", "--model", "kv")
    number = {"jsonl": 45, "edn": 43, "json": 44}[ending]
    place = f"concur: h.{ending}, line {number} (event 42): event 'fetch' "
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(place), done.stderr


def test_what_cannot_be_read_again_has_the_number_of_the_event() -> None:
    write_history(history(19), "h.jsonl")
    done = CliRunner().invoke(
        app, ["check", "-", "--model", "register"], input=Path("h.jsonl").read_text()
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("concur: standard input, event 0: event 'put'")


@pytest.mark.parametrize("as_json", [True, False])
def test_ctrl_c_gives_status_130(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    write_history(history(19), "h.jsonl")
    monkeypatch.setattr(Question, "decide", interrupted)
    arguments = ("check", "h.jsonl", "--model", "kv", "--write", "h.edn")
    done = concur(*arguments, *(["--json"] if as_json else []))
    assert done.exit_code == 130
    if as_json:
        found = json.loads(done.stdout)
        assert (found["valid"], found["reason"]) == ("unknown", "stopped after 42 events")
    else:
        assert done.stderr == "concur: stopped after 42 events\n"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_ctrl_c_while_it_is_explained_keeps_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    write_history(history(3), "h.jsonl")
    monkeypatch.setattr(Question, "explain", interrupted)
    done = concur("check", "h.jsonl", "--model", "kv")
    assert done.exit_code == 130
    assert done.stderr == "concur: stopped before it was explained\n"
    assert done.stdout.startswith("INVALID: ")
    assert "3 came before" in done.stdout


def test_why_is_written_as_html() -> None:
    write_history(history(3), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv", "--html", "why.html")
    assert done.exit_code == 1
    assert "<svg" in Path("why.html").read_text()
    found = concur_json("check", "h.jsonl", "--model", "kv", status=1)
    assert found["explanation"]["complete"] is True
    assert found["explanation"]["events"][-1] == 40
    assert found["anomalies"]


def test_of_what_is_right_nothing_is_written_as_html() -> None:
    write_history(history(19), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv", "--html", "why.html")
    assert done.exit_code == 0
    assert done.stderr == "concur: there is nothing to explain, why.html is not written\n"
    assert not Path("why.html").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--html", "h.jsonl"),
        ("--certificate", "./h.jsonl"),
        ("--html", "x.jsonl", "--write", "x.jsonl"),
    ],
)
def test_no_output_takes_the_place_of_another_or_of_the_history(options: tuple[str, ...]) -> None:
    write_history(history(3), "h.jsonl")
    before = Path("h.jsonl").read_bytes()
    assert "is in use here already" in refused("check", "h.jsonl", "--model", "kv", *options)
    assert Path("h.jsonl").read_bytes() == before


def test_what_simulate_writes_can_be_checked() -> None:
    run = ("simulate", "raft", "--seed", "2", "--seconds", "1", "--machine", "queue")
    assert concur(*run, "--history", "run.edn").exit_code == 0
    assert concur("check", "run.edn", "--model", "queue").exit_code == 0


def test_an_empty_history_is_said_to_be_empty() -> None:
    Path("h.jsonl").write_text("")
    done = concur("check", "h.jsonl", "--model", "kv")
    assert done.exit_code == 0
    assert done.stderr == "concur: h.jsonl has no operations\n"


EVENT = '{"process":0,"type":"invoke","f":"get","key":"x","time":1}\n'


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        ("", "--model toaster", "model 'toaster': unknown"),
        ("", "", "--model"),
        ("", "--model kv --format xml", "format 'xml': unknown, expected one of "),
        ("", "--model kv --consistency perfect", "consistency 'perfect': unknown, expected one of"),
        ("", "--model kv --consistency k-atomic=0", "expected a whole number from 1 to"),
        ("", "--model kv --budget-s -1", "--budget-s: -1.0, expected a number from 0"),
        ("", "--model kv --budget-s nan", "--budget-s: nan, expected a number"),
        ("", "--model kv --write nowhere/h.edn", "there is no folder nowhere"),
        ("", "--model kv --write h.txt", "h.txt: expected a name that ends in .jsonl or .edn"),
        ("", "--model kv --write .", "is a folder"),
        ("hello\n", "--model kv", "h, line 1: expected an event in one of the formats"),
        (EVENT + EVENT, "--model kv", "h, line 2: expected process 0 to complete its get"),
        (EVENT, "--model register", "h, line 1 (event 0): event 'get' (key 'x', value None)"),
        (EVENT + "\x1b[2J\n", "--model kv", "h, line 2: expected an event, found: "),
        (EVENT.replace("get", "a\\u001b[2J"), "--model kv", "h, line 1 (event 0): event 'a\\x1b"),
        ("w(0,1,1,1)\n", "--model kv", "h: holds transactions (plume"),
    ],
)
def test_wrong_input_gets_one_clear_line(content: str, arguments: str, complaint: str) -> None:
    Path("h").write_text(content)
    line = refused("check", "h", *arguments.split())
    assert complaint in line
    assert line.isprintable()
    assert [path.name for path in Path().iterdir()] == ["h"], "nothing is written"


def test_a_file_that_is_not_there() -> None:
    assert "none: No such file or directory, expected a history file" in refused(
        "check", "none", "--model", "kv"
    )
    assert ".: is a folder, expected a history file" in refused("check", ".", "--model", "kv")


def test_no_text_of_a_file_controls_the_terminal() -> None:
    made = History()
    op = made.invoke(0, "get", "\x1b[31m", None, 0)
    made.complete(op, "ok", "\x1b]0;title\x07", 1, "\x9b2J")
    op = made.invoke(1, "cas", "\x1b[31m", (1, 2), 0)
    made.complete(op, "fail", None, 1, "\x1b[2J")
    write_history(made, "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv")
    assert done.exit_code == 1
    assert all(line.isprintable() for line in done.stdout.splitlines())


def test_a_bad_history_does_not_replace_a_file() -> None:
    write_history(history(19), "h.jsonl")
    Path("bad.jsonl").write_text(EVENT + "oops\n")
    refused("check", "bad.jsonl", "--model", "kv", "--write", "h.jsonl")
    assert read_history("h.jsonl").digest() == history(19).digest()


def test_a_certificate_is_written_and_proves_it_again() -> None:
    write_history(history(19), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv", "--certificate", "proof.json")
    assert done.exit_code == 0, done.output
    order = json.loads(Path("proof.json").read_text())["order"]
    assert sorted(order) == list(range(21))
    again = concur("check", "h.jsonl", "--model", "kv", "--verify-certificate", "proof.json")
    assert again.exit_code == 0, again.output
    assert again.stdout.startswith("valid: the order in proof.json explains every outcome")


def test_a_certificate_that_proves_nothing_leaves_it_undecided() -> None:
    write_history(history(19), "h.jsonl")
    concur("check", "h.jsonl", "--model", "kv", "--certificate", "proof.json")
    proof = json.loads(Path("proof.json").read_text())
    proof["order"].reverse()
    Path("proof.json").write_text(json.dumps(proof))
    done = concur("check", "h.jsonl", "--model", "kv", "--verify-certificate", "proof.json")
    assert done.exit_code == 3, done.output
    assert done.stdout.splitlines()[0] == "unknown: proof.json proves nothing"
    assert "stands before what had returned when it was called" in " ".join(done.stdout.split())


def test_no_certificate_is_written_of_what_is_wrong() -> None:
    write_history(history(3), "h.jsonl")
    done = concur("check", "h.jsonl", "--model", "kv", "--certificate", "proof.json")
    assert done.exit_code == 1
    assert not Path("proof.json").exists()


def test_a_certificate_is_of_one_history() -> None:
    write_history(history(19), "h.jsonl")
    concur("check", "h.jsonl", "--model", "kv", "--certificate", "proof.json")
    write_history(history(19, 21), "other.jsonl")
    line = refused("check", "other.jsonl", "--model", "kv", "--verify-certificate", "proof.json")
    assert line == "proof.json: the certificate of another history"


def test_jepsens_checkers_count() -> None:
    made = History()
    for number in range(3):
        op = made.invoke(0, "add", None, number, 10 * number)
        made.complete(op, "ok", number, 10 * number + 4)
    op = made.invoke(1, "read", None, None, 100)
    made.complete(op, "ok", (0, 2), 104)
    write_history(made, "h.edn")
    done = concur("check", "h.edn", "--checker", "set-full")
    assert done.exit_code == 1, done.output
    assert "lost 1" in done.stdout
    told = concur_json("check", "h.edn", "--checker", "set", status=1)
    assert told["figures"]["lost"] == 1
    assert told["valid"] is False


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "--model: missing"),
        (["--checker", "bank"], "--checker 'bank': unknown, expected one of set, set-full"),
        (["--checker", "set", "--model", "set"], "--model: expected none with --checker"),
        (["--checker", "set", "--certificate", "p"], "--certificate: expected none with --chec"),
        (["--checker", "set", "--initial", "1"], "--initial: expected none with --checker"),
        (
            ["--model", "kv", "--certificate", "p", "--consistency", "pram"],
            "--certificate: expected none with --consistency pram",
        ),
        (
            ["--model", "kv", "--certificate", "p", "--verify-certificate", "q"],
            "--certificate: expected no --verify-certificate beside it",
        ),
        (["--model", "kv", "--verify-certificate", "no.json"], "no.json"),
        (["--model", "kv", "--certificate", "no/p.json"], "there is no folder no"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], complaint: str) -> None:
    write_history(history(19), "h.jsonl")
    assert complaint in refused("check", "h.jsonl", *options)
