"""Points as tables: medians over the repetitions, and the ratios of ours to each peer."""

from collections.abc import Sequence
from statistics import median

from cluster.point import Point, Setting

HEAD = (
    f"{'':32}{'placement':>10}{'conns':>6}{'per s':>9}{'least':>9}{'most':>9}{'p50 ms':>9}"
    f"{'p99 ms':>9}{'gen CPU':>9}{'idle CPU':>9}{'sync ms':>9}{'loop ms':>9}  server CPU us/command"
)


def line(name: str, setting: Setting, points: Sequence[Point]) -> str:
    """One row; a figure is the median."""
    rates = [point.throughput for point in points]

    def middle(what: str) -> float:
        return float(median(getattr(point, what) for point in points))

    nodes = zip(*(point.server_us for point in points), strict=True)
    used = [median(node) for node in nodes]
    each = f"{sum(used):6.1f} = " + " + ".join(f"{us:.1f}" for us in used)
    refused = sum(point.refusals for point in points)
    return (
        f"{name:32}{setting.placement:>10}{setting.connections:>6}{median(rates):>9,.0f}"
        f"{min(rates):>9,.0f}{max(rates):>9,.0f}{middle('p50_ms'):>9.2f}{middle('p99_ms'):>9.2f}"
        f"{middle('generator_cores'):>9.2f}{middle('others_cores'):>9.2f}{middle('sync_ms'):>9.2f}"
        f"{middle('loop_ms'):>9.1f}  {each}" + (f"  {refused} refused" if refused else "")
    )


def show(points: Sequence[Point]) -> None:
    """All rows, workload by workload, then the ratios."""
    systems = list(dict.fromkeys(point.system for point in points))
    settings = list(dict.fromkeys(point.setting for point in points))
    for workload in dict.fromkeys(setting.workload for setting in settings):
        print(f"\n{workload}\n{HEAD}")
        for setting in settings:
            for system in systems if setting.workload == workload else ():
                same = [p for p in points if (p.system, p.setting) == (system, setting)]
                if same:
                    print(line(system, setting, same))


def best(points: Sequence[Point], system: str, workload: str, connections: int) -> float | None:
    """The median throughput at the placement that suits a system best."""
    by_placement: dict[str, list[float]] = {}
    for p in points:
        at = p.system, p.setting.workload, p.setting.connections
        if at == (system, workload, connections):
            by_placement.setdefault(p.setting.placement, []).append(p.throughput)
    return max(map(median, by_placement.values()), default=None)


def show_ratios(points: Sequence[Point], ours: Sequence[str]) -> None:
    """Commands per second of ours over those of the others, each at its best placement."""
    systems = list(dict.fromkeys(point.system for point in points))
    loads = list(dict.fromkeys((p.setting.workload, p.setting.connections) for p in points))
    for mine in ours:
        others = [system for system in systems if system != mine]
        if mine not in systems or not others:
            continue
        title = f"{mine}, times those of"
        heads = "".join(f"{f'{workload} {connections}':>12}" for workload, connections in loads)
        print(f"\n{title:50}{heads}")
        for other in others:
            cells = ""
            for load in loads:
                rate, theirs = best(points, mine, *load), best(points, other, *load)
                cells += f"{rate / theirs:>12.2f}" if rate and theirs else f"{'-':>12}"
            print(f"{other:50}{cells}")
