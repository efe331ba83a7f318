"""Mutual TLS with real certificates: who has none, a wrong one or an old one stays outside."""

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.serve.tls import (
    certificate_names,
    client_context,
    is_mutual,
    refuse_exposed,
    server_context,
)
from tests.serve.sites import (
    Play,
    Site,
    Stranger,
    on_each_loop,
    playing_on,
    until,
    warnings,
)

play_one = playing_on("asyncio")


class Authority:
    """A certificate authority, and the files of those whom it has certified."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def certify(self, *names: str, **details: Any) -> tuple[Path, Path, Path]:
        """Certificate, key and authority of somebody with these names."""
        certificate, key = self.folder / f"{names[0]}.pem", self.folder / f"{names[0]}.key"
        issued = self.ca.issue_cert(*names, **details)
        issued.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate, key, self.file


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def stranger_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "theirs")


def tls(files: tuple[Path, Path, Path]) -> dict[str, Any]:
    """The options of a transport that has these files."""
    return {"server_tls": server_context(*files), "client_tls": client_context(*files)}


async def good_pair(authority: Authority) -> tuple[Site, Site]:
    """r1, and r2 with c2, with certificates as they should be, dialling each other."""
    here = await Site("r1", **tls(authority.certify("r1"))).listen()
    there = await Site("r2", "c2", **tls(authority.certify("r2", "c2"))).listen()
    here.dial(there)
    there.dial(here)
    await until(lambda: here.reaches("c2") and there.reaches("r1"))
    return here, there


# --- links ----------------------------------------------------------------------------------------


@on_each_loop
def test_links_with_certificates_carry_frames_and_close_behind_them(
    play: Play, authority: Authority
) -> None:
    async def story() -> None:
        here, there = await good_pair(authority)
        messages = [bytes([n % 256]) * (n * 1000) for n in range(80)]
        for message in messages:
            assert here.say("r2", message) == [True]
        there.say("r1", b"answer")
        await until(lambda: here.messages == [b"answer"])
        await here.close()
        await until(lambda: len(there.received) == len(messages))
        assert there.messages == messages
        await there.close()

    play(story)


Options = Callable[[Authority, Authority], dict[str, Any]]


def no_certificate(ours: Authority, theirs: Authority) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ours.file)
    return {"client_tls": context}


def expired(ours: Authority, theirs: Authority) -> dict[str, Any]:
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    return tls(ours.certify("r3", not_before=now - 2 * day, not_after=now - day))


def of_another_authority(ours: Authority, theirs: Authority) -> dict[str, Any]:
    certificate, key, _ = theirs.certify("r3")
    return tls((certificate, key, ours.file))


@on_each_loop
@pytest.mark.parametrize(
    "options",
    [lambda ours, theirs: {}, no_certificate, expired, of_another_authority],
    ids=["no TLS", "no certificate", "expired", "another authority"],
)
def test_who_has_no_good_certificate_stays_outside(
    play: Play, options: Options, authority: Authority, stranger_authority: Authority
) -> None:
    async def story() -> None:
        here, there = await good_pair(authority)
        outside = Site("r3", **options(authority, stranger_authority))
        outside.dial(here)
        await until(lambda: outside.counters["redials"] >= 3)
        assert not outside.links
        assert not here.reaches("r3")
        there.say("r1", b"still here")
        await until(lambda: here.messages == [b"still here"])
        assert [up for id, up in here.links if id == "r2"] == [True]
        for site in (outside, here, there):
            await site.close()

    play(story)


@on_each_loop
def test_a_certificate_must_name_every_id_that_its_owner_claims(
    play: Play, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        here = await Site("r1", **tls(authority.certify("r1"))).listen()
        thief = await Site("r2", "c2", **tls(authority.certify("c2"))).listen()
        thief.dial(here)  # the side that listens looks
        await until(lambda: here.counters["refused"] >= 2)
        here.dial(thief)  # and so does the side that dials
        before = here.counters["refused"]
        await until(lambda: thief.counters["links lost"] and here.counters["refused"] > before)
        assert not here.links
        await here.close()
        await thief.close()

    play(story)
    why = "the certificate of r2, c2 names c2, expected also r2"
    assert f"somebody from 127.0.0.1: link dropped: {why}" in warnings(caplog)


@on_each_loop
def test_names_need_not_match_where_nobody_asks(play: Play, authority: Authority) -> None:
    async def story() -> None:
        files = authority.certify("anybody")
        here = await Site("r1", verify_names=False, **tls(files)).listen()
        there = await Site("r2", verify_names=False, **tls(files)).listen()
        here.dial(there)
        await until(lambda: here.reaches("r2"))
        await here.close()
        await there.close()

    play(story)


def test_the_log_says_what_is_wrong_with_a_certificate(
    authority: Authority, stranger_authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        certificate, key, _ = stranger_authority.certify("r2")
        there = await Site("r2", **tls((certificate, key, authority.file))).listen()
        here = Site("r1", **tls(authority.certify("r1")))
        here.dial(there)
        await until(lambda: warnings(caplog))
        await here.close()
        await there.close()
        assert f"r2 at {there.address}: TLS: unable to get local issuer" in warnings(caplog)[0]

    play_one(story)


@on_each_loop
def test_garbage_at_a_tls_port_hurts_nobody_else(play: Play, authority: Authority) -> None:
    async def story() -> None:
        here, there = await good_pair(authority)
        loop = asyncio.get_running_loop()
        crashes: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: crashes.append(context))
        for said in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(10_000)):
            stranger = await Stranger.at(here)
            stranger.say(said)
            there.say("r1", said)
            await until(lambda: here.messages[-1:] == [said])  # noqa: B023  # awaited here
            stranger.close()
        assert not [c for c in crashes if "SSL" not in str(c) and "handshake" not in str(c)]
        assert [up for id, up in here.links if id == "r2"] == [True]
        await here.close()
        await there.close()

    play(story)


@on_each_loop
def test_mutual_tls_may_listen_beyond_loopback(play: Play, authority: Authority) -> None:
    async def story() -> None:
        site = await Site("r1", **tls(authority.certify("r1"))).listen("0.0.0.0:0")
        await site.close()

    play(story)


def test_one_sided_tls_is_not_enough_beyond_loopback(authority: Authority) -> None:
    async def story() -> None:
        context = server_context(*authority.certify("r1"))
        context.verify_mode = ssl.CERT_NONE
        site = Site("r1", server_tls=context)
        with pytest.raises(BadInput, match="it has not mutual TLS"):
            await site.listen("0.0.0.0:0")
        await site.close()

    play_one(story)


# --- contexts -------------------------------------------------------------------------------------


def test_contexts_are_mutual_and_modern(authority: Authority) -> None:
    files = authority.certify("r1")
    for context in (server_context(*files), client_context(*files)):
        assert is_mutual(context)
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert not is_mutual(None)


@pytest.mark.parametrize("wrong", ["certificate", "key", "authority"])
@pytest.mark.parametrize("how", ["missing", "garbage", "folder"])
def test_a_wrong_file_is_named(authority: Authority, tmp_path: Path, wrong: str, how: str) -> None:
    files = dict(zip(("certificate", "key", "authority"), authority.certify("r1"), strict=True))
    files[wrong] = tmp_path if how == "folder" else tmp_path / "wrong.pem"
    if how == "garbage":
        files[wrong].write_text("garbage")
    with pytest.raises(BadInput, match=f"TLS .*{wrong}.* {files[wrong]}.*expected") as caught:
        server_context(**files)
    assert "\n" not in str(caught.value)


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    certificate, _, ca = authority.certify("r1")
    _, key, _ = authority.certify("r2")
    with pytest.raises(BadInput, match=r"KEY_VALUES_MISMATCH.*expected PEM files"):
        server_context(certificate, key, ca)


def test_names_are_those_of_the_subject_and_its_alternatives() -> None:
    certificate = {
        "subject": ((("organizationName", "us"),), (("commonName", "r1"),)),
        "subjectAltName": (("DNS", "c1"), ("URI", "concur:o1"), ("IP Address", "10.0.0.1")),
    }
    assert certificate_names(certificate) == {"r1", "c1", "concur:o1"}
    assert certificate_names(None) == certificate_names({}) == frozenset()


# --- who needs TLS --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost"])
def test_loopback_needs_nothing(host: str) -> None:
    refuse_exposed(f"{host}:7000", False)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "example", "localhost.example"])
def test_what_others_can_reach_needs_a_guard(host: str) -> None:
    refuse_exposed(f"{host}:7000", True)
    refuse_exposed(f"{host}:7000", False, insecure=True)
    with pytest.raises(
        BadInput, match=r"clients at .* it has not TLS and AUTH; .* insecure = true"
    ):
        refuse_exposed(f"{host}:7000", False, server="clients", needs="TLS and AUTH")


@given(st.text(max_size=30))
@settings(deadline=None)
def test_no_address_but_loopback_is_let_through(address: str) -> None:
    try:
        refuse_exposed(address, False)
    except BadInput:
        return
    host = address.rpartition(":")[0]
    assert host == "localhost" or host.strip("[]").startswith(("127.", "::1"))
