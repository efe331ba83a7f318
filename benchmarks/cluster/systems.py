"""Systems by name, and a folder of clusters that run."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cluster.ours import Ours
from cluster.peers import Etcd, Redis, ZooKeeper
from cluster.processes import Absent, Broken
from cluster.pysyncobj_system import PySyncObj, PySyncObjByDefault
from cluster.system import System
from concur.protocols import all_protocols
from concur.serve.load.drive import Unreachable

PEERS: dict[str, Callable[[Path], System]] = {
    kind.name: kind for kind in (Etcd, ZooKeeper, PySyncObj, Redis)
}
OURS: tuple[str, ...] = tuple(
    kind.name for kind in all_protocols() if not kind.tags.needs and kind.name != "paxos"
)
SYSTEMS: dict[str, Callable[[Path], System]] = {
    **{name: partial(Ours, name=name) for name in OURS},
    **PEERS,
    PySyncObjByDefault.name: PySyncObjByDefault,
}


@contextmanager
def running(names: Sequence[str], where: Path) -> Iterator[list[System]]:
    """Start clusters, in a new folder below `where`; what cannot run is said and left out."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=where))
    started: list[System] = []
    try:
        for name in names:
            system = SYSTEMS[name](folder / name)
            try:
                started.append(system)
                system.start()
                print(f"{name}: {system.about}", flush=True)
            except (Absent, Broken, Unreachable) as why:
                print(f"{name}: skipped, {why}", flush=True)
                started.remove(system)
                system.stop()
        yield started
    finally:
        for system in started:
            system.stop()
        shutil.rmtree(folder, ignore_errors=True)
