"""What a transport promises: order, whole frames, limits, and that nobody hurts anybody else."""

import asyncio
import logging
import os
import signal
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.serve.frames import (
    ROUTES_MAX,
    VERSION,
    Announce,
    Bye,
    Hello,
    Ping,
    Pong,
    Refused,
    control,
    header,
)
from concur.serve.transport import Limits
from tests.serve.sites import (
    DEADLINE_S,
    QUICK,
    Play,
    Site,
    Stranger,
    frame,
    hello,
    on_each_loop,
    pair,
    playing_on,
    until,
    warnings,
)

play_one = playing_on("asyncio")
NUMBERED = [b"%d" % n for n in range(1000)]


def limits(**changed: Any) -> Limits:
    values = {name: getattr(QUICK, name) for name in QUICK.__struct_fields__}
    return Limits(**{**values, **changed})


# --- delivery -------------------------------------------------------------------------------------


@on_each_loop
def test_frames_arrive_whole_and_in_order_in_both_directions(play: Play) -> None:
    async def story() -> None:
        here, there = await pair()
        large = [bytes([n]) * size for n, size in enumerate((0, 1, 100, 10_000, 1 << 20))]
        for message in (*NUMBERED, *large):
            assert here.say("r2", message) == [True]
        there.say("r1", *reversed(NUMBERED))
        await until(lambda: len(here.received) == 1000 and len(there.received) == 1005)
        assert there.messages == [*NUMBERED, *large]
        assert here.messages == NUMBERED[::-1]
        await here.close()
        await there.close()

    play(story)


@on_each_loop
def test_a_frame_carries_its_group_source_target_and_path(play: Play) -> None:
    async def story() -> None:
        here, there = await pair()
        routes = [(0, "r1", "r2", ""), (7, "r1/log-1", "r2", "log-1"), (0, "r1", "r2", "")]
        for route in routes:
            assert here.transport.send(*route, b"x")
        here.transport.flush()
        await until(lambda: len(there.received) == 3)
        assert there.received == [(*route, b"x") for route in routes]
        await here.close()
        await there.close()

    play(story)


@on_each_loop
def test_a_turn_costs_one_write_for_each_process(play: Play) -> None:
    async def story() -> None:
        here, there = await Site("r1").listen(), await Site("r2", "c2", "o2").listen()
        here.dial(there)
        await until(lambda: here.reaches("c2"))
        before = here.counters["writes"]
        for message in NUMBERED:
            for id in ("r2", "c2", "o2"):
                assert here.transport.send(0, "r1", id, "", message)
        here.transport.flush()
        await until(lambda: len(there.received) == 3000)
        # Rounds of pings write as well; a thousand turns would have written a thousand times.
        assert here.counters["writes"] - before < 200
        assert [to for _, _, to, _, _ in there.received[:3]] == ["r2", "c2", "o2"]
        await here.close()
        await there.close()

    play(story)


@on_each_loop
def test_a_client_that_only_dialled_is_answered_on_its_link(play: Play) -> None:
    async def story() -> None:
        server, client = await Site("r1").listen(), Site("c9")
        client.dial(server)
        await until(lambda: client.reaches("r1") and server.reaches("c9"))
        assert server.links == [("c9", True)]
        client.say("r1", b"question")
        await until(lambda: server.received)
        server.say("c9", b"answer")
        await until(lambda: client.received)
        assert client.received == [(0, "r1", "c9", "", b"answer")]
        await client.close()
        await until(lambda: not server.reaches("c9"))
        assert server.links == [("c9", True), ("c9", False)]
        await server.close()

    play(story)


@on_each_loop
def test_more_routes_than_a_connection_has_still_arrive(play: Play) -> None:
    async def story() -> None:
        here, there = await pair()
        paths = [f"log-{n}" for n in range(ROUTES_MAX + 100)]
        for path in [*paths, paths[0], paths[-1]]:
            assert here.transport.send(0, "r1", "r2", path, path.encode())
        here.transport.flush()
        await until(lambda: len(there.received) == len(paths) + 2)
        assert all(path.encode() == message for _, _, _, path, message in there.received)
        await here.close()
        await there.close()

    play(story)


@on_each_loop
def test_closing_delivers_what_was_sent_before(play: Play) -> None:
    async def story() -> None:
        here, there = await pair()
        messages = [bytes([n]) * 300_000 for n in range(13)]
        assert all(here.transport.send(0, "r1", "r2", "", message) for message in messages)
        await here.close()
        await until(lambda: len(there.received) == len(messages))
        assert there.messages == messages
        await there.close()

    play(story)


@on_each_loop
def test_disconnecting_delivers_and_then_stays_disconnected(play: Play) -> None:
    async def story() -> None:
        here, there = await Site("r1").listen(), await Site("r2").listen()
        here.dial(there)
        await until(lambda: here.reaches("r2"))
        here.say("r2", b"last")
        here.transport.disconnect("r2")
        assert here.links == [("r2", True), ("r2", False)]
        assert here.say("r2", b"too late") == [False]
        await until(lambda: there.received and not there.reaches("r1"))
        assert there.messages == [b"last"]
        assert here.transport.links == []
        await here.close()
        await there.close()

    play(story)


@on_each_loop
def test_two_that_close_at_the_same_time_do_not_wait_for_each_other(play: Play) -> None:
    async def story() -> None:
        patient = limits(handshake_s=2 * DEADLINE_S)
        here = await Site("r1", limits=patient).listen()
        there = await Site("r2", limits=patient).listen()
        here.dial(there)
        there.dial(here)
        await until(lambda: here.reaches("r2") and there.reaches("r1"))
        await asyncio.gather(here.close(), there.close())

    play(story)


def test_closing_gives_up_on_somebody_who_never_closes() -> None:
    async def story() -> None:
        site = await Site("r1", limits=limits(handshake_s=0.2)).listen()
        stranger = await Stranger.at(site)
        stranger.greet("c1")
        await until(lambda: site.reaches("c1"))
        await site.close()
        assert [type(said) for said in await stranger.hear_all()] in (
            [Hello, Bye],
            [Hello, Pong, Bye],
        )
        stranger.close()

    play_one(story)


# --- links come and go ----------------------------------------------------------------------------


@on_each_loop
def test_a_link_comes_back_when_the_peer_does(play: Play) -> None:
    async def story() -> None:
        here, there = await pair()
        await there.close()
        await until(lambda: not here.reaches("r2"))
        assert here.say("r2", b"lost") == [False]
        assert here.counters["dropped: no link"] == 1
        again = await Site("r2").listen(there.address)
        await until(lambda: here.reaches("r2"))
        here.say("r2", b"found")
        await until(lambda: again.received)
        assert again.messages == [b"found"]
        assert here.links == [("r2", True), ("r2", False), ("r2", True)]
        await here.close()
        await again.close()

    play(story)


@on_each_loop
def test_somebody_who_dials_us_is_dialled_at_once(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        there = await Site("r2").listen()
        await there.close()
        here = await Site("r1", limits=limits(back_off_s=(1e6, 1e6))).listen()
        here.dial(there)
        await until(lambda: warnings(caplog))  # the first attempt has failed
        again = await Site("r2").listen(there.address)
        again.dial(here)
        await until(lambda: here.reaches("r2"))
        await here.close()
        await again.close()

    play(story)


@on_each_loop
def test_a_new_address_takes_the_place_of_the_old_one(play: Play) -> None:
    async def story() -> None:
        here, old, new = [await Site(id).listen() for id in ("r1", "r2", "r2")]
        here.dial(old)
        await until(lambda: here.reaches("r2"))
        here.dial(new)
        await until(lambda: here.reaches("r2") and not old.reaches("r1"))
        here.say("r2", b"moved")
        await until(lambda: new.received)
        assert old.received == []
        for site in (here, old, new):
            await site.close()

    play(story)


@on_each_loop
def test_the_newest_connection_of_a_client_wins(play: Play) -> None:
    async def story() -> None:
        site = await Site("r1").listen()
        first, second = await Stranger.at(site), await Stranger.at(site)
        first.greet("c1", process=b"first run")
        await until(lambda: site.reaches("c1"))
        second.greet("c1", process=b"second run")
        assert all(isinstance(said, Hello | Pong) for said in await first.hear_all())
        site.say("c1", b"hello")
        heard: list[Any] = []
        while b"hello" not in heard:
            # The stranger keeps no table of routes, so take the first for what was announced.
            heard += await second.hear()
            second._frames.routes[1] = ("r1 to c1",)
        assert site.links == [("c1", True), ("c1", False), ("c1", True)]
        first.close()
        second.close()
        await site.close()

    play(story)


@on_each_loop
def test_two_ids_of_a_process_may_be_dialled_on_a_link_each(play: Play) -> None:
    async def story() -> None:
        here, there = await Site("r1").listen(), await Site("r2", "c2").listen()
        here.dial(there)
        here.transport.connect("c2", there.address)
        await until(lambda: here.reaches("r2") and here.reaches("c2"))
        await until(lambda: there.counters["links made"] == 2)
        here.say("r2", b"1")
        here.say("c2", b"2")
        await until(lambda: len(there.received) == 2)
        assert here.counters["links lost"] == there.counters["links lost"] == 0
        await here.close()
        await there.close()

    play(story)


def test_a_link_says_how_long_an_answer_takes() -> None:
    async def story() -> None:
        here, there = await pair()
        await until(lambda: here.transport.links[0].rtt_s is not None)
        (row,) = here.transport.links
        assert row[:3] == ("r2", "up", 0)
        assert 0 < (row.rtt_s or 0) < 60
        await here.close()
        await there.close()

    play_one(story)


# --- a peer that is stopped or killed -----------------------------------------------------------

PEER = """
import asyncio, sys
from concur.serve.transport import Transport

async def main():
    transport = Transport(cluster="test", hosted=("r2",), receive=lambda *frame: None)
    print(await transport.listen("127.0.0.1:0"), flush=True)
    transport.connect("r1", sys.argv[1])
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def peer_of(site: Site) -> tuple[asyncio.subprocess.Process, str]:
    """A process that hosts r2 and dials r1, and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEER, site.address, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().strip()


@on_each_loop
def test_a_stopped_peer_is_noticed_and_hurts_nobody_else(play: Play) -> None:
    async def story() -> None:
        here = await Site("r1", limits=limits(silent_pings_max=20)).listen()
        other = await Site("r3").listen()
        peer, address = await peer_of(here)
        try:
            here.transport.connect("r2", address)
            here.dial(other)
            await until(lambda: here.reaches("r2") and here.reaches("r3"))
            os.kill(peer.pid, signal.SIGSTOP)
            said: list[bytes] = []
            while here.reaches("r2"):  # until the pings give it up
                said.append(b"%d" % len(said))
                here.say("r2", bytes(100_000))
                here.say("r3", said[-1])
                await until(lambda: len(other.received) == len(said))
            assert other.messages == said
            os.kill(peer.pid, signal.SIGCONT)
            await until(lambda: here.reaches("r2"))
        finally:
            peer.kill()
        await peer.wait()
        await until(lambda: not here.reaches("r2"))  # killed: the kernel says so
        await here.close()
        await other.close()

    play(story)


def test_rounds_of_pings_count_and_not_seconds() -> None:
    """Who was itself stopped for long drops nobody when it goes on: it has missed one round."""

    async def story() -> None:
        here, there = await pair(limits=limits(ping_s=1e6, silent_pings_max=3))
        (link,) = (link for link in here.transport._connections if link.dialled)
        for _ in range(3):
            link.check()
        assert here.reaches("r2")
        link.check()
        assert not here.reaches("r2")
        assert link.why == "it said nothing for 3 rounds of pings"
        await here.close()
        await there.close()

    play_one(story)


def test_a_busy_receiver_says_that_it_hears_something() -> None:
    """A Ping that waits behind much else must not cost the link."""

    async def story() -> None:
        site = await Site("r1").listen()
        stranger = await Stranger.at(site)
        stranger.greet("c1")
        assert isinstance((await stranger.hear())[0], Hello)
        stranger.say(control(Announce(1, 0, "c1", "r1", "")), frame(1, b"no ping"))
        assert await stranger.hear() == [Pong(0)]
        stranger.say(control(Ping(17)))
        assert Pong(17) in await stranger.hear()
        stranger.close()
        await site.close()

    play_one(story)


# --- limits ---------------------------------------------------------------------------------------


@on_each_loop
def test_a_peer_that_does_not_read_costs_its_queue_and_nothing_else(play: Play) -> None:
    async def story() -> None:
        site, other = (
            await Site("r1", limits=limits(ping_s=1e6)).listen(),
            await Site("r2").listen(),
        )
        site.dial(other)
        deaf = await Stranger.at(site)
        deaf.greet("c1")
        await until(lambda: site.reaches("c1") and site.reaches("r2"))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        while all(site.say("c1", bytes(65536))):
            sent += 1
            assert site.say("r2", b"%d" % sent) == [True]
            await asyncio.sleep(0)
        assert site.counters["dropped: queue full"] == 1
        (queued,) = (row.queued_bytes for row in site.transport.links if row.id == "c1")
        assert queued <= QUICK.queue_bytes_max
        await until(lambda: len(other.received) == sent)
        deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
        deaf._frames.routes[1] = ("r1 to c1",)
        got = 0
        while got < sent:  # what was queued arrives, whole
            got += sum(len(said) for said in await deaf.hear() if type(said) is not Hello
                       and isinstance(said, bytes | memoryview)) // 65536  # fmt: skip
        deaf.close()
        await site.close()
        await other.close()

    play(story)


def test_a_message_that_is_too_large_is_dropped_and_the_link_stays() -> None:
    async def story() -> None:
        here, there = await pair()
        assert here.say("r2", bytes(QUICK.frame_bytes_max + 1)) == [False]
        assert here.counters["dropped: too large"] == 1
        assert here.say("r2", bytes(QUICK.frame_bytes_max)) == [True]
        await until(lambda: there.received)
        await here.close()
        await there.close()

    play_one(story)


@on_each_loop
def test_frames_that_are_never_finished_cost_their_sender_the_link(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        site = await Site("r1", limits=limits(partial_bytes_max=1_000_000)).listen()
        strangers = [await Stranger.at(site) for _ in range(3)]
        for number, stranger in enumerate(strangers):
            stranger.greet(f"c{number}")
            await stranger.hear()
            size = (100_000, 700_000, 300_000)[number]
            stranger.say(control(Announce(1, 0, f"c{number}", "r1", "")), header(1, size + 1))
            stranger.say(bytes(size))
        await until(lambda: site.counters["dropped: partial frames"])
        await until(lambda: not site.reaches("c1"))
        for number in (0, 2):
            strangers[number].say(b"!")
        await until(lambda: len(site.received) == 2)
        assert site.transport.partial_bytes == 0
        for stranger in strangers:
            stranger.close()
        await site.close()

    play(story)
    why = "it holds most of more than 1000000 bytes of frames that are not whole"
    assert warnings(caplog) == [f"c1 from 127.0.0.1: link dropped: {why}"]


@on_each_loop
def test_connections_beyond_the_limit_are_dropped_and_counted(play: Play) -> None:
    async def story() -> None:
        site = await Site("r1", limits=limits(connections_max=3)).listen()
        strangers = [await Stranger.at(site) for _ in range(3)]
        for number, stranger in enumerate(strangers):
            stranger.greet(f"c{number}")
        await until(lambda: all(site.reaches(f"c{number}") for number in range(3)))
        late = await Stranger.at(site)
        assert await late.hear_all() == []
        assert site.counters["dropped: too many connections"] == 1
        strangers[0].close()
        await until(lambda: not site.reaches("c0"))
        again = await Stranger.at(site)
        again.greet("c4")
        await until(lambda: site.reaches("c4"))
        for stranger in (*strangers, late, again):
            stranger.close()
        await site.close()

    play(story)


@on_each_loop
@pytest.mark.parametrize(
    "said", [b"", control(hello("c1"))[:-1]], ids=["nothing", "all but a byte"]
)
def test_who_does_not_greet_in_time_is_dropped(play: Play, said: bytes) -> None:
    async def story() -> None:
        site = await Site("r1", limits=limits(handshake_s=0.1)).listen()
        stranger = await Stranger.at(site)
        stranger.say(said)
        assert await stranger.hear_all() == []
        assert site.counters["late handshakes"] == 1
        stranger.close()
        await site.close()

    play(story)


# --- who may talk to whom -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (Hello(2, "test", ("c1",), b"p"), "c1 speaks version 2 of the protocol, expected 1"),
        (Hello(VERSION, "prod", ("c1",), b"p"), "c1 is of cluster 'prod', expected cluster 'test'"),
        (hello("c1", to="r9"), "r1 was dialled as r9, expected the address of r9"),
        (hello("r1"), "r1 lives in both processes, expected each id in one"),
        (Hello(VERSION, "test", (), b"p"), "it hosts 0 ids, expected 1 to 256"),
        (hello("c1/x"), "it calls itself c1/x, expected ids that are not empty and have no '/'"),
    ],
    ids=["version", "cluster", "wrong id", "twin", "nobody", "not an id"],
)  # fmt: skip
def test_who_is_refused_hears_why_once_and_so_does_our_log(
    greeting: Hello, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        site = await Site("r1").listen()
        for _ in range(3):
            stranger = await Stranger.at(site)
            stranger.say(control(greeting))
            assert await stranger.hear_all() == [Refused(why)]
            stranger.close()
        assert site.counters["refused"] == 3
        assert not site.links
        await site.close()

    play_one(story)
    assert warnings(caplog) == [f"somebody from 127.0.0.1: link dropped: {why}"]


@pytest.mark.parametrize(
    ("cluster", "hosted", "why"),
    [
        ("prod", "r2", "r1 is of cluster 'test', expected cluster 'prod'"),
        ("test", "r3", "r3 was dialled as r2, expected the address of r2"),
        ("test", "r1", "r1 was dialled as r2, expected the address of r2"),
    ],
)
def test_who_dials_the_wrong_process_says_so_once(
    cluster: str, hosted: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        there = await Site(hosted, cluster=cluster).listen()
        here = Site("r1")
        here.transport.connect("r2", there.address)
        await until(lambda: there.counters["refused"] >= 3)
        await until(lambda: len(warnings(caplog)) >= 2)
        assert not here.links
        await here.close()
        await there.close()
        assert sorted(warnings(caplog)) == [
            f"r2 at {there.address}: refused there: {why!r}; trying again, at least every 0.05 s",
            f"somebody from 127.0.0.1: link dropped: {why}",
        ]

    play_one(story)


def test_a_process_that_dials_itself_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        site = await Site("r1").listen()
        site.transport.connect("r2", site.address)
        await until(lambda: site.counters["refused"] >= 2)
        await site.close()

    play_one(story)
    assert "r1 dialled itself as r2, expected the address of r2" in warnings(caplog)[0]
    assert len(warnings(caplog)) == 2


def test_an_id_that_lives_here_cannot_be_dialled() -> None:
    async def story() -> None:
        site = Site("r1", "c1")
        with pytest.raises(BadInput, match="c1 lives here"):
            site.transport.connect("c1", "127.0.0.1:7000")
        with pytest.raises(BadInput, match="address of r2 'nowhere', expected host:port"):
            site.transport.connect("r2", "nowhere")
        await site.close()

    play_one(story)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([control(Announce(1, 0, "r2", "r1", ""))], "it speaks for r2, expected c1"),
        ([control(Announce(1, 0, "c1", "r3", ""))], "it speaks to r3, expected r1"),
        ([control(Announce(0, 0, "c1", "r1", ""))], "it announces route 0, expected 1 to 4096"),
        ([control(hello("c1"))], "it greeted twice"),
        ([frame(9, b"x")], "a frame on route 9, which was not announced"),
        ([header(0, 1 << 31)], "a frame of 2147483648 bytes, expected at most 16384"),
    ],
    ids=["as another", "to another", "route 0", "twice", "unannounced", "2 GB"],
)
def test_who_breaks_the_rules_is_dropped_with_a_reason(
    frames: list[bytes], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        site = await Site("r1").listen()
        stranger = await Stranger.at(site)
        stranger.greet("c1")
        await stranger.hear()
        stranger.say(*frames)
        assert (await stranger.hear_all())[-1] == Refused(why)
        assert site.received == []
        stranger.close()
        await site.close()

    play_one(story)
    assert warnings(caplog) == [f"c1 from 127.0.0.1: link dropped: {why}"]


@on_each_loop
def test_a_message_that_receive_refuses_costs_its_link(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        here, there = await pair()
        there.refuses = "malformed message in 5 bytes"
        here.say("r2", b"wrong", b"never looked at")
        await until(lambda: ("r2", False) in here.links)
        there.refuses = ""
        await until(lambda: here.reaches("r2"))
        here.say("r2", b"right")
        await until(lambda: there.received)
        assert there.messages == [b"right"]
        await here.close()
        await there.close()

    play(story)
    assert "r1 from 127.0.0.1: link dropped: malformed message in 5 bytes" in warnings(caplog)


@on_each_loop
def test_who_claims_the_id_of_a_peer_that_we_dial_does_not_keep_it(play: Play) -> None:
    """Without certificates anybody may claim anything; the peer's own address decides."""

    async def story() -> None:
        here, there = await pair()
        impostor = await Stranger.at(here)
        impostor.greet("r2", process=b"impostor")
        assert all(isinstance(said, Hello | Pong) for said in await impostor.hear_all())
        await until(lambda: here.reaches("r2") and there.reaches("r1"))
        here.say("r2", b"to the peer")
        await until(lambda: there.messages == [b"to the peer"])
        impostor.close()
        await here.close()
        await there.close()

    play(story)


# --- strangers ------------------------------------------------------------------------------------

greetings = st.builds(
    Hello,
    st.integers(0, 3),
    st.sampled_from(["test", "prod", ""]),
    st.lists(st.sampled_from(["r1", "c1", "c2", "", "c1/x", "\n"]), max_size=3).map(tuple),
    st.binary(max_size=4),
    st.sampled_from(["", "r1", "r9"]),
)
announcements = st.builds(
    Announce,
    st.integers(-1, 3),
    st.integers(0, 2),
    st.sampled_from(["c1", "c1/x", "r1"]),
    st.sampled_from(["r1", "r9"]),
    st.sampled_from(["", "x"]),
)
controls = st.one_of(
    greetings,
    announcements,
    st.builds(Ping, st.integers(0, 9)),
    st.builds(Pong, st.integers(0, 9)),
    st.builds(Refused, st.text(max_size=9)),
)
pieces = st.one_of(
    controls.map(control),
    st.builds(frame, st.integers(0, 4), st.binary(max_size=50)),
    st.binary(max_size=50),
    st.builds(header, st.integers(0, 4), st.integers(0, 1 << 31)),
)
streams = st.tuples(
    st.booleans(), st.lists(pieces, max_size=8), st.lists(st.integers(0, 500), max_size=4)
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_whatever_a_stranger_says_nobody_else_is_hurt(loop: str) -> None:
    if loop == "uvloop":
        factory: Any = pytest.importorskip("uvloop").new_event_loop
    else:
        factory = asyncio.new_event_loop

    with asyncio.Runner(loop_factory=factory) as runner:
        crashes: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: crashes.append(context))
        here, there = runner.run(pair())
        logging.getLogger("concur.serve.transport").setLevel(logging.CRITICAL)

        async def visit(greet: bool, said: list[bytes], cuts: list[int]) -> None:
            stranger = await Stranger.at(here)
            if greet:
                stranger.greet("c1")
                await stranger.hear()
            data, begin = b"".join(said), 0
            for at in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
                stranger.say(data[begin:at])
                begin = at
                await asyncio.sleep(0)
            number = len(here.received)
            there.say("r1", b"still here")
            await until(lambda: (0, "r2", "r1", "", b"still here") in here.received[number:])
            stranger.close()

        @given(streams)
        @settings(deadline=None, max_examples=100)
        def fuzz(stream: tuple[bool, list[bytes], list[int]]) -> None:
            runner.run(asyncio.wait_for(visit(*stream), DEADLINE_S))
            assert not crashes, crashes

        try:
            fuzz()
        finally:
            logging.getLogger("concur.serve.transport").setLevel(logging.NOTSET)
            runner.run(here.close())
            runner.run(there.close())
        assert here.links == [("r2", True), *here.links[1:]]
        assert [up for id, up in here.links if id == "r2"] == [True, False]


# --- listening ------------------------------------------------------------------------------------


def test_an_address_that_is_taken_is_bad_input() -> None:
    async def story() -> None:
        site, other = await Site("r1").listen(), Site("r2")
        with pytest.raises(BadInput, match=r"peers at 127\.0\.0\.1:\d+: .*expected an address of"):
            await other.listen(site.address)
        await site.close()
        await other.close()

    play_one(story)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_nobody_listens_beyond_loopback_by_accident(address: str) -> None:
    async def story() -> None:
        site = Site("r1")
        with pytest.raises(BadInput, match="it has not mutual TLS"):
            await site.listen(address)
        await site.close()

    play_one(story)


def test_who_insists_listens_anywhere() -> None:
    async def story() -> None:
        site = await Site("r1", insecure=True).listen("0.0.0.0:0")
        assert site.address.startswith("0.0.0.0:")
        await site.close()

    play_one(story)
