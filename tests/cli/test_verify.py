"""`concur verify`: what it prints, with which status, what it leaves behind, and how it stops."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from concur.cli import searching, terminal
from concur.cli.scenarios import budget_of, reductions_of, scenario_of, strategy_of
from concur.cli.verified import Answer, in_words, script
from concur.errors import BadInput
from concur.machines.kv import Get, Put
from concur.protocols.paxos import Paxos
from concur.verify import Counterexample, Verification
from concur.verify.engine.interning import TooMany
from concur.verify.reductions.reduced import REDUCTIONS
from concur.verify.verify import Attack
from tests.cli.helpers import concur, concur_json, refused
from tests.cli.test_process import CONCUR
from tests.processes import hear_ctrl_c

SMALL = ("verify", "unreplicated", "--timeouts", "0", "--strategy", "breadth-first")
R3TERM = ("verify", "tests.mutants.raft:R3Term", "--faults", "crash=1", "--timeouts", "election=1")
KEYS = {
    "protocol", "verdict", "exhausted", "covered", "bounds", "commands", "unique_states",
    "transitions", "depth", "seconds", "strategy", "reductions", "stopped_by", "seed", "property",
    "reason", "trace", "minimised", "transcript",
}  # fmt: skip


# --- it holds -------------------------------------------------------------------------------------


def test_what_holds_is_said_first_and_then_exactly_what_was_covered() -> None:
    done = concur(*SMALL)
    assert (done.exit_code, done.stderr) == (0, "")
    verdict, covered, states, commands, parameters, how = done.stdout.splitlines()
    assert verdict == "HOLDS"
    assert covered == (
        "exhausted: unreplicated, 3 replicas, 2 clients, 2 commands, 3 copies of a message, any "
        "loss, no batches, no timeouts, no ticks, no crashes, no wipes, no duplicates"
    )
    assert commands == "commands: put x v1.1; put x v2.1"
    assert parameters == "parameters: all as by default"
    assert re.match(r"\d+ states of unreplicated, 3 replicas, depth \d+, reduced by dead ", states)
    assert re.fullmatch(
        r"breadth-first: \d+ transitions in [\d.]+ s, [\d,]+ states a second; seed 0", how
    )


def test_json_has_the_keys_that_scripts_rely_on() -> None:
    found = concur_json(
        *SMALL, "--faults", "crash=1", "-p", "deadline_s=9.0", "--reductions", "none"
    )
    assert found.keys() >= KEYS
    assert (found["verdict"], found["exhausted"], found["trace"]) == ("holds", True, [])
    assert found["bounds"]["crash"] == 1
    assert found["bounds"]["loss"] == "any"
    assert found["bounds"]["parameters"] == {"deadline_s": 9.0}
    assert found["unique_states"] == 258
    assert found["covered"].startswith("exhausted: unreplicated, 3 replicas, 2 clients, ")


def test_parameters_that_are_not_the_defaults_are_told() -> None:
    done = concur(*SMALL, "-p", "deadline_s=9.0")
    assert "parameters: deadline_s=9.0" in done.stdout.splitlines()


def test_commands_may_be_those_of_each_client() -> None:
    done = concur(*SMALL, "--commands", 'put x "a, b", get x; get x;')
    assert done.exit_code == 0, done.output
    assert 'commands: put x "a, b", get x; get x; ' in done.stdout.splitlines()
    assert "3 clients, 3 commands" in done.stdout


def test_other_machines_take_commands_of_their_own() -> None:
    done = concur(*SMALL, "--machine", "queue", "--commands", "enqueue q 1, dequeue q; dequeue q")
    assert done.exit_code == 0, done.output
    assert "commands: enqueue q 1, dequeue q; dequeue q" in done.stdout


def test_loss_without_a_number_is_always_there_and_with_one_it_is_counted() -> None:
    plain = concur_json(*SMALL, "--reductions", "none")
    lossy = concur_json(*SMALL, "--reductions", "none", "--faults", "loss")
    assert lossy["unique_states"] == plain["unique_states"]
    counted = concur_json(*SMALL, "--reductions", "none", "--faults", "loss=1,duplicate=1")
    assert (counted["bounds"]["loss"], counted["bounds"]["duplicate"]) == (1, 1)
    assert counted["unique_states"] > plain["unique_states"]
    assert "1 duplicate, 1 loss, no batches" in counted["covered"]


def test_what_is_left_out_can_be_chosen_and_is_told() -> None:
    paxos = ("verify", "paxos", "--timeouts", "0", "--strategy", "breadth-first")
    counts = {}
    for asked, used in (
        ("none", []),
        ("sleep-sets", ["sleep sets"]),
        ("dead-messages, dominated states", ["dead messages", "dominated states"]),
    ):
        found = concur_json(*paxos, "--clients", "1", "--commands", "1", "--reductions", asked)
        assert (found["verdict"], found["reductions"]) == ("holds", used)
        counts[asked] = found["transitions"]
    assert max(counts, key=lambda asked: counts[asked]) == "none"
    for name in REDUCTIONS:
        assert reductions_of(name) == reductions_of(name.replace(" ", "-")) == (name,)


@pytest.mark.parametrize("how", [("--processes", "2"), ("--fingerprints",)], ids="".join)
def test_other_ways_to_search_see_the_same_states(how: tuple[str, ...]) -> None:
    asked = (*SMALL, "--faults", "crash=1", "--reductions", "none")
    plain, other = concur_json(*asked), concur_json(*asked, *how)
    for key in ("verdict", "covered", "unique_states", "transitions", "depth"):
        assert other[key] == plain[key]


def test_processes_share_the_memory() -> None:
    assert budget_of(1.0, None, "8GB", 4).bytes == 2 * 10**9
    assert budget_of(1.0, None, "8GB", -1).bytes == 8 * 10**9 // (os.cpu_count() or 1)


def test_a_user_s_own_protocol_is_found_by_its_module() -> None:
    done = concur("verify", "examples.primary_backup:PrimaryBackup", "--timeouts", "0", "--clients",
                  "1", "--commands", "1", "--strategy", "depth-first")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "exhausted: primary-backup" in done.stdout


def test_clocks_operators_and_what_was_before_are_bounds_too() -> None:
    done = concur(
        "verify", "raft", "--clients", "1", "--commands", "0", "--timeouts", "0", "--strategy",
        "breadth-first", "--prologue", "quiet", "--order", "leader=r2", "--clock", "1", "--spares",
        "1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    covered = done.stdout.splitlines()[1]
    assert "1 spare, orders leader=r2, prologue quiet, 1 client" in covered
    assert "clock 1" in covered


def test_liveness_says_what_it_assumes() -> None:
    arguments = ("verify", "paxos", "--clients", "1", "--commands", "1", "--timeouts", "0")
    done = concur(*arguments, "--liveness")
    assert done.exit_code == 0, done.output
    verdict, covered, bounds, assumed, *_ = done.stdout.splitlines()
    assert verdict == "HOLDS"
    assert covered.startswith("exhausted: ")
    assert "all was answered" in covered
    assert bounds.startswith("bounds: paxos, 3 replicas, 1 client, 1 command")
    assert assumed.startswith("assumed: faults have stopped")
    found = concur_json(*arguments, "--liveness")
    assert found.keys() >= KEYS | {"assumed", "situations", "after", "lasso"}


# --- it is violated -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("broken")
    files = {"save": "why.json", "diagram": "why.svg", "regression-test": "test_why.py"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    return concur(*R3TERM, *options), folder


def test_a_violation_is_told_with_its_reason_and_numbered_events(broken: tuple[Any, Path]) -> None:
    done, _ = broken
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "VIOLATED: terms_never_decrease_along_the_log"
    assert lines[1] == "  broken at r1"
    events = [line for line in lines if re.match(r"  \d  ", line)]
    assert events == ["  1  r1 timer election", "  2  r1: crash", "  3  r1: restart"]
    assert any(line.startswith("not exhausted (stopped at a violation)") for line in lines)
    assert any(line.startswith("bounds: mutant-r3-term, 3 replicas, 2 clients") for line in lines)
    assert any(line.startswith("  with mutant-r3-term, 1 replica, ") for line in lines)


def test_messages_are_told_in_the_words_of_transcripts() -> None:
    done = concur(*R3TERM, "--no-minimise")
    assert done.exit_code == 1
    assert re.search(
        r"r. -> r.: RequestPreVote\(term=1, name=r., last_index=0, last_term=0\)\n", done.stdout
    )
    assert "Packet(" not in done.stdout


def test_what_was_asked_for_is_written(broken: tuple[Any, Path]) -> None:
    done, folder = broken
    assert sorted(file.name for file in folder.iterdir()) == ["test_why.py", "why.json", "why.svg"]
    assert done.stderr.count("wrote ") == 3
    assert "<svg" in (folder / "why.svg").read_text()
    assert "def test_" in (folder / "test_why.py").read_text()
    again = concur("replay", str(folder / "why.json"), "--protocol", R3TERM[1])
    assert again.exit_code == 0, again.output
    assert "terms_never_decrease_along_the_log" in again.stdout


def test_a_violation_in_json() -> None:
    found = concur_json(*R3TERM, status=1)
    assert found.keys() >= KEYS
    assert found["property"] == "terms_never_decrease_along_the_log"
    assert found["trace"] == ["r1: r1 timer election", "r1: crash", "r1: restart"]
    assert found["minimised"] is True
    assert "r1 starts (restart)" in found["transcript"]


def test_a_trace_is_left_as_it_was_found_if_one_wants_it() -> None:
    found = concur_json(*R3TERM, "--no-minimise", status=1)
    assert found["minimised"] is False
    assert len(found["trace"]) > 3
    again = concur_json(*R3TERM, "--no-minimise", status=1)
    assert again["trace"] == found["trace"], "it is a function of the seed"


def test_a_transcript_tells_what_each_node_does() -> None:
    done = concur(*R3TERM, "--transcript")
    assert done.exit_code == 1
    assert "timer r1 election\n----\nr1: timer election\n  persists " in done.stdout


def test_a_command_that_is_never_answered_is_told_until_its_client_gives_up() -> None:
    asked = ("verify", "tests.testing.bad_protocols:LosesMessages", "--clients", "1", "--commands",
             "1", "--timeouts", "0", "--liveness")  # fmt: skip
    done = concur(*asked)
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "VIOLATED: every_command_is_answered"
    assert "  1  c1: asks for its command 1" in lines
    stop = lines.index(next(x for x in lines if x.startswith("  and then faults stop; r1 first, ")))
    assert lines[stop + 1].startswith("     r1: timer repeat rings after ")
    assert any(re.match(r" +\.\.\. \d+ more events, which --json has", x) for x in lines)
    found = concur_json(*asked, status=1)
    assert found["after"][-1] in "\n".join(lines)
    assert len(found["after"]) > 40


# --- it is unknown --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "stopped_by"),
    [
        (("--max-states", "500"), "states"),
        (("--max-memory", "1MB"), "memory"),
        (("--budget-s", "0"), "seconds"),
        (("--budget-s", "0.3"), "seconds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
@pytest.mark.parametrize("strategy", [s.replace(" ", "-") for s in get_args(Attack)])
def test_a_budget_that_is_used_up_gives_status_3_and_what_there_is(
    strategy: str, arguments: tuple[str, ...], stopped_by: str
) -> None:
    asked = ("verify", "raft", "--strategy", strategy, *arguments)
    found = concur_json(*asked, status=3)
    assert (found["verdict"], found["exhausted"]) == ("unknown", False)
    assert found["stopped_by"] == stopped_by
    assert found["covered"].startswith(f"not exhausted (stopped by {stopped_by})")
    done = concur(*asked)
    assert done.exit_code == 3
    assert done.stdout.startswith(f"UNKNOWN: the {stopped_by} of its budget are used up\n") or (
        stopped_by == "memory" and done.stdout.startswith("UNKNOWN: the memory of its budget is")
    )
    assert "\nnot exhausted (stopped by " in done.stdout


def test_nothing_is_written_if_nothing_is_wrong(tmp_path: Path) -> None:
    done = concur(*SMALL, "--save", str(tmp_path / "why.json"))
    assert done.exit_code == 0
    said = " ".join(done.stderr.split())
    assert said.startswith("concur: there is no counter-example, ")
    assert said.endswith("why.json is not written")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status", "stopped_by", "reason"),
    [
        (KeyboardInterrupt(), 130, "interrupted", ""),
        (MemoryError(), 3, "memory", ""),
        (TooMany("more than 16 local states of r1"), 3, "states", "more than 16 local states"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_search_that_cannot_answer_any_more_leaves_what_it_told_last(
    error: BaseException, status: int, stopped_by: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(self: Any, *_: Any, **__: Any) -> None:
        self.states, self.transitions, self.depth, self.phase = 700, 900, 8, "breadth-first"
        raise error

    monkeypatch.setattr(searching.Search, "holds", told)
    found = concur_json(*SMALL, status=status)
    assert (found["verdict"], found["stopped_by"]) == ("unknown", stopped_by)
    assert (found["unique_states"], found["transitions"], found["depth"]) == (700, 900, 8)
    assert found["covered"] == f"not exhausted (stopped by {stopped_by}): at least 700 states"
    assert found["reason"].startswith(reason)


def test_ctrl_c_while_a_trace_is_explained_leaves_the_whole_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Counterexample, "minimised", interrupted)
    done = concur(*R3TERM)
    assert done.exit_code == 130
    assert done.stdout.startswith("VIOLATED: terms_never_decrease_along_the_log\n")
    assert ": restart\n" in done.stdout
    assert "stopped before the trace was explained" in done.stderr


# --- how it stops and what it shows, as a process -------------------------------------------------


def in_terminal(*arguments: str, until: str = "") -> tuple[int, str, str]:
    """Status, stdout, and what its stderr shows, a terminal. Ctrl-C comes once that has `until`."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*CONCUR, "verify", "raft", *arguments], stdout=subprocess.PIPE, stderr=theirs, text=True,
        env={**os.environ, "COLUMNS": "120"}, preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    try:
        while True:
            try:
                shown += os.read(ours, 4096).decode("utf-8", "replace")
            except OSError:  # the other end is closed
                break
            if until and until in shown:
                process.send_signal(signal.SIGINT)
                until = ""
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(ours)
    return process.returncode, out, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


@pytest.mark.skipif(os.name == "nt", reason="no terminals of this kind there")
@pytest.mark.parametrize("strategy", ["walks", "breadth-first", "depth-first", "deepening"])
def test_ctrl_c_gives_status_130_and_what_there_is(strategy: str) -> None:
    status, out, shown = in_terminal(
        "--strategy", strategy, "--budget-s", "60", "--json", until=f"{strategy}: "
    )
    assert status == 130, shown
    assert "Traceback" not in shown
    found = json.loads(out)
    assert (found["verdict"], found["stopped_by"]) == ("unknown", "interrupted")
    assert found["unique_states"] > 0
    assert shown.endswith(f"concur: stopped after {found['unique_states']:,} states\r\n")


@pytest.mark.skipif(os.name == "nt", reason="no terminals of this kind there")
def test_a_terminal_shows_how_far_it_is_and_in_which_phase() -> None:
    status, out, shown = in_terminal("--budget-s", "8")
    figures = r": [\d,]+ states, [\d,]+ a second, queue [\d,]+, depth \d+, \d+ s"
    assert re.search("walks" + figures, shown)
    assert re.search("breadth-first" + figures, shown)
    assert status == 3
    assert out.startswith("UNKNOWN: ")


CTRL_C_AT = """
import sys
module = sys.argv[1]

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
from concur.cli import main
sys.argv[1:] = ["verify", "raft", "--budget-s", "1"]
main()
"""


@pytest.mark.parametrize(
    "module",
    [
        "typer",
        "concur.cli.verified",
        "concur.protocols",
        "concur.verify.scenario",
        "concur.verify.walks.walk",
    ],
)
def test_ctrl_c_at_the_start_prints_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_AT, module], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_elsewhere_a_line_now_and_then_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("verify", "raft", "--budget-s", "2", "--strategy", "breadth-first")
    assert concur(*asked).stderr == ""
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.0)
    done = concur(*asked, "--json")
    assert done.stderr.startswith("concur: verifying, breadth-first: ")
    assert isinstance(json.loads(done.stdout), dict)


# --- wrong input ----------------------------------------------------------------------------------


@pytest.fixture
def _nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    searches = sys.modules["concur.verify.verify"]  # as a name it is the function
    for search in ("explore", "walk"):
        monkeypatch.setattr(searches, search, lambda *_, **__: pytest.fail("something ran"))


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("poxas", "protocol 'poxas': unknown, expected one of "),
        ("no.such.module:Raft", "cannot import no.such.module"),
        ("", "Missing argument"),
        ("paxos --quick", "No such option: --quick"),
        ("paxos -p speed=9", "expected NAME=VALUE with a name among"),
        ("paxos --replicas 0", "replicas: 0, expected a whole number of at least 1"),
        ("paxos --clients -1", "clients: -1, expected a whole number from 0"),
        ("paxos --clients many", "--clients"),
        ("paxos --commands 1000", "commands: 1000, expected a whole number from 0 to 100"),
        ("paxos --commands -1", "'-1' is none of machine kv, expected a number, or get KEY, put"),
        ("paxos --commands 'put x'", "'put x' is none of machine kv, expected a number, or get"),
        ("paxos --commands 'get x,, get x'", "an empty command, expected get KEY, put KEY VALUE"),
        ("paxos --commands 'put x \"a'", "a quotation mark is open"),
        ("paxos --clients 3 --commands 'get x; get x'", "of 2 clients, expected those of 3"),
        ("paxos --machine register", "--commands 2: expected those of each client for machine reg"),
        ("paxos --machine toaster", "machine 'toaster': unknown, expected one of"),
        ("paxos --faults crush=1", "faults: 'crush', expected one of crash, wipe"),
        ("paxos --faults crash=often", "--faults crash=often: expected a whole number, as in"),
        ("paxos --faults crash=1,crash=2", "--faults: crash is named twice, expected each kind"),
        ("paxos --faults partition=2", "--faults partition=2: there are any partitions, expected"),
        ("paxos --faults jump=1", "there are no wall clocks"),
        ("paxos --clock -1", "clock_max: -1, expected a whole number from 0"),
        ("paxos --faults crash=99999", "faults crash: 99999, expected a whole number from 0 to"),
        ("paxos --timeouts election=1", "paxos has no timer 'election', expected a number, or so"),
        ("paxos --timeouts ballot=x", "--timeouts ballot=x: expected a whole number"),
        ("paxos --timeouts ballot@r9=1", "node 'r9', expected one of r1, r2, r3, c1, c2"),
        ("paxos --timeouts 99999", "timeouts_max: 99999, expected a whole number from 0 to"),
        ("paxos --ticks -1", "ticks_max: -1, expected a whole number from 0"),
        ("paxos --copies 0", "--copies: 0, expected a whole number from 1 to"),
        ("paxos --strategy sideways", "--strategy 'sideways': expected one of walks-first, walks,"),
        ("paxos --reductions magic", "--reductions 'magic': expected some of all, none, dead-mess"),
        ("paxos --strategy walks --reductions symmetry", "strategy walks has none"),
        ("paxos --liveness --reductions all", "--reductions: expected none with --liveness"),
        ("paxos --processes 0", "--processes: 0, expected a whole number from 1 to"),
        ("paxos --processes 2 --strategy depth-first", "processes: strategy depth-first runs in"),
        ("paxos --processes 2 --reductions symmetry", "several processes, and fingerprints, go"),
        ("paxos --liveness --processes 2", "--processes: expected none with --liveness"),
        ("paxos --liveness --fingerprints", "--fingerprints: expected none with --liveness"),
        ("paxos --budget-s -1", "--budget-s: -1.0, expected a number from 0"),
        ("paxos --budget-s nan", "--budget-s: nan, expected a number from 0"),
        ("paxos --max-states 0", "--max-states: 0, expected a whole number from 1"),
        ("paxos --max-memory 12", "--max-memory '12': expected a size such as 500MB or 2GB"),
        ("paxos --max-memory lots", "--max-memory 'lots': expected a size such as 500MB or 2GB"),
        ("paxos --seed -1", "--seed -1: expected a whole number from 0"),
        ("paxos --spares 1", "spares: 1, but paxos never changes its members"),
        ("paxos --order leader=r2", "orders: paxos takes none"),
        ("raft --order leader=r9", "r9"),
        ("paxos --diagram why.png", "diagram why.png: expected a name that ends in .svg or .html"),
        ("paxos --save nowhere/why.json", "there is no folder nowhere"),
        ("paxos --regression-test .", "is a folder"),
        ("paxos --save a.svg --diagram a.svg", "is in use here already, expected another file"),
        ("paxos --liveness --strategy walks", "--strategy walks: leaves states out, expected br"),
        ("paxos --liveness --save why.json", "counter-example: expected none with --liveness"),
        ("raft -p reads=lease", "reads 'lease'"),
        ("tests.mutants.multi_paxos:PromiseOvertakesSync", "not modelled"),
    ],
)
def test_wrong_input_gets_one_clear_line(arguments: str, complaint: str, tmp_path: Path) -> None:
    import shlex

    assert complaint in refused("verify", *shlex.split(arguments))
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_a_prologue_that_cannot_happen_is_refused() -> None:
    assert "prologue, entry 2" in refused(*SMALL, "--prologue", "quiet", "--prologue", "r9 melts")


# --- what was typed, and what is printed ----------------------------------------------------------


def typed(**given: Any) -> Any:
    asked: dict[str, Any] = {
        "clients": None, "commands": "2", "machine": "kv", "faults": "none", "timeouts": "2",
        "copies_max": 3,
    }  # fmt: skip
    return scenario_of(Paxos(), **asked | given)


def test_commands_and_bounds_mean_what_they_say() -> None:
    scenario = typed(commands='put x a, get x; put "a b" 2', faults="crash,loss,duplicate=2")
    assert scenario.asked() == ((Put("x", "a"), Get("x")), (Put("a b", 2),))
    assert script(scenario) == 'put x a, get x; put "a b" 2'
    assert scenario.allowed() == {
        **dict.fromkeys(scenario.allowed(), 0),
        "crash": 1,
        "duplicate": 2,
    }
    assert scenario.late_is_lost is True
    counted = typed(faults="loss=0")
    assert (counted.late_is_lost, counted.bounds()["loss"]) == (False, 0)
    assert typed(timeouts="ballot@r1=1,retry=0").timeouts_max == "ballot@r1=1,retry=0"
    assert typed(timeouts="7").timeouts_max == 7
    assert typed(clients=4).clients == 4


@pytest.mark.parametrize(
    ("text", "bytes"),
    [("500MB", 500_000_000), ("2GB", 2 * 10**9), ("1.5gib", 3 * 2**29), ("64 KiB", 65536)],
)
def test_memory_has_units(text: str, bytes: int) -> None:
    assert budget_of(1.0, None, text).bytes == bytes


def test_without_a_limit_some_of_this_machine_s_memory_is_left() -> None:
    most = budget_of(1.0, None, None).bytes
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert most is not None
    assert 0 < most <= total * 3 / 4


def test_help_lists_the_strategies_of_the_library() -> None:
    shown = re.sub(r"[\s│]+", " ", concur("verify", "--help").stdout)
    for name in get_args(Attack):
        assert name.replace(" ", "-") in shown
        assert strategy_of(name) == strategy_of(name.replace(" ", "-")) == name
    for reduction in REDUCTIONS:
        assert reduction.replace(" ", "-") in shown
    with pytest.raises(BadInput, match="deepening"):
        strategy_of("deeper")


def test_the_examples_of_help_are_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import shlex

    from concur.cli.verify import EXAMPLES

    monkeypatch.chdir(tmp_path)
    lines = [line for line in EXAMPLES.splitlines() if line.startswith("concur verify")]
    assert len(lines) >= 4
    for line in lines:
        done = concur(*shlex.split(line)[1:], "--max-states", "300")
        assert done.exit_code in (0, 3), done.output


def test_bounds_in_words() -> None:
    bounds = {"replicas": 1, "crash": 2, "wipe": 0, "loss": "any", "timeouts": {"election": 2},
              "orders": ["leader=r2"], "turns": "batches", "gaps": 3, "parameters": {}}  # fmt: skip
    assert in_words("raft", bounds) == (
        "raft, 1 replica, 2 crashes, any loss, timeouts election=2, orders leader=r2, batches, "
        "gaps 3, no wipes"
    )


def test_nothing_is_claimed_to_be_exhausted_that_was_not() -> None:
    found = Verification(
        protocol="paxos", verdict="unknown", exhausted=False, unique_states=5, transitions=6,
        depth=2, seconds=0.0, bounds=typed().bounds(), covered="not exhausted (...)",
        strategy="walks",
    )  # fmt: skip
    assert Answer(typed(), found, 0).covered == "not exhausted (...)"
