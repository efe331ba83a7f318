"""Which format a file has, gzip, the other formats, and the samples that others have published."""

import gzip
import io
import sys
import zlib
from pathlib import Path

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import (
    History,
    check,
    read_edn,
    read_history,
    read_jsonl,
    write_history,
)
from concur.histories.formats import FORMATS, base, open_history, reading
from concur.machines import machine

SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "histories"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="samples are not in the package")


def sample() -> History:
    history = History()
    for number in range(20):
        op = history.invoke(0, "put", "x", number, 10 * number)
        history.complete(op, "ok", number, 10 * number + 5)
    return history


def put(folder: Path, text: str | bytes, name: str = "h") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


# --- which format ---------------------------------------------------------------------------------

HEADS = {
    "edn": ["{:type :invoke}", ";; a\n[{:a 1", "({:f :a}", "[\n #tag{:f 1}", "; nothing\n", "()"],
    "json": ['[{"a": 1}', "[]", ' [\n {\n "b"'],
    "jsonl": ['{"process": 0}', "", '{ "f": 1}'],
    "porcupine": [
        "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n",
        "INFO  jepsen.core - Starting\nINFO  jepsen.util - 0\t:invoke\t:read\tnil\n",
    ],
    "plume": ["w(0,1,1,1)\nr(0,4,1,-1)\n"],
    "awdit": ["w 0 0\n=====\nr 0 0\n---\n"],
    "dbcop": [b"".join(n.to_bytes(8, "little") for n in (0, 3, 1, 8, 15, 23)) + b"made by"],
    "cobra": [b"S" + bytes(8) + b"W" + bytes(24)],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_known_by_its_first_bytes(name: str) -> None:
    for head in HEADS[name]:
        bytes_ = head if isinstance(head, bytes) else head.encode()
        assert next(f.name for f in FORMATS.values() if f.detects(bytes_)) == name, head


@pytest.mark.parametrize("text", ["hello\n", "PK\x03\x04", "<html>", "a,b\n1,2", "\x1b[2J" * 50])
def test_what_no_format_has_is_refused(text: str, tmp_path: Path) -> None:
    path = put(tmp_path, text)
    with pytest.raises(BadInput, match="line 1: expected an event in one of the formats") as caught:
        read_history(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(path)


def test_a_format_that_is_named_is_believed(tmp_path: Path) -> None:
    path = put(tmp_path, "{:process 0 :type :invoke :f :read}\n")
    with pytest.raises(BadInput, match="line 1: expected an event, found: "):
        read_history(path, "jsonl")
    with pytest.raises(BadInput, match="format 'xml': unknown, expected one of edn, json, jsonl"):
        read_history(path, "xml")


def test_transactions_are_named_and_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "cobra"
    folder.mkdir()
    (folder / "T1.log").write_bytes(b"S")
    names = {str(folder): "cobra", put(tmp_path, "w(0,1,1,1)\n"): "plume"}
    for path, name in names.items():
        with pytest.raises(BadInput, match=rf"holds transactions \({name}: .* not checked yet"):
            read_history(path)
    with pytest.raises(BadInput, match="is a folder, expected a history file"):
        read_history(str(tmp_path))


# --- how the bytes come ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "edn"])
def test_gzip_is_unpacked_and_a_dash_is_standard_input(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"h.{ending}"
    write_history(sample(), str(path))
    packed = gzip.compress(path.read_bytes()[:300]) + gzip.compress(path.read_bytes()[300:])
    assert read_history(put(tmp_path, packed)).digest() == sample().digest()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
    assert read_history("-").digest() == sample().digest()


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    write_history(sample(), str(path))
    packed = gzip.compress(path.read_bytes())
    damaged = [packed[:-3], packed[:40], packed[:-8] + bytes(8), packed[:30] + b"??" + packed[32:]]
    for data in damaged:
        with pytest.raises(BadInput, match=r"line \d+: expected whole gzip data, found: "):
            read_history(put(tmp_path, data))


def test_a_bomb_is_refused_before_it_is_held(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    packed = b"".join(packer.compress(zeros) for _ in range(300)) + packer.flush()
    assert len(packed) < 400_000
    heads = {"jsonl": b'{"process', "edn": b"{:process ", "json": b'[{"a', "porcupine": b"INFO"}
    for name, head in heads.items():
        path = put(tmp_path, gzip.compress(head) + packed)
        with pytest.raises(BadInput, match="expected an event of at most 4194304 "):
            read_history(path, name)


def test_what_is_kept_of_a_history_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    for number in range(100):
        op = history.invoke(0, "enqueue", None, ((),) * 1000, number)
        history.complete(op, "ok", None, number, "e" * 1000)
    for name in ("h.edn", "h.jsonl"):
        path = str(tmp_path / name)
        write_history(history, path)
        monkeypatch.setattr(reading, "VALUES_BYTES_MAX", 10_000_000)
        assert read_history(path).digest() == history.digest()
        monkeypatch.setattr(reading, "VALUES_BYTES_MAX", 1_000_000)
        for read in (read_history, read_edn if name == "h.edn" else read_jsonl):
            with pytest.raises(BadInput, match=rf"{name}: more than 1000000 bytes of values"):
                read(path)
        with open_history(path) as (_, events):
            assert sum(1 for _ in events) == 200, "nothing is kept"


def test_events_may_be_had_while_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    write_history(sample(), str(path))
    broken = put(tmp_path, path.read_bytes() + b"oops\n")
    with open_history(broken) as (source, events):
        assert next(events).f == "put"
        assert source.line == 1
        done, total = source.progress()
        assert 0 < done <= total
        with pytest.raises(BadInput, match="line 41: expected an event"):
            list(events)


# --- the other formats ----------------------------------------------------------------------------

INVOKE = '{"process": 0, "type": "invoke", "f": "read", "value": null}'
OK = '{"process": 0, "type": ":ok", "f": ":read", "value": [1, "a"], "error": ["x", 1.5]}'


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_the_json_twin(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", size)
    for text in (f"[{INVOKE},\n{OK}]", f"[\n{INVOKE}, {OK}\n\n]\n"):
        (op,) = read_history(put(tmp_path, text)).operations()
        assert (op.f, op.type, op.result, op.return_ns) == ("read", "ok", (1, "a"), 1)
    assert len(read_history(put(tmp_path, "[ ]"))) == 0


HALF = '"\\ud800"'

BAD_JSON: dict[str, tuple[str, str]] = {
    "cut off": (f"[{INVOKE},\n{OK}", "line 2: expected , or ] after an event, found the end"),
    "half": (f"[{INVOKE},\n{OK[:30]}", "line 2: expected an event, found malformed JSON: "),
    "no comma": (f"[{INVOKE}\n{OK}]", "line 2: expected , or ] after an event, found '{'"),
    "nothing after": (f"[{INVOKE},", "line 1: expected an event, found the end"),
    "more after": (f"[{INVOKE}]\n{OK}", "line 2: expected nothing after the array"),
    "a number": (f"[{INVOKE},\n7]", "line 2: expected an event, an object"),
    "a float": (f"[{INVOKE.replace('null', '1.5')}]", "line 1: expected a value .*found 1.5"),
    "nesting": (f"[{INVOKE.replace('null', '[' * 99 + ']' * 99)}]", "arrays at most 64 deep"),
    "endless": (f"[{INVOKE.replace('null', '[' * 200_000)}]", "expected an event, found too deep"),
    "not UTF-8": (f"[{INVOKE},\n\udcff", "expected UTF-8"),
    "twice": (f'[{INVOKE},\n{OK[:-1]}, "f": 1}}]', "line 2: expected one 'f', found two"),
    "half a pair": (f"[{INVOKE.replace('null', HALF)}]", "line 1: expected Unicode text, found"),
    "half a pair as key": (
        f'[{INVOKE[:-1]}, "key": {HALF}}}, {OK[:-1]}, "key": 1}}]',
        "line 1: expected Unicode text, found half of a surrogate pair",
    ),
    "half a pair as error": (f'[{INVOKE[:-1]}, "error": {HALF}}}]', "line 1: expected Unicode"),
    "a slip": (
        f'[{INVOKE},\n{{"process": 0,\n "type" "ok"}},\n' + f"{INVOKE},\n" * 100_000,
        "line 3: expected an event, found malformed JSON: Expecting ':' delimiter$",
    ),
    "no quote": (
        f'[{INVOKE},\n{{"process": 0,\n "type": "ok}},\n' + f"{INVOKE},\n" * 100_000,
        "line 3: expected an event, found malformed JSON: Invalid control character at$",
    ),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, message = BAD_JSON[name]
    path = put(tmp_path, text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=message) as caught:
        read_history(path)
    assert str(caught.value).startswith(f"{path}, line ")
    assert str(caught.value).isprintable()


LOG = """INFO  jepsen.core - Starting
INFO  jepsen.util - 0\t:invoke\t:write\t1
INFO  jepsen.util - 0\t:ok\t:write\t1
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]
INFO  jepsen.util - 1\t:invoke\t:write\t3
INFO  jepsen.util - 0\t:fail\t:cas\t[1 2]
INFO  jepsen.util - 1\t:info\t:write\t:timed-out
"""


def test_porcupines_log_takes_a_failed_cas_for_evidence(tmp_path: Path) -> None:
    write, cas, lost = read_history(put(tmp_path, LOG)).operations()
    assert (write.result, write.call_ns, write.return_ns) == (1, 0, 1)
    assert (cas.value, cas.type, cas.error) == ((1, 2), "fail", "mismatch")
    assert (lost.type, lost.error, lost.return_ns) == ("info", "timed-out", None)
    never = LOG.replace("1\t:invoke\t:write\t3", "1\t:invoke\t:read\tnil")
    never = never.replace("1\t:info\t:write", "1\t:info\t:read")
    verdict = check(read_history(put(tmp_path, never)), machine("register"))
    assert verdict.valid is False, "the value was 1, and nothing changed it"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("INFO  jepsen.util - 0\t:ok", "line 4: expected process, type, f and value"),
        ("INFO  jepsen.util - 0\t:ok\t:read\t(", "line 4: expected one value"),
        ("INFO  jepsen.util - 0\t:ok\t:read\t1 2", "line 4: expected one value"),
        ("INFO  jepsen.util - 0\t:ok\t:read\t1.5", "line 4: .*, found 1.5"),
        ("hello", "line 4: expected process, type, f and value"),
    ],
)
def test_a_bad_line_of_a_log_is_refused(line: str, message: str, tmp_path: Path) -> None:
    text = "".join(LOG.splitlines(keepends=True)[:3]) + line
    with pytest.raises(BadInput, match=message):
        read_history(put(tmp_path, text.replace(":ok\t:read", ":invoke\t:read")))


# --- whatever a file may hold ---------------------------------------------------------------------

PIECES = [bytes([c]) for c in b'{}[]"\\:,#\n\t\xff\x00-;'] + [
    b"9" * 30, b"nil", b"invoke", b"\x1b[2J", b"1.5", b"\xed\xa0\x80", b"\\u00", b"#_"
]  # fmt: skip


@pytest.mark.parametrize("name", ["edn", "json", "jsonl", "porcupine"])
def test_a_damaged_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    chance = Stream(7, f"damaged {name}")
    write_history(sample(), str(tmp_path / "edn.edn"))
    write_history(sample(), str(tmp_path / "jsonl.jsonl"))
    texts = {
        "edn": (tmp_path / "edn.edn").read_bytes(),
        "json": f"[{INVOKE},\n{OK}]".encode(),
        "jsonl": (tmp_path / "jsonl.jsonl").read_bytes(),
        "porcupine": LOG.encode(),
    }
    refused = []
    for _ in range(400):
        damaged = texts[name]
        for _ in range(chance.between(1, 3)):
            at, cut = chance.below(len(damaged)), chance.below(3) * chance.below(30)
            damaged = damaged[:at] + chance.choice(PIECES) * chance.below(3) + damaged[at + cut :]
        path = put(tmp_path, damaged)
        try:
            read_history(path, name)
        except BadInput as error:
            refused.append(str(error))
    assert len(refused) > 100
    for line in refused:
        assert line.startswith(f"{path}, line ")
        assert "expected " in line
        assert line.isprintable()
        assert len(line) < 500 + len(path)


# --- samples --------------------------------------------------------------------------------------


@needs_samples
@pytest.mark.parametrize(
    ("name", "model", "valid"),
    [
        ("porcupine/etcd_000.log", "register", False),
        ("porcupine/etcd_007.log", "register", True),
        ("knossos/rethink-fail-minimal.edn", "register", False),
    ],
)
def test_published_samples_get_their_verdict(name: str, model: str, valid: bool) -> None:
    assert check(read_history(str(SAMPLES / name)), machine(model)).valid is valid


@needs_samples
@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("porcupine/c01-bad.txt", 38),
        ("porcupine/c01-ok.txt", 58),
        ("knossos/cas-register-bug.edn", 6),
        ("elle/set.edn", 4),
        ("elle/rw-register.edn", 3),
        ("elle/paper-example.edn", 4),
        ("elle/paper-example.json", 4),
    ],
)
def test_published_samples_are_read(name: str, operations: int) -> None:
    assert len(read_history(str(SAMPLES / name))) == operations


@needs_samples
@pytest.mark.parametrize(
    "name",
    [
        "awdit/lost-update.txt", "awdit/test-rc.txt", "cobra/cock-blog", "cobra/chengRW-100",
        "dbcop/galera.bincode", "isovista/pg_ser_bug.txt", "polysi/galera.txt",
    ],
)  # fmt: skip
def test_published_transactions_are_recognised(name: str) -> None:
    with pytest.raises(BadInput, match="holds transactions"):
        read_history(str(SAMPLES / name))


@needs_samples
def test_twins_are_twins() -> None:
    twins = [
        read_history(str(SAMPLES / "elle" / f"paper-example.{end}")) for end in ("edn", "json")
    ]
    assert twins[0].digest() == twins[1].digest()
