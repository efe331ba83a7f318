"""The admin door: what it says, who may do what, and whom garbage hurts."""

import asyncio
import json
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concur.effects import Ok
from concur.errors import BadInput
from concur.machines.keyspace import Keyspace, bind
from concur.machines.kv import Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.serve import readiness
from concur.serve.admin import Admin
from concur.serve.http import BODY_BYTES_MAX, HEAD_BYTES_MAX, Limits
from tests.serve.memory import GENEROUS_S
from tests.serve.standing import Standing, ask, bearer, parsed, send

QUICK: dict[str, Any] = {"election_timeout_s": (0.05, 0.1), "heartbeat_s": 0.02, "retry_s": 0.1}


def door(
    main: Callable[[Standing, Admin, str], Coroutine[Any, Any, None]],
    folder: Path,
    protocol: Any = None,
    **named: Any,
) -> None:
    async def whole() -> None:
        standing = Standing(protocol or Raft(**QUICK), folder)
        try:
            made, address = await standing.open(**named)
            await asyncio.wait_for(main(standing, made, address), GENEROUS_S)
        finally:
            await standing.close()

    asyncio.run(whole())


async def until_ready(address: str) -> None:
    while (await ask(address, "GET /ready"))[0] != 200:
        await asyncio.sleep(0)


# --- looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [Raft(**QUICK), MultiPaxos(**QUICK), Unreplicated()],
                         ids=lambda p: p.name)  # fmt: skip
def test_a_node_is_ready_when_it_has_caught_up(tmp_path: Path, protocol: Any) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        assert await ask(address, "GET /health") == (200, b'{\n  "healthy": true\n}\n')
        await until_ready(address)
        assert admin.readiness.caught_up
        session = standing.cluster.hosts[0].places["c1"].node.session  # type: ignore[attr-defined]
        assert session in standing.cluster.hosts[0].places["r1"].node.sessions.table

    door(main, tmp_path, protocol)


def test_to_ask_whether_a_node_is_ready_decides_nothing(tmp_path: Path) -> None:
    """Where there is one decision for ever, a question that asks for a command would be it."""

    async def main(standing: Standing, admin: Admin, address: str) -> None:
        await until_ready(address)
        client: Any = standing.cluster.hosts[0].places["c1"].node
        assert not client.operations
        for host, replica in zip(standing.cluster.hosts, ("r1", "r2", "r3"), strict=True):
            asked: Any = host.places[replica].node
            assert (asked.chosen, asked.vote, asked.waiting) == (None, None, ())
        said = json.loads((await ask(address, "GET /status"))[1])
        assert (said["why_not_ready"], said["executed"]) == ("", 0)
        assert (await ask(address, "GET /metrics"))[0] == 200
        assert isinstance(await standing.cluster.ask(0, (Put("x", 1),)), Ok)

    door(main, tmp_path, Paxos())


def test_a_clock_that_was_ahead_is_told_of_once_while_it_does_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        server, replica = admin.server, standing.cluster.hosts[0].places["r1"].node
        calm = Keyspace(now_ms=10**12)
        spoilt = bind(calm, b"a", b"", 2 * 10**12)
        told = []
        for space, now_ms in [
            (calm, 10**11), (spoilt, 10**12 - 50_000), (spoilt, 10**11), (spoilt, 10**11),
            (calm, 10**11), (spoilt, 10**11),
        ]:  # fmt: skip
            stand_in: Any = SimpleNamespace(id=replica.id, machine_state=space)
            assert not server._due(stand_in, now_ms)
            told.append(caplog.text.count("900000000 s ahead of this node's clock"))
        assert told == [0, 0, 1, 1, 1, 2]

    door(main, tmp_path)


def test_a_node_that_nobody_answers_is_not_ready_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "ANSWER_S_MAX", 0.1)

    async def main(standing: Standing, admin: Admin, address: str) -> None:
        for at in (1, 2):
            standing.cluster.kill(at)
        status, body = await ask(address, "GET /ready")
        assert status == 503
        assert "nothing that it asked was answered" in json.loads(body)["why"]
        assert (await ask(address, "GET /health"))[0] == 200

    door(main, tmp_path)


def test_a_node_that_lost_its_leader_is_ready_no_more(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        await until_ready(address)
        for at in (1, 2):
            standing.cluster.kill(at)
        while (await ask(address, "GET /ready"))[0] == 200:
            await asyncio.sleep(0)
        assert json.loads((await ask(address, "GET /ready"))[1])["why"] == "it knows no leader"

    door(main, tmp_path)


def test_a_node_that_has_failed_is_not_healthy(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        standing.cluster.hosts[0].fail(OSError(5, "Input/output error"))
        for path in ("/health", "/ready"):
            assert (await ask(address, f"GET {path}"))[0] == 503
        standing.cluster.hosts[0].failed.exception()

    door(main, tmp_path)


def test_status_tells_what_a_person_asks_first(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        await until_ready(address)
        await standing.put("x", 1)
        status, body = await ask(address, "GET /status")
        said = json.loads(body)
        assert status == 200
        assert (said["cluster"], said["node"], said["protocol"]) == ("orders", "r1", "raft")
        assert said["leader"] in ("r1", "r2", "r3")
        assert said["is_leader"] == (said["leader"] == "r1")
        assert said["executed"] >= 1
        assert said["why_not_ready"] == ""
        assert said["uptime_s"] > 0
        assert said["sync_ms_p50"] > 0
        assert said["links"][0]["id"] == "r2"

    door(main, tmp_path)


def test_head_is_get_without_a_body(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        assert await ask(address, "HEAD /health") == (200, b"")

    door(main, tmp_path)


# --- acting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [Raft(**QUICK), MultiPaxos(**QUICK), Unreplicated(),
                                      ViewstampedReplication()], ids=lambda p: p.name)  # fmt: skip
def test_a_snapshot_is_taken_when_somebody_asks(tmp_path: Path, protocol: Any) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        await until_ready(address)
        for number in range(3):
            await standing.put("x", number)
        while standing.cluster.hosts[0].places["r1"].node.executed < 3:
            await asyncio.sleep(0)
        may = bearer(standing.token)
        status, body = await ask(address, "POST /snapshot", may)
        taken = json.loads(body)["snapshot"]
        assert (status, taken >= 3) == (200, True)
        assert await ask(address, "POST /snapshot", may) == (status, body)  # nothing new to save
        counters = standing.cluster.hosts[0].counters
        assert counters["snapshots"] <= 1

    door(main, tmp_path, protocol)


def test_leadership_is_handed_over(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        await until_ready(address)
        for to in ("r2", "r3"):
            answer = await ask(address, f"POST /leader?to={to}", bearer(standing.token))
            assert answer == (200, f'{{\n  "outcome": "ok",\n  "leader": "{to}"\n}}\n'.encode())
            at = int(to[1]) - 1
            assert standing.cluster.hosts[at].places[to].node.leads()  # type: ignore[attr-defined]

    door(main, tmp_path)


def test_nobody_knows_what_becomes_of_an_order_without_an_answer(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        for at in (1, 2):
            standing.cluster.kill(at)
        status, body = await ask(address, "POST /leader?to=r2", bearer(standing.token))
        assert (status, json.loads(body)["outcome"]) == (504, "indefinite")

    door(main, tmp_path, Raft(**QUICK, deadline_s=0.3))


def test_who_hangs_up_after_an_order_hurts_nobody(tmp_path: Path) -> None:
    """What becomes of the order has nobody to tell it to, and must not stop the node."""

    async def main(standing: Standing, admin: Admin, address: str) -> None:
        for at in (1, 2):
            standing.cluster.kill(at)
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"Host: {address}\r\nAuthorization: Bearer {standing.token}\r\n\r\n"
        writer.write(f"POST /leader?to=r2 HTTP/1.1\r\n{head}".encode())
        operator = standing.cluster.hosts[0].places["o1"]
        while not operator.waiting:
            await asyncio.sleep(0)
        writer.transport.abort()
        while operator.waiting:
            await asyncio.sleep(0)
        assert (await ask(address, "GET /health"))[0] == 200

    door(main, tmp_path, Raft(**QUICK, deadline_s=0.3))


def test_what_a_protocol_cannot_do_is_said(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        status, body = await ask(address, "POST /leader?to=r2", bearer(standing.token))
        assert status == 501
        assert "multi-paxos" in json.loads(body)["error"]

    door(main, tmp_path, MultiPaxos(**QUICK))


def test_a_leader_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        for query in ("", "?to=", "?to=r9", "?leader=r2"):
            status, body = await ask(address, f"POST /leader{query}", bearer(standing.token))
            assert status == 400
            assert "expected one of r1, r2, r3" in json.loads(body)["error"]

    door(main, tmp_path)


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("x" * 43),
        bearer(""),
        {"Authorization": "Bearer"},
        {"Authorization": "Basic Og=="},
        bearer("\xff\xfe"),
    ],
    ids=str,
)
def test_nothing_is_changed_without_the_token(tmp_path: Path, headers: dict[str, str]) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        for path in ("/snapshot", "/leader?to=r2"):
            assert (await ask(address, f"POST {path}", headers))[0] == 401
        assert not standing.cluster.hosts[0].places["o1"].waiting

    door(main, tmp_path)


def test_two_tokens_are_none(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        both = f"Authorization: Bearer {standing.token}\r\nAuthorization: Bearer x\r\n"
        data = f"POST /snapshot HTTP/1.1\r\nHost: {address}\r\n{both}\r\n".encode()
        assert parsed(await send(address, data))[0] == 401

    door(main, tmp_path)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "[::2]:1",
        ":",
        "\xff",
    ],
)
def test_a_page_whose_name_was_made_to_lead_here_is_not_heard(tmp_path: Path, host: str) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        may = bearer(standing.token)
        for line in ("POST /snapshot", "GET /status"):
            status, _ = await ask(address, line, may, host=host)
            assert status in (400, 421)

    door(main, tmp_path)


def test_this_door_has_several_names(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8001"):
            assert (await ask(address, "GET /health", host=host))[0] == 200

    door(main, tmp_path)


def test_a_token_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        path = tmp_path / "storage" / "admin-token"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        first = standing.token
        assert len(first) >= 40
        _, other = await standing.open()
        assert standing.token != first
        assert (await ask(other, "POST /snapshot", bearer(first)))[0] == 401

    door(main, tmp_path)


def test_a_configured_token_is_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a secret of mine\n")

    async def main() -> None:
        standing = Standing(Raft(**QUICK), tmp_path, token_file="token")
        _, address = await standing.open()
        assert (await ask(address, "POST /leader?to=r9", bearer("a secret of mine")))[0] == 400
        assert not (tmp_path / "storage" / "admin-token").exists()
        await standing.close()

    asyncio.run(main())


def test_beyond_loopback_there_must_be_tls_and_a_token(tmp_path: Path) -> None:
    async def main() -> None:
        standing = Standing(Raft(**QUICK), tmp_path, admin="0.0.0.0:0")
        with pytest.raises(BadInput, match="TLS and a token_file"):
            await standing.open()
        standing.cluster.stop()

    asyncio.run(main())


def test_beyond_loopback_looking_needs_the_token_too(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        guarded = {path for path, (_, guard, _) in admin._routes.items() if guard}
        assert guarded == {"/snapshot", "/leader"}

    door(main, tmp_path)

    async def exposed() -> None:
        import msgspec

        standing = Standing(Raft(**QUICK), tmp_path, admin="0.0.0.0:0")
        insecure = msgspec.structs.replace(standing.config.security, insecure=True)
        standing.config = msgspec.structs.replace(standing.config, security=insecure)
        _, address = await standing.open()
        here = address.replace("0.0.0.0", "127.0.0.1")
        for path, status in (("/status", 401), ("/metrics", 401), ("/health", 200)):
            assert (await ask(here, f"GET {path}"))[0] == status
        assert (await ask(here, "GET /metrics", bearer(standing.token)))[0] == 200
        await standing.close()

    asyncio.run(exposed())


# --- what is not a request ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /", 404),
        ("GET /healthy", 404),
        ("POST /health", 405),
        ("GET /snapshot", 405),
        ("DELETE /status", 405),
        ("GET /ready?a=1&b", 400),
        ("GET http://[/health", 400),
        ("GET /ready?" + "&".join(f"a{i}=1" for i in range(100)), 400),
        ("GET /" + "x" * HEAD_BYTES_MAX * 2, 431),
    ],
)
def test_what_makes_no_sense_is_answered_so(tmp_path: Path, line: str, status: int) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        assert (await ask(address, line))[0] == status

    door(main, tmp_path)


def test_bodies_and_heads_are_bounded(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        much = "x" * (BODY_BYTES_MAX + 1)
        head = f"POST /snapshot HTTP/1.1\r\nHost: {address}\r\n"
        long = f"{head}Content-Length: {len(much)}\r\n\r\n{much}".encode()
        assert parsed(await send(address, long))[0] == 413
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(much):x}\r\n{much}\r\n".encode()
        assert parsed(await send(address, chunked))[0] == 413
        endless = f"{head}X: {'y' * HEAD_BYTES_MAX}".encode()
        assert parsed(await send(address, endless))[0] == 431

    door(main, tmp_path)


def test_who_asks_too_slowly_or_not_at_all_is_cut_off(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        assert await send(address, b"") == b""
        assert await send(address, b"GET /health HTTP/1.1\r\nHost: loc") == b""
        assert admin.http.counters["dropped: too slow"] == 2
        assert not admin.http.connections

    door(main, tmp_path, limits=Limits(request_s=0.05))


def test_who_does_not_go_is_cut_off(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        while admin.http.connections:
            await asyncio.sleep(0)
        writer.close()

    door(main, tmp_path, limits=Limits(response_s=0.05))


def test_connections_are_bounded_and_places_are_given_back(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        host, _, port = address.rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        while len(admin.http.connections) < 2:
            await asyncio.sleep(0)
        assert await send(address, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        for _, writer in idle:
            writer.close()
        while admin.http.connections:
            await asyncio.sleep(0)
        assert (await ask(address, "GET /health"))[0] == 200

    door(main, tmp_path, limits=Limits(connections_max=2))


def test_who_has_said_all_still_gets_an_answer(tmp_path: Path) -> None:
    async def main(standing: Standing, admin: Admin, address: str) -> None:
        data = f"GET /ready HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        assert parsed(await send(address, data, end=True))[0] in (200, 503)

    door(main, tmp_path)


def test_garbage_hurts_nobody(tmp_path: Path) -> None:
    """Whatever is sent, the answer is none or a refusal, and the next one is answered."""
    whole = b"POST /snapshot HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
    cut = st.integers(0, len(whole)).map(lambda at: whole[:at])
    spoiled = st.tuples(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=3)).map(
        lambda s: whole[: s[0]] + s[1] + whole[s[0] + 1 :]
    )
    garbage = st.one_of(st.binary(max_size=200), cut, spoiled)

    async def main(standing: Standing, admin: Admin, address: str) -> None:
        loop = asyncio.get_running_loop()

        def serve() -> None:
            @settings(max_examples=60, deadline=None, database=None, derandomize=True,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
            @given(garbage)
            def throw(data: bytes) -> None:
                sent = asyncio.run_coroutine_threadsafe(send(address, data, end=True), loop)
                answer = sent.result(GENEROUS_S)
                assert not answer or parsed(answer)[0] >= 400
                well = asyncio.run_coroutine_threadsafe(ask(address, "GET /health"), loop)
                assert well.result(GENEROUS_S)[0] == 200

            throw()

        await asyncio.to_thread(serve)
        assert not standing.cluster.hosts[0].failed.done()

    door(main, tmp_path)
