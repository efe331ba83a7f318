"""Jepsen's EDN: what it means, what is refused, and that nothing is lost on the way."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.histories import Event, History, read_edn, read_history, write_edn, write_history
from concur.histories.formats import base, edn, writer

texts = st.text() | st.sampled_from([":x", "::x", ": x", ":"])
scalars = st.none() | st.booleans() | st.integers() | texts | st.binary()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=8)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any history that the rules of processes allow."""
    history = History()
    free = list(range(4))
    clock = [draw(st.integers(-50, 50)) for _ in free]
    open_: dict[int, int] = {}
    for _ in range(draw(st.integers(0, 12))):
        slot = draw(st.sampled_from(range(4)))
        clock[slot] += draw(st.integers(0, 2))
        if slot not in open_:
            f = draw(st.sampled_from(["read", "put", "cas", "fetch-add"]) | texts)
            key, value = draw(values), draw(values)
            open_[slot] = history.invoke(free[slot], f, key, value, clock[slot])
        else:
            kind = draw(st.sampled_from(["ok", "fail", "info"]))
            error = draw(st.none() | texts)
            history.complete(open_.pop(slot), kind, draw(values), clock[slot], error)
            if kind == "info":
                free[slot] = max(free) + 1
    return history


@settings(max_examples=200, deadline=None, derandomize=True)
@given(history=histories(), ending=st.sampled_from(["jsonl", "edn"]))
def test_reading_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, history: History, ending: str
) -> None:
    path = str(tmp_path_factory.getbasetemp() / f"round.{ending}")
    write_history(history, path)
    again = read_history(path)
    assert repr(again.operations()) == repr(history.operations())  # repr tells 1 from True
    assert again.digest() == history.digest()


def read(text: str | bytes, tmp_path: Path) -> History:
    path = tmp_path / "h.edn"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_history(str(path))


def results(text: str, tmp_path: Path) -> list[Any]:
    return [
        (op.f, op.key, op.value, op.type, op.result) for op in read(text, tmp_path).operations()
    ]


INVOKE = "{:process 0, :type :invoke, :f :read, :value nil}"
OK = "{:process 0, :type :ok, :f :read, :value 1}"


@pytest.mark.parametrize(
    "text",
    [
        f"{INVOKE}\n{OK}\n",
        f"[{INVOKE} {OK}]",
        f"({INVOKE}\n ; why not\n {OK})",
        f";; begins with\n;; remarks {{\n{INVOKE}{OK}",
        f"[{INVOKE},\r\n{OK},]\r\n",
        f"#jepsen.history.Op{INVOKE}\n#jepsen.history.Op {OK}",
        f"{INVOKE} #_{OK} {OK}",
        INVOKE.replace(", ", "\n ") + "\n" + OK.replace(" ", "\t"),
        f"{{:process :nemesis, :type :info, :f :kill, :value #{{:n1 0.5}}}}\n{INVOKE}\n{OK}",
        f"{INVOKE}\n" + OK.replace(":value", ':error [:timeout #inst "2020" 1.5 foo] :value'),
    ],
)
def test_one_history_may_be_written_in_many_ways(text: str, tmp_path: Path) -> None:
    assert results(text, tmp_path) == [("read", None, None, "ok", 1)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-17", -17),
        ("99999999999999999999N", 99999999999999999999),
        ('"a\\n\\"\\u00e9\\ud83d\\ude00"', 'a\n"\u00e9\U0001f600'),
        ('"two\nlines"', "two\nlines"),
        (":x", ":x"),
        ('"x"', "x"),
        ("\\x", "x"),
        ("[1 (2 3) [] #{4}]", (1, (2, 3), (), (4,))),
        ('#base64 "AP8="', b"\x00\xff"),
        ("[true false nil #_ 1]", (True, False, None)),
    ],
)
def test_a_value_is_what_it_says(text: str, value: Any, tmp_path: Path) -> None:
    found = read(f"{INVOKE}\n{OK.replace('1', text)}", tmp_path).operations()
    assert repr(found[0].result) == repr(value)


def test_without_times_the_order_in_the_file_is_that_of_time(tmp_path: Path) -> None:
    (op,) = read(f"{INVOKE}\n{OK}", tmp_path).operations()
    assert (op.call_ns, op.return_ns) == (0, 1)


def test_a_time_that_goes_back_within_a_process_is_the_one_before(tmp_path: Path) -> None:
    one = INVOKE.replace("}", " :time 9}") + OK.replace("}", " :time 5}")
    (op,) = read(one, tmp_path).operations()
    assert (op.call_ns, op.return_ns) == (9, 9)


def test_keyed_values_are_taken_apart(tmp_path: Path) -> None:
    text = """
    {:process 0 :type :invoke :f :cas :value ["x" [1 2]]}
    {:process 1 :type :invoke :f :read :value ["y" nil]}
    {:process 1 :type :info :f :read :value :timed-out}
    {:process 0 :type :ok :f :cas :value ["x" [1 2]]}"""
    assert results(text, tmp_path) == [
        ("cas", "x", (1, 2), "ok", (1, 2)),
        ("read", "y", None, "info", None),
    ]
    assert results(text.replace('["x" [1 2]]', "[1 2]", 2).replace('["y" nil]', "nil"), tmp_path)[
        0
    ] == ("cas", None, (1, 2), "ok", (1, 2)), "two scalars are old and new"
    with pytest.raises(BadInput, match=r"line 3: expected \[key value\] as in the events before"):
        read(text.replace('["y" nil]', "nil"), tmp_path)


def test_transactions_are_one_operation_each(tmp_path: Path) -> None:
    text = "{:process 0 :type :invoke :value [[:append 1 2] [:r 1 nil]]}"
    assert results(text, tmp_path) == [
        ("txn", None, (("append", 1, 2), ("r", 1, None)), "info", None)
    ]


BAD = {
    "an atom": (f"{INVOKE}\nfoo", "line 2: expected an event, a map such as"),
    "a number at first": ("[1 2]", "line 1: expected an event in one of the formats"),
    "a vector": (f"[{INVOKE}\n[1 2]]", "line 2: expected an event, a map such as"),
    "no closing": (f"{INVOKE}\n{OK[:-1]}", "line 2: expected an event, found half of one: .*cut"),
    "an open vector": (f"[{INVOKE}\n{OK}\n", r"expected the \[ around the events to be closed"),
    "the wrong bracket": (OK.replace("}", "]"), r"line 1: expected what closes \{, found \]"),
    "one too many": (INVOKE + "}", "line 1: expected an event, found }"),
    "after the end": (f"[{INVOKE}]\n{OK}", "line 2: expected an event"),
    "an odd map": (f"{INVOKE}\n{{:process 0 :type}}", "line 2: expected a map of pairs"),
    "twice": (INVOKE.replace("}", " :f :read}"), "line 1: expected one :f, found two"),
    "an endless string": (f'{INVOKE}\n{OK[:-2]} "abc', "line 2: expected the string to end"),
    "an unknown escape": (OK.replace("1", '"\\q"'), r"expected an escape such as .*found \\q"),
    "half a pair": (OK.replace("1", '"\\ud800"'), "expected Unicode text"),
    "an endless name": (INVOKE.replace(":read", ":" + "r" * 5000), "line 1: expected a name"),
    "a float": (INVOKE.replace("nil", "1.5"), "line 1: expected a value .*, found 1.5"),
    "a symbol": (INVOKE.replace("nil", "[foo]"), "line 1: expected a value .*, found foo"),
    "a map": (INVOKE.replace("nil", "{:a 1}"), "line 1: expected a value .*, found a map"),
    "a tag": (INVOKE.replace("nil", '#inst "2020"'), "found a value with the tag #inst"),
    "no base64": (INVOKE.replace("nil", '#base64 "%"'), "expected base64"),
    "a tag of nothing": (INVOKE.replace("nil}", "#inst}"), "expected a form after # and its name"),
    "an endless number": (INVOKE.replace("nil", "9" * 5000), "expected an integer of at most 4000"),
    "endless nesting": (INVOKE.replace("nil", "[" * 1000), "expected at most 64 levels of nesting"),
    "no process": (INVOKE.replace(":process 0, ", ""), "expected an integer as :process, found no"),
    "no type": (INVOKE.replace(":type :invoke, ", ""), "expected :invoke, :ok, :fail or :info"),
    "a list as type": (INVOKE.replace(":invoke", "[]"), "expected :invoke, :ok, :fail or :info"),
    "no f": (INVOKE.replace(":f :read, ", ""), "expected a keyword as :f"),
    "one time": (INVOKE.replace("}", " :time 5}") + f"\n{OK}", "line 2: expected nanoseconds"),
    "a huge time": (INVOKE.replace("}", f" :time {2**63}}}"), "expected nanoseconds, in 64 bits"),
    "ok first": (OK, "line 1: expected an invoke of process 0 before its ok"),
    "two at a time": (f"{INVOKE}\n{INVOKE}", "line 2: expected process 0 to complete its read of"),
    "not UTF-8": (INVOKE.encode() + b"\n{:f \xff}", "line 2: expected UTF-8, found byte 0xff"),
    "control characters": (INVOKE.replace("nil", "a\x1bc"), r"found a\\x1bc"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_in_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    with pytest.raises(BadInput, match=message) as caught:
        read(text, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'h.edn'}, line ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_blocks_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    for number in range(6):
        op = history.invoke(0, "put", '"}\n;', "a{;\n" * number, number)
        history.complete(op, "ok", ("x } y", ";"), number)
    path = str(tmp_path / "h.edn")
    write_edn(history, path)
    text = Path(path).read_text().replace("\\n", "\n")  # strings of several lines
    for whole in (text, f"[{text}]".replace("}\n{", "} {"), text.replace("}\n{", "}; {:a\n{")):
        Path(path).write_text(whole)
        for size in (1, 7, 30, 64, 1000):
            monkeypatch.setattr(base, "BLOCK_BYTES", size)
            assert read_edn(path).digest() == history.digest(), size


def test_what_is_held_at_once_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (base, edn):
        monkeypatch.setattr(module, "LINE_BYTES_MAX", 3000)
    monkeypatch.setattr(base, "BLOCK_BYTES", 1000)
    fine = "\n".join([INVOKE, OK] * 500)
    assert len(read(fine, tmp_path)) == 500
    long = INVOKE.replace("nil", '"' + "a" * 5000 + '"')
    lines = INVOKE.replace("nil", "[" + "1\n" * 5000 + "]")
    for text in (long, lines):
        with pytest.raises(BadInput, match="expected an event of at most 3000 bytes, found more"):
            read(text, tmp_path)


def test_what_is_no_value_is_not_written(tmp_path: Path) -> None:
    for value in (1.5, {"a": 1}, "\ud800"):
        event = Event(process=0, type="invoke", f="write", value=value, time=0, index=0)
        with pytest.raises(BadInput), writer(str(tmp_path / "h.edn")) as out:
            out.write([event])
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput, match=r"h.txt: expected a name that ends in .jsonl or .edn"):
        write_history(History(), str(tmp_path / "h.txt"))
