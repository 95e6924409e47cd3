"""`tsp-run --profile`: how busy every unit is, what bounds the length of a program from below, and what the rest is.

All of it follows from the timed records. A bound says: with what it has to do, this resource alone makes the program at
least so long. The one with the greatest bound binds, and the cycles by which the program is longer are told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..dialects.machine.effects import Effect
from ..dialects.machine.intervals import Ints
from ..dialects.machine.stream_code import DIRECTIONS, StreamCode, direction_of, flowing, place_of
from ..dialects.machine.target import SystemSpec
from ..dialects.programs.issues import Issues
from ..dialects.programs.records import ChipProgram, Program
from .critical import CriticalPath, critical_path
from .flows import Flows, Matched


@dataclass(frozen=True)
class UnitUse:
    """One instruction queue and its unit. Times in cycles."""

    chip: int
    number: int
    """The queue's number on the chip."""
    name: str
    kind: str
    busy: int
    """Cycles in which it is occupied."""
    first: int
    """The first of them."""
    last: int
    """The last of them."""


@dataclass(frozen=True)
class KindUse:
    """All units of a kind in the system."""

    kind: str
    units: int
    """How many there are."""
    used: int
    """How many do something."""
    busy: int
    """Cycles in which they are occupied, summed over the units."""
    busiest: UnitUse


@dataclass(frozen=True)
class Bound:
    """The least length of a program that one resource allows."""

    resource: str
    """What it is, with its place: `MXM activations of chip 0`."""
    work: str
    """What it has to do, as arithmetic: `720 cycles / 4 units`."""
    cycles: int
    """The cycles that it needs at least, between the first dispatch that is possible and the last."""
    length: int
    """The least length of the program: the start before those cycles, and the tiles after them."""
    rest: tuple[tuple[str, int], ...]
    """What makes the program longer than that: each part with its cycles, which sum to the difference."""


@dataclass(frozen=True)
class Profile:
    """What `profile` finds."""

    cycles: int
    """The length of the program."""
    units: tuple[UnitUse, ...]
    """The units that do something, by chip and queue."""
    kinds: tuple[KindUse, ...]
    bounds: tuple[Bound, ...]
    """The greatest first."""
    path: CriticalPath

    @property
    def binding(self) -> Bound:
        """The bound that is nearest to the length."""
        return self.bounds[0]


@dataclass(frozen=True)
class _Ends:
    """The window of a program: the first cycle that can dispatch, the last that does, and what follows it."""

    start: int
    last: int
    tiles: int


def profile(program: Program) -> Profile:
    """The use of every unit of a program, its bounds, and which of them binds."""
    flows = Flows(program)
    units = tuple(u for c in program.chips for u in _units(c, program.system))
    path = critical_path(flows)
    tiles = program.system.chip.tiles
    ends = _Ends(path.start, program.cycles - tiles - 1, tiles)
    bounds = [_path_bound(path, ends)]
    for number, chip in enumerate(program.chips):
        own = [u for u in units if u.chip == chip.chip]
        bounds += [*_unit_bounds(chip.chip, own, program.system, ends)]
        bounds += [*_stream_bounds(chip.chip, flows.of("stream", number), flows.issues, ends)]
        bounds += _link_bounds(chip, program.system, ends)
    bounds.sort(key=lambda b: (-b.length, b.resource))
    return Profile(program.cycles, units, tuple(_kinds(units, program)), tuple(bounds), path)


def _units(chip: ChipProgram, system: SystemSpec) -> Iterator[UnitUse]:
    """The units of a chip that do something, by queue; a chip's records come by queue and then by cycle."""
    busy: dict[int, list[int]] = {}
    for record in chip.records:
        use = busy.setdefault(record.queue, [0, record.at, 0])
        use[0] += record.busy
        use[2] = record.last
    for number, (cycles, first, last) in busy.items():
        queue = system.chip.queues[number]
        yield UnitUse(chip.chip, number, queue.name, queue.kind, cycles, first, last)


def _kinds(units: Sequence[UnitUse], program: Program) -> Iterator[KindUse]:
    for kind, there in _counts(program.system).items():
        used = [u for u in units if u.kind == kind]
        if used:
            busiest = max(used, key=lambda u: u.busy)
            yield KindUse(kind, there * len(program.chips), len(used), sum(u.busy for u in used), busiest)


def _counts(system: SystemSpec) -> dict[str, int]:
    """How many units of each kind a chip has."""
    counts: dict[str, int] = defaultdict(int)
    for queue in system.chip.queues:
        counts[queue.kind] += 1
    return counts


# -- bounds --------------------------------------------------------------------------------------------------------


def _bound(resource: str, work: str, cycles: int, busiest: int, first: int, last: int, ends: _Ends) -> Bound:
    """The bound of a resource that needs `cycles`, whose busiest unit is `busiest` cycles at work between the cycles
    `first` and `last`."""
    rest = (
        ("before its first use", first - ends.start),
        ("its units not being used alike", busiest - cycles),
        ("idle between its uses", last + 1 - first - busiest),
        ("after its last use", ends.last - last),
    )
    return Bound(resource, work, cycles, ends.start + cycles + ends.tiles, rest)


def _unit_bounds(chip: int, units: Sequence[UnitUse], system: SystemSpec, ends: _Ends) -> Iterator[Bound]:
    """A bound for each kind of unit: its work shared by all units of the kind. SRAM slices do not stand in for each
    other, since the data lie in them: there it is that of the busiest. Links have a bound of their own."""
    counts = _counts(system)
    for kind in dict.fromkeys(u.kind for u in units if u.kind != "C2C"):
        used = [u for u in units if u.kind == kind]
        busiest = max(used, key=lambda u: u.busy)
        total = sum(u.busy for u in used)
        name, cycles, work = kind, -(-total // counts[kind]), f"{total} cycles / {counts[kind]} units"
        if kind == "MEM":
            name, cycles, work = f"port of {busiest.name}", busiest.busy, f"{busiest.busy} cycles"
        yield _bound(f"{name}, chip {chip}", work, cycles, busiest.busy, busiest.first, busiest.last, ends)


def _link_bounds(chip: ChipProgram, system: SystemSpec, ends: _Ends) -> Iterator[Bound]:
    """A bound for the link that sends most: a slot for every vector but the last, which needs its cycle alone."""
    sends: dict[int, list[int]] = {}
    for record in chip.records:
        if record.instruction.effect is Effect.SEND:
            use = sends.setdefault(record.queue, [0, record.at, 0])
            use[0] += record.dispatches
            use[2] = record.last
    if not sends:
        return
    queue, (count, first, last) = max(sends.items(), key=lambda item: item[1][0])
    slot = system.link_slot
    cycles = (count - 1) * slot + 1
    name = f"link {system.chip.queues[queue].unit}, chip {chip.chip}"
    yield _bound(name, f"{count} vectors, {slot} cycles apart", cycles, cycles, first, last, ends)


def _path_bound(path: CriticalPath, ends: _Ends) -> Bound:
    rest = [(f"{s.queue} waits longer than it must at cycle {s.at}", s.waits) for s in path.steps if s.waits]
    cycles = path.last + 1 - path.start
    rest.append(("after the path's last dispatch", ends.last - path.scheduled))
    work = f"{len(path.steps)} bodies, one after the other"
    return Bound("critical path", work, cycles, path.start + cycles + ends.tiles, tuple(rest))


def _stream_bounds(chip: int, streams: Sequence[Matched], issues: Issues, ends: _Ends) -> Iterator[Bound]:
    """For each direction a bound for the hop that most vectors pass, shared by all streams of the direction."""
    spec = issues.spec
    for direction in DIRECTIONS:
        ways = [m for m in streams if len(m.edges.c) and direction_of(StreamCode(m.way.number)) == direction]
        if not ways:
            continue
        passing = [_passing(issues, way) for way in ways]
        totals = np.sum([p.vectors for p in passing], axis=0)
        hop = int(np.argmax(totals))
        if not (total := int(totals[hop])):
            continue
        busiest = max(passing, key=lambda p: p.vectors[hop])
        one = StreamCode(ways[0].way.number)  # of this direction
        source, target = (flowing(one, place - spec.mxm_distance) for place in (hop, hop + 1))
        name = f"streams {direction} from {source:+d} to {target:+d}, chip {chip}"
        cycles = max(0, -(-total // spec.streams) - spec.latency_write)  # a write may sample after its dispatch
        first, last = int(busiest.first[hop]), int(busiest.last[hop])
        work = f"{total} vectors / {spec.streams} streams"
        yield _bound(name, work, cycles, int(busiest.vectors[hop]), first, last, ends)


@dataclass(frozen=True)
class _Passing:
    """The vectors of one stream that pass each hop, from the first register of its way on: [hops] each."""

    vectors: Ints
    first: Ints
    """The cycle in which the first of them leaves the register before the hop."""
    last: Ints
    """The cycle in which the last of them does."""


def _passing(issues: Issues, matched: Matched) -> _Passing:
    spec, edges = issues.spec, matched.edges
    order = np.argsort(edges.p, kind="stable")
    start, end = edges.p[order], (edges.p + edges.count)[order]
    code = StreamCode(matched.way.number)

    def where(issue: Ints) -> Ints:
        """The place of each issue's unit on the way."""
        places = [place_of(code, shape.queue.position, spec.mxm_distance) for shape in issues.shapes]
        return np.array(places, np.int64)[issues.shape[issues.record_of(issue)]]

    source, target = where(start), where(edges.c[order])
    leads = np.array([shape.instruction.d_func(spec) for shape in issues.shapes], np.int64)
    lead = leads[issues.shape[issues.record_of(start)]] - source
    leaving = issues.time_of(start) + lead, issues.time_of(end - 1) + lead  # the first register of all
    hops = 2 * spec.mxm_distance
    vectors, first, last = (np.zeros(hops, np.int64) for _ in range(3))
    for hop in range(hops):
        passes = (source <= hop) & (hop < target)
        if passes.any():
            begins, ends = start[passes], np.maximum.accumulate(end[passes])
            fresh = np.maximum(begins[1:], ends[:-1])  # what an earlier edge, to another taker, has not counted yet
            vectors[hop] = ends[0] - begins[0] + np.maximum(ends[1:] - fresh, 0).sum()
            first[hop], last[hop] = leaving[0][passes].min() + hop, leaving[1][passes].max() + hop
    return _Passing(vectors, first, last)
