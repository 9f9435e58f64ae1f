"""Movement of vehicles alone, beside UXsim and SUMO."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benches.child import run
from benches.figure import Figure
from benches.machine import ROOT
from benches.outcome import Contender, Outcome, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.bench import Bench

UXSIM, SUMO = "uxsim_movement.py", "sumo_movement.py"
OURS = "citystream"
# Link crossings and vehicle-seconds per CPU-second, in millions, and bytes a vehicle.
TARGETS = {
    "small": "Targets: 2.5 M crossings and 80 M vehicle-seconds per CPU-second.",
    "large": "Targets: 0.8 M crossings and 25 M vehicle-seconds per CPU-second, at most 500 bytes a vehicle.",
}


def measure(bench: Bench) -> list[Table]:
    """Two tables beside the peers, then two of ours for each case of the bench."""
    return [*_beside_peers(bench), *_alone(bench)]


def _beside_peers(bench: Bench) -> list[Table]:
    sizes = bench.sizes.movement
    folder = bench.fresh("movement")
    _traffic(bench, "export", str(folder), *sizes.flags())
    seconds = str(sizes.seconds)

    def peer(script: str, *arguments: str) -> Callable[[], Any]:
        return lambda: json.loads(bench.peer(script, str(folder), seconds, *arguments).stdout)

    works: dict[str, Callable[[], Any]] = {
        OURS: lambda: json.loads(_traffic(bench, "replay", str(folder), *sizes.flags())),
        "UXsim, C++ engine": peer(UXSIM),
        "SUMO, micro": peer(SUMO, "micro"),
        "SUMO, meso": peer(SUMO, "meso"),
    }
    crossed: dict[str, list[Sample]] = {name: [] for name in works}
    outcomes = bench.alternate([Contender(name, _work(work, crossed[name])) for name, work in works.items()])
    title = f"{sizes.label}: "
    return [
        Table(
            f"{title}vehicle-seconds",
            outcomes,
            [(OURS, outcome.name) for outcome in outcomes[1:]],
            ["A vehicle-second is one on a road at the end of a simulated second; who waits to set off is none."],
            unit="vehicle-seconds",
        ),
        Table(
            f"{title}link crossings",
            [Outcome(o.name, crossed[o.name], o.failure) for o in outcomes[:2]],
            [(OURS, outcomes[1].name)],
            ["SUMO does not count them."],
            unit="crossings",
        ),
    ]


def _alone(bench: Bench) -> list[Table]:
    tables = []
    for case in bench.sizes.movement_alone:
        crossed: list[Sample] = []
        last: dict[str, Any] = {}

        def ran(case: str = case, last: dict[str, Any] = last) -> Any:
            last.update(json.loads(_traffic(bench, case)))
            return last

        outcomes = bench.alternate([Contender(OURS, _work(ran, crossed))])
        if not last:
            tables.append(Table(f"case {case}", outcomes, unit="vehicle-seconds"))
            continue
        title = f"{last['under_way']:,.0f} vehicles under way on {last['roads']:,} roads"
        notes = [f"{last['bytes_per_vehicle']:,.0f} bytes a vehicle.", *([TARGETS[case]] if case in TARGETS else [])]
        tables += [
            Table(f"{title}: vehicle-seconds", outcomes, notes=notes, unit="vehicle-seconds"),
            Table(f"{title}: link crossings", [Outcome(OURS, crossed, outcomes[0].failure)], unit="crossings"),
        ]
    return tables


def samples(found: dict[str, Any]) -> tuple[Sample, Sample | None]:
    """A run's vehicle-seconds, and its crossings where it tells them, by its loop's own account."""
    cpu, wall = found["cpu"], found["wall"]
    crossings = found["crossings"]
    return Sample(found["vehicle_seconds"], cpu, wall), None if crossings is None else Sample(crossings, cpu, wall)


def _work(work: Callable[[], Any], crossed: list[Sample]) -> Callable[[], Sample]:
    def sample() -> Sample:
        seconds, crossings = samples(work())
        if crossings is not None:
            crossed.append(crossings)
        return seconds

    return sample


def _traffic(bench: Bench, *arguments: str) -> str:
    cargo = ["cargo", "bench", "--quiet", "--locked", "--profile", bench.profile, "--bench", "traffic", "--"]
    return run([*cargo, *arguments], cwd=ROOT).stdout


FIGURE = Figure(
    "movement",
    "Movement",
    "`benches/traffic.rs` moves vehicles and nothing else, on one thread: no observation, no events. It exports a "
    "network with lights and the trips of vehicles that set off again wherever they arrive; UXsim and SUMO then drive "
    "the same trips on the same roads for the same simulated time. CPU and wall are those of the simulation loop, "
    "reading left out. Ours makes its route tables within it, as UXsim does, which makes them anew as it goes; SUMO's "
    "routes come from duarouter, outside. Ours takes milliseconds, so it drives the trips again and again for two "
    "seconds. The models differ: ours and UXsim's are kinematic waves, SUMO's "
    "micro is a car-following model that does more for each vehicle; each peer's script says what else differs.",
    measure,
    peers=(UXSIM, SUMO),
)
