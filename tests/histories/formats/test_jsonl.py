"""History files: lossless, atomic, and clear about what is wrong with one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.histories import Event, History, JsonlWriter, read_jsonl, write_jsonl
from concur.histories.formats import base

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


def sample() -> History:
    history = History("kv")
    a = history.invoke(3, "put", "k", b"\x00\xff", 100)
    b = history.invoke(4, "read", None, None, 100)
    history.complete(a, "ok", b"\x00\xff", 200)
    history.complete(b, "info", None, 300, "timeout")
    history.invoke(3, "cas", 1, (True, "1"), 300)
    return history


def test_file_has_one_event_a_line_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    write_jsonl(sample(), str(path))
    lines = path.read_text().splitlines()
    assert lines == [
        '{"process":3,"type":"invoke","f":"put","key":"k","value":{"base64":"AP8="},'
        '"time":100,"index":0}',
        '{"process":4,"type":"invoke","f":"read","value":null,"time":100,"index":1}',
        '{"process":3,"type":"ok","f":"put","key":"k","value":{"base64":"AP8="},'
        '"time":200,"index":2}',
        '{"process":4,"type":"info","f":"read","value":null,"time":300,"index":3,'
        '"error":"timeout"}',
        '{"process":3,"type":"invoke","f":"cas","key":1,"value":[true,"1"],"time":300,"index":4}',
    ]
    assert [json.loads(line)["index"] for line in lines] == list(range(5))


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "h.jsonl")
    sample().write_jsonl(path)
    again = read_jsonl(path, "kv")
    assert again.operations() == sample().operations()
    assert again.digest() == sample().digest()
    assert again.model == "kv"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(key=values, asked=values, told=values)
def test_every_value_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory, key: Any, asked: Any, told: Any
) -> None:
    history = History()
    op = history.invoke(0, "put", key, asked, -5)
    history.complete(op, "ok", told, 1 << 62)
    path = str(tmp_path_factory.getbasetemp() / "values.jsonl")
    history.write_jsonl(path)
    (read,) = read_jsonl(path).operations()
    (written,) = history.operations()
    assert repr(read) == repr(written)  # repr tells 1 from True


def test_digest_tells_histories_apart() -> None:
    digests = set()
    for value in (1, True, "1", b"1", (1,), None):
        history = History()
        history.invoke(0, "write", None, value, 0)
        digests.add(history.digest())
    assert len(digests) == 6


OK = '{"process": 0, "type": "ok", "f": "get", "key": "k", "value": 1, "time": 9, "index": 1}'
INVOKE = '{"process": 0, "type": "invoke", "f": "get", "key": "k", "time": 5, "index": 0}'
INFO = OK.replace('"ok"', '"info"')

BAD = {
    "not JSON": ("get k 1\n", "line 1: expected an event, found: JSON is malformed"),
    "cut off": (INVOKE + "\n" + OK[:50], "line 2: expected an event, found half of one"),
    "no object": ("[1]\n", "line 1: expected an event, found: Expected `object`, got `array`"),
    "no time": (INVOKE.replace("time", "tiem"), "line 1: .*missing required field `time`"),
    "unknown type": (INVOKE.replace("invoke", "begin"), r"line 1: .*'begin'"),
    "text as process": (INVOKE.replace("0,", '"a",', 1), r"line 1: .*`int`, got `str`"),
    "a float": (
        INVOKE.replace('"time"', '"value": 1.5, "time"'),
        "line 1: expected a value .*, found 1.5",
    ),
    "an object": (
        INVOKE.replace('"time"', '"value": {"a": 1}, "time"'),
        "line 1: expected a value .*, found an object",
    ),
    "no base64": (
        INVOKE.replace('"time"', '"value": {"base64": "%"}, "time"'),
        "line 1: expected base64, found '%'",
    ),
    "time beyond 64 bits": (INVOKE.replace("5", "9" * 30), "line 1: expected an event"),
    "endless number": (INVOKE.replace("5", "9" * 9000), "line 1: expected an event"),
    "endless nesting": (
        INVOKE.replace('"time"', '"value": ' + "[" * 100_000 + ', "time"'),
        "line 1: expected an event",
    ),
    "ok first": (OK, "line 1: expected an invoke of process 0 before its ok"),
    "two at a time": (
        INVOKE + "\n" + INVOKE.replace('"index": 0', '"index": 1'),
        "line 2: expected process 0 to complete its get of line 1 before it invokes again",
    ),
    "return of info": (
        INVOKE + "\n" + INFO + "\n" + OK.replace('"index": 1', '"index": 2'),
        "line 3: expected nothing of process 0, which never returns after the info in line 2",
    ),
    "another f": (
        INVOKE + "\n" + OK.replace('"get"', '"put"'),
        'line 2: expected f "get" to complete the get of line 1, found "put"',
    ),
    "another key": (
        INVOKE + "\n" + OK.replace('"k"', "1"),
        'line 2: expected key "k" to complete the get of line 1, found 1',
    ),
    "back in time": (
        INVOKE + "\n" + OK.replace("9", "4"),
        "line 2: expected process 0 not to go back in time, from 5 to 4",
    ),
    "index twice": (
        INVOKE + "\n" + OK.replace('"index": 1', '"index": 0'),
        "line 2: expected an index above 0, found 0",
    ),
    "not UTF-8": ("\udcff\udcfe\n", "line 1: expected an event"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_in_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=message) as caught:
        read_jsonl(str(path))
    assert str(caught.value).startswith(f"{path}, line ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_missing_file_and_directory_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"No such file .*, expected a history file"):
        read_jsonl(str(tmp_path / "none.jsonl"))
    with pytest.raises(BadInput, match="directory, expected a history file"):
        read_jsonl(str(tmp_path))


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "h.jsonl"
    sample().write_jsonl(str(path))
    monkeypatch.setattr(base, "LINE_BYTES_MAX", 80)
    with pytest.raises(BadInput, match="line 1: expected an event of at most 80 bytes"):
        read_jsonl(str(path))


def test_last_line_needs_no_newline_and_members_may_be_missing_or_unknown(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(
        '{"process":0,"type":"invoke","f":"get","key":"k","time":1,"node":"n1"}\n\n'
        '{"process":0,"type":"ok","f":"get","value":7,"time":2}'
    )
    (op,) = read_jsonl(str(path)).operations()
    assert (op.key, op.value, op.result, op.return_ns) == ("k", None, 7, 2)


def test_processes_need_not_be_merged_by_time(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    lines = [INVOKE, OK, INVOKE.replace("0,", "1,", 1), OK.replace("0,", "1,", 1)]
    path.write_text("\n".join(line.rsplit(', "index"', 1)[0] + "}" for line in lines))
    assert [op.call_ns for op in read_jsonl(str(path)).operations()] == [5, 5]


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text("what was there\n")

    def interrupted() -> None:
        with JsonlWriter(str(path)) as out:
            out.write(sample().events())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "what was there\n"
    assert list(tmp_path.iterdir()) == [path]
    write_jsonl(sample(), str(path))
    assert len(path.read_text().splitlines()) == 5
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_a_file_is_up_to_the_umask_which_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)
        write_jsonl(sample(), str(tmp_path / "h.jsonl"))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert (tmp_path / "h.jsonl").stat().st_mode & 0o777 == 0o640


def test_what_is_no_value_is_not_written(tmp_path: Path) -> None:
    for value in (1.5, {"a": 1}, "\ud800"):
        event = Event(process=0, type="invoke", f="write", value=value, time=0, index=0)
        with pytest.raises(BadInput), JsonlWriter(str(tmp_path / "h.jsonl")) as out:
            out.write([event])
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput, match=r"No such file .*, expected a place that can be written"):
        sample().write_jsonl(str(tmp_path / "none" / "h.jsonl"))
