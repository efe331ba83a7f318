"""What a node counts, for Prometheus. Values are read when somebody asks: running costs nothing."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from concur.serve.server import Server

CONTENT_TYPE = CONTENT_TYPE_LATEST
DROPPED = "dropped: "
"""How counters of what was dropped begin; the rest is the reason."""

COUNTED = {
    "turns": ("turns", "Turns of the loop in which nodes took steps."),
    "steps": ("steps", "Events that nodes handled."),
    "syncs": ("syncs", "Syncs of the journal."),
    "slow syncs": ("slow_syncs", "Syncs that took 100 ms or longer."),
    "snapshots": ("snapshots", "Snapshots that were begun."),
    "snapshots saved": ("snapshots_saved", "Snapshots that got to the disk."),
    "leader changes": ("leader_changes", "How often this node came to follow another leader."),
    "clock jumps": ("clock_jumps", "How often the wall clock jumped."),
    "stalls": ("stalls", "How often nothing ran here for half a second or longer."),
}
"""Counters of a host that have a metric of their own; nodes observe the others."""


def registry_of(server: "Server") -> CollectorRegistry:
    """All that can be said of a node, of its process and of its garbage collector."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(server))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Prometheus' text format."""
    return generate_latest(registry)


class NodeCollector(Collector):
    """Reads a server."""

    def __init__(self, server: "Server") -> None:
        self.server = server

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._node()
        yield from self._host()
        yield from self._storage()
        yield from self._network()
        yield from self._clients()

    def _node(self) -> Iterator[Metric]:
        server = self.server
        info = GaugeMetricFamily(
            "concur_node_info", "Who this is; always 1.",
            labels=("cluster", "node", "protocol", "machine"),
        )  # fmt: skip
        config = server.config
        info.add_metric((config.cluster, config.node, config.protocol, config.machine), 1)
        yield info
        place = server.host.places.get(config.node)
        if place is None:
            return
        node: Any = place.node
        yield _gauge("is_leader", "Whether this node leads.", leads(node))
        yield _gauge("executed_commands", "Commands that are executed here.", node.executed)
        known = bool(getattr(node, "leader", "") or leads(node))
        yield _gauge("knows_leader", "Whether this node knows a leader.", known)
        for name, text in (("queue", "Commands that wait"), ("reads", "Reads that wait")):
            waiting = getattr(node, name, None)
            if isinstance(waiting, tuple):
                yield _gauge(f"{name}_length", f"{text} at this node.", len(waiting))

    def _host(self) -> Iterator[Metric]:
        host = self.server.host
        counters = host.counters
        for name, (metric, text) in COUNTED.items():
            yield _counter(metric, text, counters[name])
        others = {
            name: count
            for name, count in counters.items()
            if name not in COUNTED and not name.startswith(DROPPED)
        }
        yield _counters("observations", "What nodes observed.", "name", others)
        yield _gauge("inbox_length", "Events that wait for a turn.", host.inbox_length)
        times = host.lookout.sync_times
        yield HistogramMetricFamily(
            "concur_sync_seconds", "How long syncs of the journal took.",
            buckets=[(_bound(s), count) for s, count in times.buckets()],
            sum_value=times.total_ns * 1e-9,
        )  # fmt: skip
        yield _gauge("failed", "Whether the node has stopped for good.", host.failed.done())

    def _storage(self) -> Iterator[Metric]:
        store = self.server.store
        yield _gauge("journal_bytes", "What the journal takes on the disk.", store.bytes_on_disk)
        yield _gauge("journal_segments", "Files of the journal.", store.segments)

    def _network(self) -> Iterator[Metric]:
        host, transport = self.server.host, self.server.transport
        yield _counter("messages_sent", "Messages that nodes sent to other processes.", host.sent)
        dropped = {
            name.removeprefix(DROPPED): count
            for counters in (host.counters, transport.counters)
            for name, count in counters.items()
            if name.startswith(DROPPED)
        }
        # A host counts, as one, what the transport tells apart.
        dropped.pop("no link, or it is full", None)
        yield _counters("messages_dropped", "Messages that were dropped.", "reason", dropped)
        rest = {n: count for n, count in transport.counters.items() if not n.startswith(DROPPED)}
        yield _counters("transport_events", "What the transport did.", "event", rest)
        up = GaugeMetricFamily("concur_link_up", "Whether a peer is connected.", labels=("peer",))
        queued = GaugeMetricFamily(
            "concur_link_queued_bytes", "Bytes that wait to leave for a peer.", labels=("peer",)
        )
        rtt = GaugeMetricFamily(
            "concur_link_round_trip_seconds", "The last round trip to a peer.", labels=("peer",)
        )
        for link in transport.links:
            if link.id not in self.server.config.nodes:
                continue  # who else lives there has the same link, and clients come and go
            up.add_metric((link.id,), link.state == "up")
            queued.add_metric((link.id,), link.queued_bytes)
            if link.rtt_s is not None:
                rtt.add_metric((link.id,), link.rtt_s)
        yield from (up, queued, rtt)

    def _clients(self) -> Iterator[Metric]:
        redis: Any = getattr(self.server, "redis", None)
        gateway = getattr(redis, "gateway", None)
        if gateway is not None:
            yield _gauge("client_connections", "Clients that are connected.",
                         len(gateway.connections))  # fmt: skip
            yield _counters("gateway_events", "What the gateway did.", "event", gateway.counters)


def leads(node: Any) -> bool:
    """Whether a replica leads. Where it has nobody beside it, it does."""
    if hasattr(node, "leads"):
        return bool(node.leads())
    return len(node.config.members) == 1


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"concur_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"concur_{name}", text, value=value)


def _counters(name: str, text: str, label: str, counts: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"concur_{name}", text, labels=(label,))
    for key in sorted(counts):
        family.add_metric((key.replace(" ", "_"),), counts[key])
    return family


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else f"{seconds:g}"
