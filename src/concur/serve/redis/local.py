"""Commands that the gateway answers by itself: of connections, transactions, and about itself.

`answer(connection, arguments)` gives the reply, or b"" if it has seen to that; it raises `Wrong`.
"""

import fnmatch
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import concur
from concur.serve.redis.commands import SYNTAX, VERBS, Verb, Wrong, number, wrong_arity
from concur.serve.resp import NIL, OK, array, bulk, error, integer, mapping, simple, text

if TYPE_CHECKING:
    from concur.serve.redis.connection import RespConnection

VERSION = "7.0.0"
"""Of Redis: whose commands these are, for clients that go by it."""

WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
NAME_LENGTH_MAX = 256
SETTINGS_ASKED_MAX = 32
"""Patterns in one CONFIG GET: each is compiled."""

Answer = Callable[["RespConnection", list[bytes]], bytes]


class Local(NamedTuple):
    """`stranger`: allowed before AUTH. `direct`: done at once in a transaction, or refused."""

    name: str
    arity: int
    answer: Answer
    summary: str
    stranger: bool = False
    direct: bool = False


# --- connections ---------------------------------------------------------------------------------


def _ping(c: "RespConnection", a: list[bytes]) -> bytes:
    if len(a) > 2:
        raise Wrong(wrong_arity(a[0]))
    return bulk(a[1]) if len(a) == 2 else b"+PONG\r\n"


def _echo(c: "RespConnection", a: list[bytes]) -> bytes:
    return bulk(a[1])


def _auth(c: "RespConnection", a: list[bytes]) -> bytes:
    if len(a) > 3:
        raise Wrong(SYNTAX)
    _outside(c, a)
    if c.gateway.password is None and len(a) == 2:
        raise Wrong(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    _log_in(c, a[1] if len(a) == 3 else b"default", a[-1])
    return OK


def _log_in(c: "RespConnection", user: bytes, password: bytes) -> None:
    """Both are compared in a time that tells nothing of where they differ."""
    expected = c.gateway.password
    right = hmac.compare_digest(user, b"default")
    if expected is not None:
        right &= hmac.compare_digest(
            password,
            expected.encode("utf-8", "surrogateescape"),  # as it stands in the file
        )
    if not right:
        raise Wrong(WRONG_PASSWORD)
    c.authenticate()


def _hello(c: "RespConnection", a: list[bytes]) -> bytes:
    protocol = c.protocol
    name = None
    words = iter(a[1:])
    version = next(words, None)
    if version is not None:
        if not version.isdigit():
            raise Wrong("ERR Protocol version is not an integer or out of range")
        if version not in (b"2", b"3"):
            raise Wrong("NOPROTO unsupported protocol version")
        protocol = int(version) - 2
    _outside(c, a)
    for word in words:
        option = word.upper()
        if option == b"AUTH":
            user, password = next(words, None), next(words, None)
            if user is None or password is None:
                raise Wrong(f"ERR Syntax error in HELLO option '{_shown(word)}'")
            _log_in(c, user, password)
        elif option == b"SETNAME":
            name = next(words, None)
            if name is None:
                raise Wrong(f"ERR Syntax error in HELLO option '{_shown(word)}'")
        else:
            raise Wrong(f"ERR Syntax error in HELLO option '{_shown(word)}'")
    if not c.authenticated:
        raise Wrong(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
            "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
            "select the RESP protocol version at the same time"
        )
    if name is not None:
        _set_name(c, name)
    c.protocol = protocol
    pairs = [
        text("server"), text("redis"),
        text("version"), text(VERSION),
        text("proto"), integer(protocol + 2),
        text("id"), integer(c.id),
        text("mode"), text("standalone"),
        text("role"), text("master"),
        text("modules"), array([]),
    ]  # fmt: skip
    return mapping(protocol, pairs)


def _client(c: "RespConnection", a: list[bytes]) -> bytes:
    word = a[1].upper()
    if word == b"SETNAME" and len(a) == 3:
        _set_name(c, a[2])
        return OK
    if word == b"GETNAME" and len(a) == 2:
        return bulk(c.name) if c.name else NIL[c.protocol]
    if word == b"SETINFO" and len(a) == 4:
        return OK
    if word == b"ID" and len(a) == 2:
        return integer(c.id)
    if word == b"INFO" and len(a) == 2:
        return text(f"id={c.id} name={_shown(c.name)} db=0 resp={c.protocol + 2}\n")
    raise _unknown_subcommand(a)


def _set_name(c: "RespConnection", name: bytes) -> None:
    if any(byte < 33 or byte > 126 for byte in name):
        raise Wrong("ERR Client names cannot contain spaces, newlines or special characters.")
    if len(name) > NAME_LENGTH_MAX:
        raise Wrong(f"ERR Client names cannot be longer than {NAME_LENGTH_MAX} characters.")
    c.name = name


def _select(c: "RespConnection", a: list[bytes]) -> bytes:
    if number(a[1]) != 0:
        raise Wrong("ERR DB index is out of range")
    return OK


def _quit(c: "RespConnection", a: list[bytes]) -> bytes:
    c.say(OK)
    c.closing = True
    return b""


def _reset(c: "RespConnection", a: list[bytes]) -> bytes:
    c.reset()
    return b"+RESET\r\n"


# --- transactions --------------------------------------------------------------------------------


def _multi(c: "RespConnection", a: list[bytes]) -> bytes:
    if c.transaction is not None:  # an error that, as with Redis, does no harm to the transaction
        return error("ERR MULTI calls can not be nested")
    c.begin()
    return OK


def _exec(c: "RespConnection", a: list[bytes]) -> bytes:
    if c.transaction is None:
        raise Wrong("ERR EXEC without MULTI")
    c.execute()
    return b""


def _discard(c: "RespConnection", a: list[bytes]) -> bytes:
    if c.transaction is None:
        raise Wrong("ERR DISCARD without MULTI")
    c.transaction = None
    return OK


def _watch(c: "RespConnection", a: list[bytes]) -> bytes:
    raise Wrong("ERR WATCH is not supported here: compare and set with CAS")


def _unwatch(c: "RespConnection", a: list[bytes]) -> bytes:
    return OK


def _outside(c: "RespConnection", a: list[bytes]) -> None:
    if c.transaction is not None:
        raise Wrong(f"ERR {_shown(a[0]).upper()} is not allowed in a transaction")


# --- about the server ----------------------------------------------------------------------------


def _info(c: "RespConnection", a: list[bytes]) -> bytes:
    gateway = c.gateway
    sections = {
        "server": {
            "redis_version": VERSION, "redis_mode": "standalone", "concur_version": _version(),
        },
        "clients": {
            "connected_clients": str(len(gateway.connections)),
            "maxclients": str(gateway.limits.connections_max),
            "clients_held_bytes": str(gateway.held),
        },
        "stats": {f"total_{name}": str(count) for name, count in gateway.counters.items()},
        "replication": {"role": "master"},
        "concur": gateway.info(),
    }  # fmt: skip
    asked = {_shown(word).lower() for word in a[1:]} - {"all", "default", "everything"}
    lines = []
    for name, fields in sections.items():
        if not asked or name in asked:
            lines.append(f"# {name.capitalize()}\r\n")
            lines += [f"{key}:{value}\r\n" for key, value in fields.items()]
            lines.append("\r\n")
    return text("".join(lines))


def _version() -> str:
    return str(getattr(concur, "__version__", "unknown"))


def _config(c: "RespConnection", a: list[bytes]) -> bytes:
    if a[1].upper() != b"GET" or len(a) < 3:
        raise _unknown_subcommand(a)
    settings = {
        "maxclients": str(c.gateway.limits.connections_max),
        "proto-max-bulk-len": str(c.gateway.limits.request.bulk_bytes_max),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "databases": "1",
    }
    if len(a) > SETTINGS_ASKED_MAX + 2:
        raise Wrong(f"ERR CONFIG GET of more than {SETTINGS_ASKED_MAX} patterns")
    patterns = [_shown(pattern).lower() for pattern in a[2:]]
    found: list[bytes] = []
    for name, value in settings.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            found += [text(name), text(value)]
    return mapping(c.protocol, found)


def _command(c: "RespConnection", a: list[bytes]) -> bytes:
    word = a[1].upper() if len(a) > 1 else b""
    if word == b"COUNT":
        return integer(len(ENTRIES))
    if word == b"DOCS":
        chosen = [_entry(name) for name in a[2:]] if len(a) > 2 else list(ENTRIES)
        pairs: list[bytes] = []
        for entry in chosen:
            if entry is not None:
                fields = [text("summary"), text(entry.summary)]
                pairs += [text(entry.name), mapping(c.protocol, fields)]
        return mapping(c.protocol, pairs)
    if word == b"LIST":
        return array([text(entry.name) for entry in ENTRIES])
    if word == b"INFO":
        return array([_described(_entry(name), c.protocol) for name in a[2:]])
    if word:
        raise _unknown_subcommand(a)
    return array([_described(entry, c.protocol) for entry in ENTRIES])


def _entry(name: bytes) -> "Verb | Local | None":
    return TABLE.get(name.upper())


def _described(entry: "Verb | Local | None", protocol: int) -> bytes:
    if entry is None:
        return (b"*-1\r\n", NIL[1])[protocol]
    keys = entry.keys if isinstance(entry, Verb) else (0, 0, 0)
    flags = []
    if isinstance(entry, Verb):
        flags = [simple("write" if entry.writes else "readonly")]
    return array([text(entry.name), integer(entry.arity), array(flags), *map(integer, keys)])


def _unknown_subcommand(a: list[bytes]) -> Wrong:
    return Wrong(
        f"ERR unknown subcommand or wrong number of arguments for '{_shown(a[1])}'. "
        f"See docs/redis.md for what {_shown(a[0]).upper()} knows here."
    )


def _shown(word: bytes) -> str:
    return word[:128].decode("utf-8", "replace")


LOCALS = (
    Local("ping", -1, _ping, "PONG"),
    Local("echo", 2, _echo, "what was said"),
    Local("auth", -2, _auth, "give the password", stranger=True),
    Local("hello", -1, _hello, "choose RESP2 or RESP3", stranger=True),
    Local("client", -2, _client, "names and numbers of the connection"),
    Local("select", 2, _select, "database 0 is the only one"),
    Local("quit", -1, _quit, "close the connection", stranger=True, direct=True),
    Local("reset", 1, _reset, "as if the connection were new", stranger=True, direct=True),
    Local("multi", 1, _multi, "begin a transaction", direct=True),
    Local("exec", 1, _exec, "execute a transaction", direct=True),
    Local("discard", 1, _discard, "forget a transaction", direct=True),
    Local("watch", -2, _watch, "not supported: use cas", direct=True),
    Local("unwatch", 1, _unwatch, "nothing is watched", direct=True),
    Local("info", -1, _info, "about this server"),
    Local("config", -2, _config, "what some clients ask for"),
    Local("command", -1, _command, "the commands that there are"),
)

ENTRIES: tuple[Verb | Local, ...] = (*VERBS, *LOCALS)
TABLE: dict[bytes, Verb | Local] = {
    word.encode(): entry for entry in ENTRIES for word in (entry.name, entry.name.upper())
}
"""By name in capitals and in small letters, as clients write them; others are looked up twice."""
