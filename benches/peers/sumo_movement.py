"""SUMO on an exported network and its trips: sumo_movement.py FOLDER SECONDS micro|meso.

Prints {"cpu", "wall", "vehicle_seconds", "crossings"}; SUMO does not count crossings. The loop's cost is that of a run
less that of one which ends at its first second, so that start-up and reading are left out. Steps of 1 s; micro is
Krauss, meso has junction control. netconvert makes the junctions, duarouter the ways by free-flow times, both outside
the clock. What differs: cars of SUMO's own length, gaps and speeds; left turns give way; the 4 s after a green are 3 s
of yellow and red; greens are rounded to seconds; ways are not changed under way.
"""

import csv
import json
import os
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

BIN = Path(sys.executable).parent
YELLOW = 3
MICRO: list[str] = []
MESO = ["--mesosim", "--meso-junction-control"]


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def run(program: str, *arguments: str) -> tuple[float, float]:
    """CPU-seconds and wall seconds of one of SUMO's programs."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([BIN / program, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program}: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - began


def build(folder: Path) -> None:
    """Makes the network, its lights and the routes."""
    links = rows(folder / "links.csv")
    lit = {link["to"] for link in links if float(link["cycle_s"])}
    nodes = "".join(
        f'<node id="{n["node"]}" x="{n["x_m"]}" y="{n["y_m"]}" '
        f'type="{"traffic_light" if n["node"] in lit else "priority"}"/>\n'
        for n in rows(folder / "nodes.csv")
    )
    edges = "".join(
        f'<edge id="{e["link"]}" from="{e["from"]}" to="{e["to"]}" numLanes="{e["lanes"]}" '
        f'speed="{float(e["limit_kmh"]) / 3.6:.2f}" length="{e["length_m"]}"/>\n'
        for e in links
    )
    trips = "".join(
        f'<trip id="{t["vehicle"]}" depart="{t["depart_s"]}" fromJunction="{t["from"]}" toJunction="{t["to"]}" '
        'departLane="best" departSpeed="max"/>\n'
        for t in rows(folder / "trips.csv")
    )
    (folder / "city.nod.xml").write_text(f"<nodes>{nodes}</nodes>")
    (folder / "city.edg.xml").write_text(f"<edges>{edges}</edges>")
    (folder / "city.trips.xml").write_text(f"<routes>{trips}</routes>")
    net = str(folder / "city.net.xml")
    run("netconvert", "-n", str(folder / "city.nod.xml"), "-e", str(folder / "city.edg.xml"), "-o", net)
    (folder / "city.add.xml").write_text(f"<additional>{lights(net, links)}</additional>")
    routes = str(folder / "city.rou.xml")
    run("duarouter", "-n", net, "-r", str(folder / "city.trips.xml"), "-o", routes, "--junction-taz", "--ignore-errors")


def lights(net: str, links: list[dict[str, str]]) -> str:
    """Programs with the exported cycles, for the connections that netconvert made."""
    by_link = {link["link"]: link for link in links}
    connections: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
    for found in ET.parse(net).getroot().iter("connection"):  # noqa: S314 - our own file
        if tl := found.get("tl"):
            connections[tl][int(found.attrib["linkIndex"])] = (found.attrib["from"], found.get("dir", "s"))
    programs = []
    for tl, indices in connections.items():
        ends = {link for link, _ in indices.values()}
        begins = sorted({(round(float(by_link[e]["start_s"])), int(by_link[e]["phase"])) for e in ends})
        cycle = round(float(by_link[next(iter(ends))]["cycle_s"]))
        phases = ""
        for (start, phase), following in zip(begins, [*begins[1:], (begins[0][0] + cycle, 0)], strict=True):
            lasts = following[0] - start
            green = round(float(next(by_link[e]["green_s"] for e in ends if int(by_link[e]["phase"]) == phase)))
            yellow = max(0, min(YELLOW, lasts - green))
            of_phase = {n: int(by_link[link]["phase"]) == phase for n, (link, _) in indices.items()}
            go = "".join(
                ("g" if indices[n][1] in "lLt" else "G") if of_phase.get(n) else "r" for n in range(max(indices) + 1)
            )
            slow = go.replace("g", "y").replace("G", "y")
            stop = "r" * len(go)
            lengths = ((go, green), (slow, yellow), (stop, lasts - green - yellow))
            phases += "".join(f'<phase duration="{n}" state="{state}"/>' for state, n in lengths if n > 0)
        # SUMO's offset is when the first phase begins.
        programs.append(
            f'<tlLogic id="{tl}" type="static" programID="ours" offset="{begins[0][0]}">{phases}</tlLogic>\n'
        )
    return "".join(programs)


def main() -> None:
    """Builds what is not there yet, runs it and prints what it cost."""
    folder, seconds, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if not (folder / "city.rou.xml").exists():
        build(folder)
    summary = folder / f"summary.{os.getpid()}.xml"
    common = [
        *("-n", str(folder / "city.net.xml"), "-r", str(folder / "city.rou.xml"), "-a", str(folder / "city.add.xml")),
        *("--route-steps", "0", "--step-length", "1", "--no-step-log", "--no-warnings", "--ignore-route-errors"),
        *("--summary-output", str(summary), *(MESO if kind == "meso" else MICRO)),
    ]
    cpu_before, wall_before = run("sumo", *common, "--end", "1")
    cpu, wall = run("sumo", *common, "--end", str(seconds))
    steps = ET.parse(summary).getroot().iter("step")  # noqa: S314 - our own file
    vehicle_seconds = sum(int(step.attrib["running"]) for step in steps)
    summary.unlink()
    found = {"cpu": cpu - cpu_before, "wall": wall - wall_before, "vehicle_seconds": vehicle_seconds, "crossings": None}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
