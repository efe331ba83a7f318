"""The gateway, before a cluster that the test plays: what clients see, in which order, at which
cost, and that nobody suffers from what another client does."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.effects import Definite, Indefinite, Ok
from concur.histories import History, check
from concur.machines import Redis, batch, redis
from concur.parts.batching import COMMAND_BYTES_MAX
from concur.serve.redis import MACHINE, Limits
from concur.serve.redis.commands import takes_long
from concur.serve.resp import RequestLimits
from tests.serve.gateways import Client, Rig, request

NOWHERE = Indefinite("no answer to 3 requests")


@pytest.fixture
def rig() -> Rig:
    return Rig()


# --- order ---------------------------------------------------------------------------------------


def test_a_pipeline_is_answered_in_order_and_sees_its_own_writes(rig: Rig) -> None:
    client = rig.client()
    for words in (
        ("get", "a"), ("PING",), ("set", "a", "1"), ("Get", "a"), ("echo", "x"), ("incr", "a"),
        ("nothing",), ("get", "a"),
    ):  # fmt: skip
        client.send(request(*words))
    rig.turn()  # they began with a read, so they waited with those who read
    rig.turn()
    assert len(rig.asked) == 1, "all in one batch"
    rig.run()
    assert client.said() == (
        b"$-1\r\n+PONG\r\n+OK\r\n$1\r\n1\r\n$1\r\nx\r\n:2\r\n"
        b"-ERR unknown command 'nothing', with args beginning with: \r\n$1\r\n2\r\n"
    )


def test_all_connections_of_a_turn_share_a_batch_of_reads_and_one_of_writes(rig: Rig) -> None:
    clients = [rig.client() for _ in range(50)]
    for number, client in enumerate(clients):
        client.send(request("get", "a") if number % 2 else request("set", "a", number))
    rig.turn()
    reads = [MACHINE.read_only(MACHINE.decode(body)) for body, _ in rig.asked]
    assert reads == [False, True]
    rig.run()
    assert all(client.said() for client in clients)


def test_a_connection_waits_for_its_answer_before_it_asks_again(rig: Rig) -> None:
    client, other = rig.client(), rig.client()
    client.send(request("set", "a", "1"))
    rig.turn()
    client.send(request("get", "a") + request("ping"))
    other.send(request("get", "a"))
    rig.turn()
    assert len(rig.asked) == 2
    rig.execute(1)()  # the other's read overtakes, as it may
    assert other.said() == b"$-1\r\n"
    assert client.said() == b""
    rig.run()
    assert client.said() == b"+OK\r\n$1\r\n1\r\n+PONG\r\n"


def test_one_batch_is_under_way_and_others_only_for_those_who_have_waited() -> None:
    rig = Rig(limits=Limits(writes_max=2, batch_commands_max=10))
    clients = [rig.client() for _ in range(55)]
    for client in clients:
        client.send(request("incr", "n"))
    rig.turn()
    assert [len(MACHINE.decode(body)) for body, _ in rig.asked] == [10]
    rig.gathered()
    assert [len(MACHINE.decode(body)) for body, _ in rig.asked] == [10, 10]
    rig.gathered()
    rig.turn()
    assert len(rig.asked) == 2
    batches = 0
    while rig.asked or rig.soon:
        assert len(rig.asked) <= 2
        rig.execute()()
        rig.turn()
        rig.gathered()
        batches += 1
    assert batches == 6
    assert sorted(client.said() for client in clients) == sorted(
        b":%d\r\n" % n for n in range(1, 56)
    )


def test_who_came_after_a_batch_had_left_waits_his_own_time() -> None:
    rig = Rig(limits=Limits(writes_max=3))
    first, second, third = rig.client(), rig.client(), rig.client()
    first.send(request("incr", "n"))
    rig.turn()
    second.send(request("incr", "n"))
    rig.execute()()
    rig.turn()  # the second's has left, at once
    third.send(request("incr", "n"))
    assert len(rig.asked) == 1
    rig.gathered()  # this was the second's time
    assert len(rig.asked) == 1
    rig.gathered()
    assert len(rig.asked) == 2


def test_a_pipeline_deeper_than_a_batch_goes_in_pieces() -> None:
    rig = Rig(limits=Limits(batch_commands_max=10))
    client = rig.client()
    client.send(b"".join(request("incr", "n") + request("ping") for _ in range(35)))
    rig.run()
    assert client.said() == b"".join(b":%d\r\n+PONG\r\n" % n for n in range(1, 36))


def test_a_batch_whose_results_are_cut_goes_on_with_the_rest(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "RESULT_BYTES_MAX", 100)
    clients = [rig.client() for _ in range(3)]
    clients[0].ask("set", "a", "x" * 60)
    clients[0].said()
    for client in clients:
        client.send(
            request("get", "a") + request("ping") + request("incr", "n") + request("get", "a")
        )
    rig.run()
    value = b"$60\r\n" + b"x" * 60 + b"\r\n"
    for client in clients:
        first, rest = client.said().split(b":")
        assert first == value + b"+PONG\r\n"
        assert rest[1:] == b"\r\n" + value
    assert rig.client().ask("get", "n") == b"$1\r\n3\r\n"


def test_a_batch_has_one_command_that_takes_long(rig: Rig) -> None:
    rig = Rig(limits=Limits(reads_max=100, writes_max=100))
    clients = [rig.client() for _ in range(2)]
    clients[0].ask("set", "a", "1")
    clients[0].said()
    long = (("keys", "*"), ("scan", "0", "match", "*a*"), ("scan", "0", "count", "5000"))
    short = (("get", "a"), ("scan", "0", "match", "a*", "count", "1000"), ("incr", "a"))
    for client in clients:
        client.send(b"".join(request(*words) for words in (*short, *long, *short)))
        client.send(request("multi") + request("keys", "*") + request("exec") + request("get", "a"))
    batches: list[list[Any]] = []
    while rig.soon or rig.asked or rig.later:
        rig.turn()
        rig.gathered()
        while rig.asked:
            batches.append(list(MACHINE.decode(rig.asked[0][0])))
            rig.execute()()
    assert sum(map(len, batches)) == 2 * 11
    for batch_ in batches:
        walks = [c for c in batch_ if type(c) in (redis.KeysLike, redis.Scan, redis.Exec)]
        assert sum(map(takes_long, walks)) <= 1
        assert not any(map(takes_long, walks)) or batch_[-1] is walks[-1]
    one, other = (client.said() for client in clients)
    assert one.count(b"$1\r\na\r\n") == other.count(b"$1\r\na\r\n") == 6
    assert rig.gateway.held == 0


def test_no_batch_is_more_than_a_leader_takes_however_much_waits(rig: Rig) -> None:
    """Of the real limits: pipelines and transactions, as large as a client may send them."""
    clients = [rig.client() for _ in range(4)]
    value = b"x" * (8 << 20)
    for client in clients:
        for size in (3 << 20, 1000, 8 << 20, 8 << 20):
            client.send(request("set", "a", value[:size]))
    clients[0].send(request("multi") + request("set", "b", value))
    clients[0].send(request("set", "b", value[: 1 << 20]) + request("exec"))
    sizes = []
    while rig.asked or rig.soon:
        rig.turn()
        sizes += [len(body) for body, _ in rig.asked]
        rig.execute()()
    assert 8 << 20 < max(sizes) < COMMAND_BYTES_MAX
    assert [client.said().count(b"+OK") for client in clients] == [7, 4, 4, 4]


def test_a_command_may_not_have_as_much_as_a_leader_takes(rig: Rig) -> None:
    client = rig.client()
    client.send(request("mset", "a", b"x" * (8 << 20), "b", b"x" * (8 << 20)))
    rig.run()
    assert client.said().startswith(b"-ERR Protocol error")


commands_of_one_key = st.sampled_from(
    [("get",), ("set", "1"), ("set", "2"), ("append", "3"), ("incr",), ("del",), ("cas", "1", "2")]
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_clients_see_has_an_order_however_answers_travel(data: st.DataObject) -> None:
    """Batches are executed and answered in any order, some answers are lost: each connection has
    its replies in order, and the history of all is linearizable."""
    rig = Rig(limits=Limits(writes_max=3, reads_max=2, batch_commands_max=3))
    history = History("redis")
    machine = Redis()
    clients = [rig.client() for _ in range(3)]
    open_: list[list[tuple[int, Any]]] = [[] for _ in clients]
    processes = iter(range(1000))
    travelling: list[Any] = []
    time = 0

    def read_replies(number: int) -> None:
        nonlocal time
        said = clients[number].said()
        while said:
            op, command = open_[number].pop(0)
            kind, _, rest = said.partition(b"\r\n")
            time += 1
            if kind[:1] == b"$" and kind != b"$-1":
                value: Any = rest[: int(kind[1:])]
                rest = rest[int(kind[1:]) + 2 :]
            elif kind[:1] == b"-" and kind[:4] != b"-ERR":
                history.complete(op, "info", None, time, None)
                said = rest
                continue
            elif kind[:1] == b"-":
                value = machine.decode_result(
                    machine.encode_error(redis.Refused(kind[5:].decode()))
                )
            else:
                value = {b"$-1": None, b"+OK": None}.get(kind)
                if kind[:1] == b":":
                    value = int(kind[1:])
                    value = bool(value) if type(command) is redis.Cas else value
            type_, told, why = machine.completion(command, value)
            history.complete(op, type_, told, time, why)  # type: ignore[arg-type]
            said = rest

    def step() -> None:
        nonlocal time
        time += 1
        action = data.draw(st.integers(0, 5))
        if action <= 1:
            number = data.draw(st.integers(0, 2))
            key = data.draw(st.sampled_from(["a", "b"]))
            name, *rest = data.draw(commands_of_one_key)
            command = {
                "get": lambda: redis.Get(key.encode()),
                "set": lambda: redis.Set(key.encode(), rest[0].encode()),
                "append": lambda: redis.Append(key.encode(), rest[0].encode()),
                "incr": lambda: redis.IncrBy(key.encode(), 1),
                "del": lambda: redis.Delete((key.encode(),)),
                "cas": lambda: redis.Cas(key.encode(), rest[0].encode(), rest[1].encode()),
            }[name]()
            f, k, value = machine.event(command)
            open_[number].append((history.invoke(next(processes), f, k, value, time), command))
            clients[number].send(request(name, key, *rest))
        elif action == 2:
            rig.turn()
            if data.draw(st.booleans()):
                rig.gathered()
        elif action == 3 and rig.asked:
            travelling.append(rig.execute(data.draw(st.integers(0, len(rig.asked) - 1))))
        elif action == 4 and travelling:
            travelling.pop(data.draw(st.integers(0, len(travelling) - 1)))()
        elif action == 5 and rig.asked and data.draw(st.booleans()):
            body, done = rig.asked.pop()
            if data.draw(st.booleans()):
                rig.state, _ = MACHINE.run(rig.state, body)
            done(NOWHERE)
        for number in range(3):
            read_replies(number)

    for _ in range(40):
        step()
    while travelling or rig.asked or rig.soon:
        for answer in travelling:
            answer()
        travelling.clear()
        rig.run()
    for number in range(3):
        read_replies(number)
    assert open_ == [[], [], []]
    assert check(history, machine).valid is True


# --- outcomes ------------------------------------------------------------------------------------


def test_what_did_not_happen_and_what_may_have_are_told_apart(rig: Rig) -> None:
    client = rig.client()
    client.send(request("incr", "n") + request("ping"))
    rig.turn()
    rig.fail(Definite("overloaded: 8 commands outstanding"))
    assert client.said() == (
        b"-TRYAGAIN the command was not executed: overloaded: 8 commands outstanding\r\n+PONG\r\n"
    )
    client.send(request("incr", "n"))
    rig.turn()
    rig.fail(Indefinite("deadline\r\npassed"))
    assert client.said() == b"-INDEFINITE the command may have been executed: deadline  passed\r\n"


def test_of_a_read_nothing_is_uncertain(rig: Rig) -> None:
    client = rig.client()
    client.send(request("get", "n"))
    rig.turn()
    rig.fail(NOWHERE)
    assert client.said().startswith(b"-TRYAGAIN ")


def test_a_result_that_is_no_batch_is_an_error_for_everybody(rig: Rig) -> None:
    clients = [rig.client(), rig.client()]
    for client in clients:
        client.send(request("incr", "n"))
    rig.turn()
    _, done = rig.asked.pop()
    done(Ok(MACHINE.encode_error(ValueError("it is broken"))))
    assert [client.said() for client in clients] == [b"-ERR ValueError: it is broken\r\n"] * 2


# --- commands ------------------------------------------------------------------------------------

CONVERSATION = [
    (("set", "k", "v"), b"+OK\r\n"),
    (("set", "k", "w", "nx"), b"$-1\r\n"),
    (("set", "k", "w", "XX", "GET"), b"$1\r\nv\r\n"),
    (("set", "k", "w", "nx", "xx"), b"-ERR syntax error\r\n"),
    (("set", "k", "w", "ex", "0"), b"-ERR invalid expire time in 'set' command\r\n"),
    (("set", "k", "w", "ex", "x"), b"-ERR value is not an integer or out of range\r\n"),
    (("set", "k", "w", "ex"), b"-ERR syntax error\r\n"),
    (("get", "a", "b"), b"-ERR wrong number of arguments for 'get' command\r\n"),
    (("setnx", "k", "x"), b":0\r\n"),
    (("getset", "k", "x"), b"$1\r\nw\r\n"),
    (("getdel", "k"), b"$1\r\nx\r\n"),
    (("mset", "a", "1", "b", "2"), b"+OK\r\n"),
    (("mset", "a", "1", "b"), b"-ERR wrong number of arguments for 'mset' command\r\n"),
    (("msetnx", "a", "1", "c", "2"), b":0\r\n"),
    (("mget", "a", "b", "c"), b"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
    (("incrby", "a", "41"), b":42\r\n"),
    (("decrby", "a", "2"), b":40\r\n"),
    (("decr", "a"), b":39\r\n"),
    (("decrby", "a", "-9223372036854775808"), b"-ERR decrement would overflow\r\n"),
    (("append", "a", "x"), b":3\r\n"),
    (("incr", "a"), b"-ERR value is not an integer or out of range\r\n"),
    (("strlen", "a"), b":3\r\n"),
    (("type", "a"), b"+string\r\n"),
    (("type", "c"), b"+none\r\n"),
    (("exists", "a", "b", "c", "a"), b":3\r\n"),
    (("cas", "a", "39x", "1"), b":1\r\n"),
    (("cas", "a", "39x", "2"), b":0\r\n"),
    (("cad", "a", "2"), b":0\r\n"),
    (("cad", "a", "1"), b":1\r\n"),
    (("dbsize",), b":1\r\n"),
    (("scan", "0"), b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"),
    (("scan", "0", "match", "x*", "count", "100"), b"*2\r\n$1\r\n0\r\n*0\r\n"),
    (("scan", "0", "type", "hash"), b"*2\r\n$1\r\n0\r\n*0\r\n"),
    (("scan", "x"), b"-ERR invalid cursor\r\n"),
    (("scan", "9" * 21), b"-ERR invalid cursor\r\n"),
    (("scan", "9" * 5000), b"-ERR invalid cursor\r\n"),
    (("scan", "0" * 5000), b"-ERR invalid cursor\r\n"),
    (("scan", "9223372036854775808"), b"-ERR invalid cursor\r\n"),
    (("scan", "9223372036854775807"), b"*2\r\n$1\r\n0\r\n*0\r\n"),
    (("scan", "-1"), b"-ERR invalid cursor\r\n"),
    (("scan", "0", "match", "*" * 1025), b"-ERR pattern is too long\r\n"),
    (("keys", "*" * 1025), b"-ERR pattern is too long\r\n"),
    (("set", "k" * 65537, "v"), b"-ERR key is longer than 65536 bytes\r\n"),
    (("mset", "a", "v" * 65537, "k" * 65537, "v"), b"-ERR key is longer than 65536 bytes\r\n"),
    (("del", "a", "k" * 65537), b"-ERR key is longer than 65536 bytes\r\n"),
    (("set", "long", "v" * 65537), b"+OK\r\n"),
    (("mset", "long", "v" * 65537, "k" * 65536, ""), b"+OK\r\n"),
    (("del", "long", "k" * 65536), b":2\r\n"),
    (("config", "get", *["a"] * 33), b"-ERR CONFIG GET of more than 32 patterns\r\n"),
    (("setex", "b", "9" * 5000, "x"), b"-ERR value is not an integer or out of range\r\n"),
    (("select", "9" * 5000), b"-ERR value is not an integer or out of range\r\n"),
    (("hello", "9" * 5000), b"-NOPROTO unsupported protocol version\r\n"),
    (("keys", "*"), b"*1\r\n$1\r\nb\r\n"),
    (("expire", "b", "100"), b":1\r\n"),
    (("ttl", "b"), b":100\r\n"),
    (("pttl", "b"), b":100000\r\n"),
    (("expiretime", "b"), b":1700000100\r\n"),
    (("expire", "b", "50", "gt"), b":0\r\n"),
    (
        ("expire", "b", "50", "gt", "lt"),
        b"-ERR GT and LT options at the same time are not compatible\r\n",
    ),
    (("persist", "b"), b":1\r\n"),
    (("ttl", "b"), b":-1\r\n"),
    (("ttl", "c"), b":-2\r\n"),
    (("del", "a", "b"), b":1\r\n"),
    (("flushall",), b"+OK\r\n"),
    (("select", "0"), b"+OK\r\n"),
    (("select", "1"), b"-ERR DB index is out of range\r\n"),
    (("client", "setname", "me"), b"+OK\r\n"),
    (("client", "getname"), b"$2\r\nme\r\n"),
    (("client", "setinfo", "lib-name", "x"), b"+OK\r\n"),
    (("client", "id"), b":1\r\n"),
    (("config", "get", "save"), b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    (
        ("command", "info", "get", "no"),
        b"*2\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*-1\r\n",
    ),
    (
        ("auth", "x"),
        b"-ERR AUTH <password> called without any password configured for the default user. "
        b"Are you sure your configuration is correct?\r\n",
    ),
    (("lpush", "a", "b"), b"-ERR unknown command 'lpush', with args beginning with: 'a' 'b' \r\n"),
]  # fmt: skip


def test_a_conversation(rig: Rig) -> None:
    client = rig.client()
    assert [(words, client.ask(*words)) for words, _ in CONVERSATION] == CONVERSATION


def test_resp3_has_a_null_of_its_own_and_maps(rig: Rig) -> None:
    client = rig.client()
    assert client.ask("hello", "3").startswith(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
    assert client.ask("get", "a") == b"_\r\n"
    assert client.ask("mget", "a") == b"*1\r\n_\r\n"
    assert client.ask("config", "get", "save") == b"%1\r\n$4\r\nsave\r\n$0\r\n\r\n"
    assert client.ask("hello", "4") == b"-NOPROTO unsupported protocol version\r\n"
    assert client.ask("hello", "2").startswith(b"*14\r\n")
    assert client.ask("get", "a") == b"$-1\r\n"


def test_info_tells_of_the_gateway_and_of_the_cluster(rig: Rig) -> None:
    text = rig.client().ask("info")
    assert b"connected_clients:1\r\n" in text
    assert b"leader:r1\r\n" in text
    assert b"leader" not in rig.client().ask("info", "server")


def test_commands_tell_what_they_are(rig: Rig) -> None:
    client = rig.client()
    count = int(client.ask("command", "count")[1:])
    assert client.ask("command").startswith(b"*%d\r\n" % count)
    assert b"the value of a key" in client.ask("command", "docs", "get")
    assert client.ask("command", "docs", "no") == b"*0\r\n"


# --- transactions --------------------------------------------------------------------------------


def test_a_transaction_is_one_command_whatever_else_goes_on(rig: Rig) -> None:
    client, other = rig.client(), rig.client()
    client.ask("set", "a", "x")
    client.send(b"".join(request(*words) for words in (
        ("multi",), ("incr", "n"), ("incr", "a"), ("ping",), ("get", "n"), ("exec",), ("get", "n"),
    )))  # fmt: skip
    other.send(request("set", "n", "10"))
    rig.run()
    assert client.said() == (
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
        b"*4\r\n:1\r\n-ERR value is not an integer or out of range\r\n+PONG\r\n$1\r\n1\r\n"
        b"$1\r\n1\r\n"
    )


def test_a_transaction_with_a_mistake_is_discarded(rig: Rig) -> None:
    client = rig.client()
    for words in (("multi",), ("incr", "n"), ("get",)):
        client.ask(*words)
    assert client.ask("exec").startswith(b"-EXECABORT ")
    assert client.ask("get", "n") == b"$-1\r\n"
    assert client.ask("exec") == b"-ERR EXEC without MULTI\r\n"


def test_a_transaction_can_be_discarded_empty_or_nested_by_mistake(rig: Rig) -> None:
    client = rig.client()
    assert client.ask("multi") + client.ask("incr", "n") + client.ask("discard") == (
        b"+OK\r\n+QUEUED\r\n+OK\r\n"
    )
    client.ask("multi")
    assert client.ask("multi") == b"-ERR MULTI calls can not be nested\r\n"
    assert client.ask("exec") == b"*0\r\n"
    assert client.ask("watch", "n").startswith(b"-ERR WATCH is not supported")


def test_a_transaction_that_may_have_happened_says_so(rig: Rig) -> None:
    client = rig.client()
    client.send(request("multi") + request("incr", "n") + request("exec"))
    rig.turn()
    rig.fail(NOWHERE)
    assert client.said().startswith(b"+OK\r\n+QUEUED\r\n-INDEFINITE ")


def test_a_transaction_is_bounded() -> None:
    rig = Rig(limits=Limits(request=RequestLimits(100, 500, 1000)))
    client = rig.client()
    client.ask("multi")
    said = [client.ask("set", "a", "x" * 300) for _ in range(5)]
    assert said[:3] == [b"+QUEUED\r\n"] * 3
    assert said[3] == b"-ERR transaction is too large\r\n"
    assert client.ask("exec").startswith(b"-EXECABORT ")


# --- time ----------------------------------------------------------------------------------------


def test_keys_expire_when_the_server_lets_time_pass(rig: Rig) -> None:
    client = rig.client()
    assert client.ask("set", "a", "1", "px", "500") == b"+OK\r\n"
    rig.wait(400)
    assert client.ask("get", "a") == b"$1\r\n1\r\n"
    assert client.ask("pttl", "a") == b":100\r\n"
    rig.wait(300)
    assert client.ask("get", "a") == b"$-1\r\n"
    assert client.ask("dbsize") == b":0\r\n"


def test_no_time_is_told_while_nothing_is_due(rig: Rig) -> None:
    client = rig.client()
    client.ask("set", "a", "1", "ex", "50")
    before = rig.gateway.counters["batches"]
    for _ in range(10):
        rig.wait(100)
    assert rig.gateway.counters["batches"] == before


def test_a_lifetime_counts_from_now_although_the_machine_last_heard_long_ago(rig: Rig) -> None:
    client = rig.client()
    client.ask("set", "a", "1")
    rig.wait(10_000_000)
    client.ask("expire", "a", "10")
    rig.wait(5_000)
    assert client.ask("ttl", "a") == b":5\r\n"


# --- passwords -----------------------------------------------------------------------------------


def test_before_auth_nothing_is_done_and_little_is_held() -> None:
    rig = Rig(password="secret")
    client = rig.client()
    assert client.ask("get", "a") == b"-NOAUTH Authentication required.\r\n"
    assert client.ask("ping") == b"-NOAUTH Authentication required.\r\n"
    assert client.ask("hello", "3").startswith(b"-NOAUTH HELLO must be called")
    assert client.ask("auth", "wrong").startswith(b"-WRONGPASS ")
    assert client.ask("auth", "other", "secret").startswith(b"-WRONGPASS ")
    assert rig.gateway.counters["batches"] == 0
    client.send(b"*2\r\n$4\r\nauth\r\n$100000\r\n")
    assert client.said() == b"-ERR Protocol error: invalid bulk length\r\n"
    assert client.wire.closing


@pytest.mark.parametrize(
    "words",
    [
        ("auth", "secret"),
        ("auth", "default", "secret"),
        ("hello", "3", "auth", "default", "secret"),
    ],
)
def test_after_auth_everything_is_as_without(words: tuple[str, ...]) -> None:
    rig = Rig(password="secret")
    client = rig.client()
    client.send(request(*words) + request("set", "a", "x" * 50_000) + request("strlen", "a"))
    rig.run()
    assert client.said().endswith(b"+OK\r\n:50000\r\n")
    assert client.ask("reset") == b"+RESET\r\n"
    assert client.ask("get", "a") == b"-NOAUTH Authentication required.\r\n"


def test_a_password_need_not_be_text() -> None:
    rig = Rig(password=b"caf\xe9".decode("utf-8", "surrogateescape"))
    client = rig.client()
    assert client.ask("auth", "café").startswith(b"-WRONGPASS ")
    assert client.ask("auth", b"caf\xe9") == b"+OK\r\n"


# --- nobody suffers from another ------------------------------------------------------------------


def test_garbage_is_told_and_hung_up_on_after_what_came_before(rig: Rig) -> None:
    client = rig.client()
    client.send(request("set", "a", "1") + b"*1\r\n:1\r\n")
    assert not client.wire.closing, "its command is under way"
    rig.run()
    assert client.said() == b"+OK\r\n-ERR Protocol error: expected '$', got ':'\r\n"
    assert client.wire.closing


meant = st.sampled_from(
    [request(*words) for words in (("get", "a"), ("multi",), ("exec",), ("quit",))]
)
pieces = st.sampled_from(
    ["set", "get", "a", "ex", "1", "nx", "mset", "scan", "hello", "3", "client", "command", "docs"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30) | meant | st.lists(pieces, min_size=1, max_size=6).map(
    lambda words: request(*words)
), max_size=12))  # fmt: skip
def test_whatever_a_client_sends_hurts_nobody_else(chunks: list[bytes]) -> None:
    rig = Rig()
    good = rig.client()
    bad = rig.client()
    for number, chunk in enumerate(chunks):
        if bad.wire.closing:
            break
        bad.send(chunk)
        assert good.ask("set", "mine", number) == b"+OK\r\n"
    assert good.ask("ping") == b"+PONG\r\n"
    bad.hang_up()
    rig.run()
    assert rig.gateway.held == 0
    assert rig.gateway.writes.pace.under_way == rig.gateway.reads.pace.under_way == 0


def test_a_client_that_hangs_up_is_forgotten_and_its_commands_are_nobodys(rig: Rig) -> None:
    client, other = rig.client(), rig.client()
    client.send(request("incr", "n"))
    rig.turn()
    client.send(request("incr", "n"))
    client.hang_up()
    rig.run()
    assert other.ask("get", "n") == b"$1\r\n1\r\n", "what was under way; not what waited"
    assert len(rig.gateway.connections) == 1


def test_a_client_that_has_said_all_is_answered_and_hung_up_on(rig: Rig) -> None:
    client = rig.client()
    client.send(request("set", "a", "1") + request("get", "a"))
    assert client.connection.eof_received()
    rig.run()
    assert client.said() == b"+OK\r\n$1\r\n1\r\n"
    assert client.wire.closing


def test_quit_is_the_last_thing_that_is_answered(rig: Rig) -> None:
    client = rig.client()
    client.send(request("get", "a") + request("quit") + request("set", "a", "1"))
    rig.run()
    assert client.said() == b"$-1\r\n+OK\r\n"
    assert client.wire.closing
    assert rig.client().ask("get", "a") == b"$-1\r\n"


def test_too_many_connections_are_refused() -> None:
    rig = Rig(limits=Limits(connections_max=2))
    first, _, third = rig.client(), rig.client(), rig.client()
    assert third.said() == b"-ERR max number of clients reached\r\n"
    assert third.wire.closing
    third.hang_up()
    first.hang_up()
    assert rig.client().ask("ping") == b"+PONG\r\n"


def flood(client: Client, words: tuple[Any, ...], times: int) -> int:
    """Send as long as the connection is read from; -> how often."""
    for number in range(times):
        if not client.wire.reading or client.wire.closing:
            return number
        client.send(request(*words))
        client.rig.run()
    return times


def test_a_client_that_does_not_read_is_not_served_until_it_does() -> None:
    rig = Rig(limits=Limits(output_low_bytes=10_000))
    client, other = rig.client(), rig.client()
    client.ask("set", "a", "x" * 1000)
    client.wire.client_reads = False
    assert 5 < flood(client, ("get", "a"), 1000) < 20
    assert client.wire.unread < 20_000
    assert other.ask("get", "b") == b"$-1\r\n"
    client.wire.read_all()
    assert client.wire.reading
    assert client.ask("ping").endswith(b"+PONG\r\n")


def test_a_pipeline_of_large_replies_to_a_client_that_does_not_read_is_cut_off() -> None:
    rig = Rig(limits=Limits(output_low_bytes=10_000, output_bytes_max=200_000))
    client = rig.client()
    client.ask("set", "a", "x" * 1000)
    client.wire.client_reads = False
    client.send(request("get", "a") * 500)
    rig.run()
    assert client.wire.aborted


def test_a_client_that_sends_more_than_is_answered_is_not_read_from() -> None:
    rig = Rig(limits=Limits(pending_commands_max=100, pending_bytes_max=100_000))
    for words in (("get", "a"), ("set", "a", "x" * 10_000)):
        client = rig.client()
        for _ in range(1000):
            if not client.wire.reading:
                break
            client.send(request(*words))
        assert len(client.connection.replies) <= 100
        assert client.connection.size < 120_000
        rig.run()
        assert client.wire.reading


@pytest.mark.parametrize("transaction", [False, True])
def test_replies_that_wait_for_those_before_them_are_held_and_bounded(transaction: bool) -> None:
    rig = Rig(limits=Limits(pending_bytes_max=100_000))
    client = rig.client()
    client.send(request("get", "x"))
    rig.turn()  # its answer is on the way
    words: tuple[tuple[str, ...], ...] = (("echo", "y" * 30_000),)
    if transaction:
        words = (("multi",), *words, ("exec",))
    sent = 0
    while client.wire.reading:
        client.send(b"".join(request(*each) for each in words))
        sent += 1
        assert rig.gateway.held >= sent * 30_000
    assert sent == 4
    rig.execute()()
    assert client.wire.reading is not transaction, "a transaction is asked for next"
    assert (rig.gateway.held >= 4 * 30_000) is transaction
    rig.run()
    assert client.said().count(b"y" * 30_000) == sent
    assert client.wire.reading
    assert rig.gateway.held == 0


def test_replies_that_the_gateway_has_taken_are_held_too() -> None:
    rig = Rig(limits=Limits(batch_commands_max=2, pending_bytes_max=100_000))
    client = rig.client()
    client.send((request("get", "x") + request("echo", "y" * 10_000)) * 5)
    for left in (5, 3, 1):
        rig.turn()
        assert 10_000 * left <= rig.gateway.held < 10_000 * left + 1000
        rig.execute()()
    assert rig.gateway.held == 0
    assert client.said() == (b"$-1\r\n$10000\r\n" + b"y" * 10_000 + b"\r\n") * 5


def test_if_all_hold_too_much_the_largest_goes() -> None:
    rig = Rig(limits=Limits(held_bytes_max=100_000))
    clients = [rig.client() for _ in range(20)]
    half = b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$1000000\r\n"
    clients[7].send(half + b"x" * 20_000)
    for client in clients:
        client.send(half if client is not clients[7] else b"")
        client.send(b"x" * 5_000)
    assert [client.wire.aborted for client in clients].index(True) == 7
    assert sum(client.wire.aborted for client in clients) == 1
    assert rig.gateway.held <= 100_000


@pytest.mark.parametrize(
    "head", [b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"post /\r\n"]
)
def test_a_web_page_that_reaches_this_port_writes_nothing(rig: Rig, head: bytes) -> None:
    page, other = rig.client(), rig.client()
    page.send(head + b"\r\nSET pwned yes\r\n" + request("set", "pwned", "yes"))
    assert page.wire.aborted
    page.hang_up()
    assert other.ask("get", "pwned") == b"$-1\r\n"
