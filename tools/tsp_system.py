"""tsp-system: the chips, cables and hops of a system of many chips, as a table, JSON or a picture."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import cos, pi, sin
from pathlib import Path
from typing import Any

from ..dialects.errors import TargetError
from ..dialects.machine.target import DEFAULT_SYSTEM, SystemSpec, check_wiring, load_file
from ..dialects.machine.topology import Topology, bisection, hops
from ..dialects.machine.wirings import KINDS, Wiring
from .command_line import make_parser
from .diagnostics import check_writable, report_errors

_EPILOG = """\
A system file is a target file (TOML) with a table [system]: `chips`, and `wiring`, which is one of
  {kinds}
or the cables themselves, as "0.3 - 1.2, 0.4 - 2.0": link 3 of chip 0 to link 2 of chip 1, and so on. docs/system.md"""


def parser() -> argparse.ArgumentParser:
    made = make_parser("tsp-system", __doc__ or "")
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.epilog = _EPILOG.format(kinds=", ".join(f"`{kind}`" for kind in KINDS))
    made.add_argument("file", nargs="?", type=Path, help="a system file; by default the published machine")
    made.add_argument("--chips", type=int, help="chips, in place of those of the file")
    made.add_argument("--wiring", help="the wiring, in place of that of the file, such as `ring` or `torus 4 x 8`")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("-o", "--output", type=Path, metavar="SVG", help="write a picture of the cables")
    return made


def main(args: Sequence[str] | None = None) -> None:
    sys.exit(report_errors(lambda: run(parser().parse_args(args))))


def run(args: argparse.Namespace) -> None:
    """Prints what the command line asks for."""
    system = system_of(args)
    if args.output is not None:
        check_writable(args.output, ".svg")
    about = describe(system)
    if args.json:
        print(json.dumps(about, indent=2))
    else:
        print("\n".join(_table(system, about)))
    if args.output is not None:
        args.output.write_text(picture(system), encoding="utf-8")


def system_of(args: argparse.Namespace) -> SystemSpec:
    """The system of a command line. Raises TargetError for one that cannot be wired, or has chips without a way."""
    system = DEFAULT_SYSTEM if args.file is None else load_file(args.file)
    if args.chips is None and args.wiring is None:
        return system
    if args.chips is not None:
        system = replace(system, chips=args.chips)
    if args.wiring is not None:
        system = replace(system, wiring=Wiring.parse(args.wiring))
    try:
        check_wiring(system)
    except TargetError as e:
        raise TargetError(f"{args.file}: {e}" if args.file is not None else str(e)) from None
    return system


def groups_of(system: SystemSpec) -> tuple[str, list[int]]:
    """What the chips are counted in, the largest of racks, nodes and chips of which there are several; and by chip the
    number of its group."""
    size = system.chips_per_node * system.nodes_per_rack
    name = system.wiring.kind
    racked = name.startswith("racks") or (
        name == "default" and system.chips > system.chips_per_node * system.max_direct_nodes
    )
    kinds = [("racks", size)] if racked else []
    kinds += [("nodes", system.chips_per_node)] if racked or name in ("default", "nodes") else []
    for kind, of in (*kinds, ("chips", 1)):
        if system.chips > of:
            return kind, [chip // of for chip in range(system.chips)]
    return "chips", [0] * system.chips


def describe(system: SystemSpec) -> dict[str, Any]:
    """What there is to say of a system: numbers by name; hops are cables on the shortest way between two chips."""
    topology = Topology.of(system)
    found = hops(topology, system.chips)
    kind, groups = groups_of(system)
    used = Counter(port.chip for cable in topology.cables for port in cable)
    ports = [used[chip] for chip in range(system.chips)]
    return {
        "wiring": str(system.wiring) if system.wiring.kind != "cables" else "cables",
        "chips": system.chips,
        "nodes": -(-system.chips // system.chips_per_node),
        "racks": -(-system.chips // (system.chips_per_node * system.nodes_per_rack)),
        "spare_nodes": system.spare_nodes,
        "cables": len(topology.cables),
        "ports_used": {"least": min(ports), "most": max(ports), "of": system.chip.links},
        "sram_bytes": system.chips * 2 * system.chip.slices * system.chip.words * system.chip.lanes,
        "hops": list(found.histogram),
        "diameter": found.diameter,
        "mean_hops": found.mean,
        "hop_cycles": system.hop,
        "bisection": {"of": kind, "cables": bisection(topology, groups)},
    }


def _table(system: SystemSpec, about: dict[str, Any]) -> Iterator[str]:
    """The table for people."""
    clock = system.chip.clock_mhz
    chips, ports = about["chips"], about["ports_used"]
    pairs = chips * (chips - 1)
    rate = system.chip.lanes * clock / system.link_slot / 1000
    wire = system.link_latency / clock
    yield f"wiring      {about['wiring']}"
    places = f"nodes {about['nodes']}, racks {about['racks']}, spare nodes of each {about['spare_nodes']}"
    yield f"chips       {chips}: {places}"
    yield f"SRAM        {about['sram_bytes'] / 2**30:.2f} GiB"
    yield f"cables      {about['cables']}; a chip uses {ports['least']} to {ports['most']} of {ports['of']} links"
    half = about["bisection"]
    yield (
        f"bisection   {half['cables']} cables between two halves of the {half['of']}, "
        f"{half['cables'] * rate:.1f} GB/s each way"
    )
    yield f"hops        {about['diameter']} at most, {about['mean_hops']:.3f} on average; a hop is a cable"
    for count, number in enumerate(about["hops"][1:], 1):
        yield f"  {count}  {number:>12} pairs  {number / pairs:6.1%}"
    yield (
        f"latency     {about['hop_cycles']} cycles a hop from memory to memory ({about['hop_cycles'] / clock:.3f} us), "
        f"{about['diameter'] * about['hop_cycles'] / clock:.2f} us the farthest; on the wires alone "
        f"{about['diameter'] * wire:.2f} us"
    )


_SIZE = 900
"""Width and height of a picture."""


def picture(system: SystemSpec) -> str:
    """The cables of a system as SVG: racks, nodes or chips on a circle, of which a line is the wider the more cables it
    stands for."""
    kind, groups = groups_of(system)
    count = max(groups) + 1
    lines: Counter[tuple[int, int]] = Counter()
    for a, b in Topology.of(system).cables:
        first, second = sorted((groups[a.chip], groups[b.chip]))
        if first != second:
            lines[first, second] += 1
    radius, middle = 0.43 * _SIZE, _SIZE / 2

    def at(group: int) -> tuple[float, float]:
        angle = 2 * pi * group / count - pi / 2
        return middle + radius * cos(angle), middle + radius * sin(angle)

    most = max(lines.values(), default=1)
    thin = 0.3 + 2.2 / max(1.0, len(lines) / 40)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" font-family="sans-serif">',
        f"<title>{system.chips} chips: {count} {kind}, {sum(lines.values())} cables between them</title>",
        f'<rect width="{_SIZE}" height="{_SIZE}" fill="white"/>',
    ]
    for (a, b), number in sorted(lines.items()):
        (x, y), (u, v) = at(a), at(b)
        width = thin * (0.5 + 0.5 * number / most)
        parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{u:.1f}" y2="{v:.1f}" stroke="#4477aa" stroke-width="{width:.2f}" '
            f'stroke-opacity="0.6"><title>{kind[:-1]} {a} to {kind[:-1]} {b}: {number} cables</title></line>'
        )
    size = max(2.0, min(18.0, 0.8 * pi * radius / count))
    for group in range(count):
        x, y = at(group)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" fill="#ddcc77" stroke="#333">'
            f"<title>{kind[:-1]} {group}: {groups.count(group)} chips</title></circle>"
        )
        if size >= 8:
            parts.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" text-anchor="middle" '
                f'dominant-baseline="central">{group}</text>'
            )
    wiring = "cables of a file" if system.wiring.kind == "cables" else str(system.wiring)
    caption = f"{system.chips} chips, wiring {wiring}: {kind}"
    parts.append(f'<text x="12" y="26" font-size="16">{caption}</text>\n</svg>')
    return "\n".join(parts) + "\n"
