"""The handshake: who may talk to whom. Pure functions of what both sides say of themselves.

The side that dials says `Hello` and whom it expects; the other side answers with a `Hello` of its
own, or `Refused` and closes. Each side judges the other with `objection`. The reasons are worded
so that they read right in the log of either side.
"""

import msgspec

from concur.serve.frames import VERSION, Hello

HOSTED_MAX = 256
"""Ids that one process may host."""


class Identity(msgspec.Struct, frozen=True):
    """What a process says of itself: its cluster, the ids that live in it, which run this is."""

    cluster: str
    hosted: tuple[str, ...]
    process: bytes

    def hello(self, to: str = "") -> Hello:
        return Hello(VERSION, self.cluster, self.hosted, self.process, to)


def objection(
    here: Identity, there: Hello, *, dialled: str = "", names: frozenset[str] | None = None
) -> str:
    """Why `here` must not talk to `there`, in words; "" if it may.

    `dialled` is the id that we expect at the address we dialled, "" if they dialled us. `names` are
    those in their certificate, None if nobody asks for one; `app` covers `app:1`, `app:2`, ... as
    clients call themselves who have one certificate and many processes.
    """
    ours, theirs = listed(here.hosted), listed(there.hosted)
    if there.version != VERSION:
        return f"{theirs} speaks version {there.version} of the protocol, expected {VERSION}"
    if there.cluster != here.cluster:
        return f"{theirs} is of cluster {there.cluster[:60]!r}, expected cluster {here.cluster!r}"
    if there.process == here.process:
        whom = listed([dialled or there.to])
        return f"{ours} dialled itself as {whom}, expected the address of {whom}"
    if not 1 <= len(there.hosted) <= HOSTED_MAX:
        return f"it hosts {len(there.hosted)} ids, expected 1 to {HOSTED_MAX}"
    if not all(there.hosted) or any("/" in id for id in there.hosted):
        return f"it calls itself {theirs}, expected ids that are not empty and have no '/'"
    for expected, hosted in ((dialled, there.hosted), (there.to, here.hosted)):
        if expected and expected not in hosted:
            whom = listed([expected])
            return f"{listed(hosted)} was dialled as {whom}, expected the address of {whom}"
    twins = [id for id in there.hosted if id in here.hosted]
    if twins:
        return f"{listed(twins)} lives in both processes, expected each id in one"
    missing = [] if names is None else [id for id in there.hosted if id.split(":")[0] not in names]
    if names is not None and missing:
        known, unknown = listed(sorted(names)), listed(missing)
        return f"the certificate of {theirs} names {known}, expected also {unknown}"
    return ""


def listed(ids: "tuple[str, ...] | list[str]") -> str:
    """Some ids, for a log line: not all, if there are many, and nothing unprintable."""
    shown = [id[:60] if id.isprintable() else repr(id[:60]) for id in ids[:8]]
    return ", ".join(shown) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "") or "nobody"
