"""Transcripts: the command language, the comparison, and the rewriting."""

from pathlib import Path

import pytest

from concur.errors import BadInput
from concur.testing.transcripts import Transcript, parse, replay, run_transcript

START = "quiet start unreplicated replicas=1 clients=1 machine=register"


def say(*commands: str) -> str:
    session = Transcript()
    return [session.do(command) for command in (START, *commands)][-1]


def test_a_command_is_shown_in_the_words_of_the_machine() -> None:
    assert "write hello" in say("invoke c1 write hello", "stabilize")


def test_quiet_shows_only_what_is_decided_and_completed() -> None:
    lines = say("invoke c1 write 1", "quiet stabilize").splitlines()
    assert lines
    assert all(" decides " in line or " completes " in line for line in lines)


def test_a_restart_keeps_what_is_durable_and_a_wipe_does_not() -> None:
    done = ("invoke c1 write 1", "stabilize", "restart r1", "show r1 machine_state")
    assert say(*done) == "machine_state = 1"
    assert "machine_state" not in say("invoke c1 write 1", "stabilize", "wipe r1", "show r1")


def test_letters_can_be_lost_and_doubled() -> None:
    assert say("invoke c1 write 1", "drop c1 r1").startswith("lost: c1 -> r1 Request")
    assert say("invoke c1 write 1", "drop all", "pending") == ""
    assert say("invoke c1 write 1", "duplicate all Request", "pending").count("under way") == 2


def test_a_timer_rings_when_it_is_told_to() -> None:
    assert say("invoke c1 write 1", "drop all", "timer c1 retry -1").startswith("c1: timer retry")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("dance", "expected one of"),
        ("deliver r1", "selector"),
        ("timer r1 lunch", "armed are"),
        ("crash r9", "no node 'r9'"),
        ("show r1 nonsense", "expected some of"),
        ("start no-such-protocol", "expected one of"),
        ("start unreplicated replicas=many", "whole number"),
        ("invoke c1 fly", "expected one of"),
        ("run fast", "expected seconds"),
        ("quiet", "expected a command"),
        ('invoke c1 write "open', "quotation mark"),
        ("crash", "missing"),
    ],
)
def test_a_wrong_command_gets_one_clear_line(command: str, hint: str) -> None:
    with pytest.raises(BadInput, match=hint) as refused:
        say(command)
    assert "\n" not in str(refused.value)


def test_a_block_without_a_rule_is_refused_with_its_line() -> None:
    with pytest.raises(BadInput, match="mine, line 3"):
        parse("# one\nstart paxos\nstabilize\n", "mine")


def test_comments_and_empty_lines_stay() -> None:
    text = f"# first\n\n{START}\n----\n\n# last\n"
    assert replay(text) == text


def test_a_difference_is_shown_and_rewriting_settles_it(tmp_path: Path) -> None:
    file = tmp_path / "story.txt"
    file.write_text(f"{START}\n----\nsomething else\n")
    with pytest.raises(AssertionError, match=r"-something else(.|\n)*--rewrite-transcripts"):
        run_transcript(file)
    run_transcript(file, rewrite=True)
    run_transcript(file)


def test_the_plugin_collects_and_rewrites(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["concur.testing.plugin"]')
    folder = pytester.mkdir("transcripts")
    (folder / "a_story.txt").write_text(f"{START}\n----\nwrong\n")
    pytester.mkdir("other").joinpath("not_a_story.txt").write_text("nothing")
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider").ret == 1
    rewritten = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--rewrite-transcripts")
    rewritten.assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
