"""The samples of other projects' histories get their verdict, and so do the options that they need.

They are no part of the package: where they are absent, nothing is tried."""

import os
from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.histories import History, assert_consistent, check, model, write_history
from tests.cli.helpers import concur_json, refused

SAMPLES = Path(os.environ.get("CONCUR_SAMPLES", "../shared/data/histories"))
EVIDENCE = ("--failed-cas", "evidence")


@pytest.mark.parametrize(
    ("file", "name", "options", "valid"),
    [
        ("porcupine/etcd_000.log", "cas-register", EVIDENCE, False),
        ("porcupine/etcd_000.log", "cas-register", (), False),
        ("porcupine/etcd_007.log", "cas-register", EVIDENCE, True),
        ("porcupine/etcd_007.log", "cas-register", (), True),
        ("porcupine/c01-bad.txt", "kv", ("--initial", ""), False),
        ("porcupine/c01-ok.txt", "kv", ("--initial", '""'), True),
        ("knossos/cas-register-bug.edn", "cas-register", ("--initial", "0"), True),
        ("knossos/rethink-fail-minimal.edn", "cas-register", ("--initial", "0"), False),
        ("elle/set.edn", "set", (), True),
    ],
)
def test_a_sample_gets_its_verdict(
    file: str, name: str, options: tuple[str, ...], valid: bool
) -> None:
    path = SAMPLES / file
    if not path.exists():
        pytest.skip(f"no {path}")
    found = concur_json("check", str(path), "--model", name, *options, status=0 if valid else 1)
    assert (found["valid"], found["model"]) == (valid, name)


def cas_that_failed() -> History:
    made = History("cas-register")
    for process, f, value, type_ in (
        (0, "read", None, "ok"),
        (0, "cas", (1, 2), "fail"),
        (0, "read", None, "ok"),
    ):
        told: Any = 1 if f == "read" else value
        made.complete(made.invoke(process, f, None, value, len(made)), type_, told, len(made))  # type: ignore[arg-type]
    return made


def test_the_options_reach_the_model(tmp_path: Path) -> None:
    file = str(tmp_path / "h.jsonl")
    write_history(cas_that_failed(), file)
    arguments = ("check", file, "--model", "cas-register", "--initial")
    assert concur_json(*arguments, "1")["valid"] is True
    assert concur_json(*arguments, "null", status=1)["valid"] is False
    assert concur_json(*arguments, "1", *EVIDENCE, status=1)["valid"] is False
    assert concur_json(*arguments, "1", "--consistency", "sequential")["valid"] is True
    evidence = (*arguments, "1", *EVIDENCE, "--consistency", "sequential")
    assert concur_json(*evidence, status=1)["valid"] is False
    assert "--initial: 'x', expected JSON" in refused(*arguments, "x")
    assert "--initial: '[[', expected JSON" in refused(*arguments, "[[")
    assert "model cas-register: initial (1,), expected null" in refused(*arguments, "[1]")
    assert "failed_cas 'maybe', expected" in refused(*arguments, "1", "--failed-cas", "maybe")


def test_an_assertion_takes_them_too() -> None:
    made = cas_that_failed()
    assert assert_consistent(made, initial=1).valid is True
    with pytest.raises(AssertionError, match="is not linearizable"):
        assert_consistent(made, initial=1, failed_cas="evidence")
    with pytest.raises(BadInput, match="expected with a name only"):
        assert_consistent(made, model("kv"), initial=1)
    assert check(made, model("register", initial=1)).valid is True
