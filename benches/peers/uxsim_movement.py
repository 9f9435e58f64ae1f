"""UXsim's C++ engine on an exported network and its trips: uxsim_movement.py FOLDER SECONDS.

Prints {"cpu", "wall", "vehicle_seconds", "crossings"} of `exec_simulation` alone. Platoons of one vehicle, steps of 1
s, its own routing (DUO), trajectories not logged. Lengths, lanes, limits, greens and their offsets are those of the
folder. What differs: backward waves of 7.5 m/s, not 5 (by its reaction time of 1 s); every driver goes at the limit;
greens are cut to its steps.
"""

import csv
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

from uxsim import World

JAM_DENSITY = 1 / 7.5


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Builds the world, runs it and prints what it cost."""
    folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
    links = rows(folder / "links.csv")
    greens: dict[str, dict[float, float]] = defaultdict(dict)
    for link in links:
        if float(link["cycle_s"]):
            greens[link["to"]][float(link["start_s"])] = float(link["green_s"])
    cycle = max(float(link["cycle_s"]) for link in links)
    # Longer than is run: at its end it would make its statistics, too.
    world = World(
        *("", 1),
        cpp=True,
        tmax=seconds + 60,
        print_mode=0,
        save_mode=0,
        vehicle_logging_timestep_interval=-1,
        random_seed=1,
    )
    for node in rows(folder / "nodes.csv"):
        signal, offset = [0.0], 0.0
        if found := sorted(greens[node["node"]].items()):
            begins = [start for start, _ in found]
            offset, signal = begins[0], []
            for (start, green), following in zip(found, [*begins[1:], begins[0] + cycle], strict=True):
                signal += [green, following - start - green]
        world.addNode(node["node"], float(node["x_m"]), float(node["y_m"]), signal=signal, signal_offset=offset)
    for link in links:
        world.addLink(
            *(link["link"], link["from"], link["to"], float(link["length_m"])),
            free_flow_speed=float(link["limit_kmh"]) / 3.6,
            jam_density_per_lane=JAM_DENSITY,
            number_of_lanes=int(link["lanes"]),
            signal_group=2 * int(link["phase"]),
        )
    for trip in rows(folder / "trips.csv"):
        world.addVehicle(trip["from"], trip["to"], int(trip["depart_s"]))
    world.finalize_scenario()
    cpu, wall = time.process_time(), time.monotonic()
    world.exec_simulation(until_t=seconds - 1)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    arrivals = sum(sum(link.cum_arrival[:seconds]) for link in world.LINKS)
    departures = sum(sum(link.cum_departure[:seconds]) for link in world.LINKS)
    crossings = sum(link.cum_departure[seconds - 1] for link in world.LINKS)
    print(
        json.dumps(
            {
                "cpu": cpu,
                "wall": wall,
                "vehicle_seconds": round(arrivals - departures),
                "crossings": round(crossings),
            }
        )
    )


if __name__ == "__main__":
    main()
