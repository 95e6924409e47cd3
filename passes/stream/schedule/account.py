"""The account of a scheduled program: where the cycles of its length go, by the tensor op that they are spent on.

The length is told as a **chain**. It begins at the cluster that ends last. A cluster starts when it does because in
the cycle before, an earlier one of the program still held what it needs (a queue, a stream), or had not yet left what
it waits for (a word of SRAM, a plane); that one started when it did because of another, and so on to the first cycle.
The cycles between the starts of two clusters of the chain are those for which the one has the other wait. They sum to
the length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, NamedTuple, cast

from xdsl.dialects.builtin import FileLineColLoc, IntegerAttr, ModuleOp

from ....dialects import tsp_stream as ts
from ....dialects.machine.target import ChipSpec, SystemSpec
from ....dialects.programs.records import program_length
from ....dialects.target_attr import target_of
from ..analysis.clusters import clusters, consumers, timed_ops, weights_load
from ..analysis.footprint import Footprint, Spans
from ..analysis.timing import required
from .stream_schedule import Access, Body, Memory, PlaneState, Scheduler, access_runs

LAST = "itself"
START = "the start"
TILES = "the tiles"
WRITTEN, STILL_USED, PLANE, STREAMS = "words written", "words still used", "plane's work", "streams"

_KINDS = {"VXM": "ALUs", "MEM": "SRAM ports", "SXM": "SXM", "C2C": "links"}
"""What is waited for, by the first part of a queue's name; the queues of a plane are told apart."""


@dataclass
class OpAccount:
    """What becomes of one op of the tensor level. Times in cycles."""

    line: int | None
    """Its line in its file; None for all ops that have none."""
    rows: int = 0
    """Rows of the result that it writes, of one tile of columns."""
    columns: int = 0
    """Columns of the result."""
    passes: int = 0
    """Runs of activations that add up to one result, summed over the planes that share it."""
    first: int = 1 << 62
    """The cycle of its first dispatch."""
    last: int = -1
    """The cycle of its last one."""
    work: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    """What it has to do, in cycles, by chip and resource: all planes, all ALUs, or one slice."""
    bounds: dict[str, int] = field(default_factory=dict[str, int])
    """The cycles that it needs at least for its `products`, its `weights`, its `ALUs` and its `SRAM` ports."""
    chain: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The cycles of the program's length in which it has the program wait, by what for."""
    beats: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Intervals [start, end) in which planes take its activations, one after the other for every plane."""

    @property
    def kind(self) -> str:
        """`product`, `map` or `move`, by the units that take part."""
        kinds = {resource for _, resource in self.work}
        return "product" if "products" in kinds else "map" if "ALUs" in kinds else "move"

    @property
    def plane_cycles(self) -> int:
        """Cycles in which planes take its activations, summed over the planes."""
        return sum(n for (_, resource), n in self.work.items() if resource == "products")

    @property
    def bound(self) -> int:
        """The greatest of its bounds."""
        return max(self.bounds.values(), default=0)

    @property
    def on_chain(self) -> int:
        return sum(self.chain.values())


@dataclass(frozen=True)
class Account:
    """What `account` finds."""

    cycles: int
    """The length of the program."""
    ops: tuple[OpAccount, ...]
    """In program order. Their cycles on the chain, `before` and `tiles` sum to the length."""
    before: int
    """Cycles before the first dispatch of the chain."""
    tiles: int
    """Cycles after its last one."""

    @property
    def causes(self) -> dict[str, int]:
        """The length by what is waited for."""
        total: dict[str, int] = defaultdict(int, {START: self.before, TILES: self.tiles})
        for op in self.ops:
            for cause, cycles in op.chain.items():
                total[cause] += cycles
        return dict(total)


def scheduled_length(module: ModuleOp) -> int:
    """The cycles of the program that a scheduled module becomes. Raises MalformedProgram before stream-schedule."""
    system = target_of(module)
    last = -1
    for op in timed_ops(module):
        start = required(op, "at", "stream-schedule").value.data
        last = max(last, *(start + spans[-1][1] - 1 for _, spans in Body(op, 0, system).dispatches))
    return program_length(last, system)


def account(module: ModuleOp) -> Account:
    """The account of a module of the stream level. Raises MalformedProgram before stream-schedule."""
    system = target_of(module)
    scheduler = Scheduler(system)
    placed = [_Placed.of(number, cluster, scheduler) for number, cluster in enumerate(clusters(module))]
    if not placed:
        cycles = program_length(-1, system)
        return Account(cycles, (), 0, cycles)
    ops: dict[int | None, OpAccount] = {}
    own = [ops.setdefault(c.line, OpAccount(c.line)) for c in placed]
    for cluster, op in zip(placed, own, strict=True):
        _count(op, cluster)
    for op in ops.values():
        op.bounds = _bounds(op, system.chip)
    final = max(placed, key=lambda c: c.last)
    end = final.last + 1
    for link in _chain(placed, final, system):
        own[link.holder.number].chain[link.cause] += max(0, end - link.holder.first)
        end = min(end, link.holder.first)
    length = program_length(final.last, system)
    return Account(length, tuple(ops.values()), end, length - final.last - 1)


# -- what ops do ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Placed:
    """A scheduled cluster."""

    number: int
    bodies: tuple[Body, ...]
    footprint: Footprint
    start: int
    """The cycle to which all that it holds is relative."""
    streams: dict[Hashable, int]
    """The number of the first stream of each group that it drives."""

    @staticmethod
    def of(number: int, cluster: list[ts.TimedOp], scheduler: Scheduler) -> _Placed:
        bodies, footprint = scheduler.footprint(cluster)
        start = required(cluster[0], "at", "stream-schedule").value.data
        driving = [op for op in cluster if isinstance(op, ts.DrivingOp) and op.on is not None]
        numbers: dict[Hashable, int] = {op.driven: cast(IntegerAttr, op.on).value.data for op in driving}
        return _Placed(number, tuple(bodies), footprint, start, numbers)

    @cached_property
    def first(self) -> int:
        """Its first dispatch."""
        return self.start + min(body.offset + body.first_dispatch for body in self.bodies)

    @cached_property
    def last(self) -> int:
        """Its last dispatch."""
        return self.start + max(b.offset + spans[-1][1] for b in self.bodies for _, spans in b.dispatches) - 1

    @cached_property
    def line(self) -> int | None:
        """The line of the tensor op that it comes from: of its last op, which uses what the others bring."""
        for body in reversed(self.bodies):
            if isinstance(loc := body.op.location, FileLineColLoc):
                return loc.line.data
        return None

    @cached_property
    def held(self) -> list[tuple[Hashable, Spans]]:
        """The queues and link slots that it keeps."""
        return [(need.resource, need.spans) for need in self.footprint.needs]

    @cached_property
    def driven(self) -> list[tuple[Hashable, Spans]]:
        """The registers that it keeps: of each zone of each stream number of a direction."""
        return [
            ((need.bank, number, zone), need.spans)
            for need in self.footprint.streams
            for number in range(self.streams[need.key], self.streams[need.key] + need.width)
            for zone in need.zones
        ]

    def streams_of(self, count: int) -> list[tuple[Hashable, Spans]]:
        """The registers that it could keep: those of all `count` streams of a direction."""
        return [
            ((need.bank, number, zone), need.spans)
            for need in self.footprint.streams
            for number in range(count)
            for zone in need.zones
        ]


def _count(op: OpAccount, cluster: _Placed) -> None:
    """Adds what a cluster does to the account of its op."""
    op.first, op.last = min(op.first, cluster.first), max(op.last, cluster.last)
    passes: dict[ts.TimedOp, int] = defaultdict(int)
    for body in cluster.bodies:
        where, vectors, start = body.op.chip_number, body.pace.count, cluster.start + body.offset
        match body.op:
            case ts.MatmulOp():
                planes, one = len(body.planes), body.op.result.type.vectors
                load = weights_load(body.op)
                passes[consumers(body.op.result)[0]] += body.op.passes
                op.work[where, "products"] += vectors * planes * planes
                if load.passes > 1:
                    period = max(one * planes, load.groups * load.bytes + 1)
                    op.work[where, "weights"] += body.op.passes * period * planes
                op.beats += [
                    (a + start, b + start) for q, s in body.dispatches if q.endswith("activations") for a, b in s
                ]
            case ts.VxmOp():
                op.work[where, "ALUs"] += vectors * len(body.op.alu_ops)
            case ts.ReadOp() | ts.WriteOp() | ts.GatherOp() | ts.ScatterOp():
                for slice_, _, run in access_runs(body.op):
                    op.work[where, str(slice_)] += prod(n for n, *_ in run.loops)
                if isinstance(body.op, ts.WriteOp | ts.ScatterOp):
                    shape = cast(ts.BufferType, body.op.buffer.type).tensor.get_shape()
                    op.rows, op.columns = prod(shape[:-1]), shape[-1]
            case _:
                pass
    op.passes = max(op.passes, *passes.values(), 0)


def _bounds(op: OpAccount, chip: ChipSpec) -> dict[str, int]:
    bounds: dict[str, int] = defaultdict(int)
    for (_, resource), cycles in op.work.items():
        units = {"products": chip.planes, "weights": chip.planes, "ALUs": chip.alus}.get(resource)
        name = resource if units else "SRAM"
        bounds[name] = max(bounds[name], -(-cycles // (units or 1)))
    return dict(bounds)


# -- the chain -----------------------------------------------------------------------------------------------------


class _Link(NamedTuple):
    """A cluster of the chain, and what the next one waits for while it has it."""

    holder: _Placed
    cause: str


def _chain(placed: Sequence[_Placed], final: _Placed, system: SystemSpec) -> Iterator[_Link]:
    """The chain from its end to its beginning."""
    holders: dict[Hashable, list[tuple[_Placed, Spans]]] = defaultdict(list)
    slices: dict[Hashable, list[tuple[_Placed, Body, Access]]] = defaultdict(list)
    planes: dict[tuple[int, int], list[tuple[_Placed, Body]]] = defaultdict(list)
    for cluster in placed:
        for resource, spans in (*cluster.held, *cluster.driven):
            holders[resource].append((cluster, spans))
        for body in cluster.bodies:
            for access in body.accesses:
                slices[access.slice].append((cluster, body, access))
            for plane in body.planes:
                planes[plane].append((cluster, body))

    def left(node: _Placed) -> Iterator[_Link]:
        """Those that left what a cluster takes just in time."""
        for body in node.bodies:
            due = node.start + body.offset
            for access in body.accesses:
                for other, giver, given in slices[access.slice]:
                    if other.number < node.number and (given.writes or access.writes):
                        memory = Memory(system.chip)
                        memory.commit(given, other.start + giver.offset)
                        if memory.earliest(access) == due:
                            yield _Link(other, WRITTEN if given.writes and not access.writes else STILL_USED)
            for plane in body.planes:
                for other, giver in planes[plane]:
                    if other.number < node.number:
                        state = PlaneState()
                        state.commit(giver, other.start + giver.offset)
                        if state.earliest(body) == due:
                            yield _Link(other, PLANE)

    def taken(node: _Placed, wanted: Sequence[tuple[Hashable, Spans]]) -> Iterator[_Link]:
        """Those that still held in the cycle before what a cluster takes."""
        for resource, spans in wanted:
            for other, theirs in holders[resource]:
                if other.number < node.number and _overlap(spans, node.start - 1, theirs, other.start):
                    yield _Link(other, _cause(resource))

    node, cause = final, LAST
    while True:
        yield _Link(node, cause)
        for found in (
            left(node),
            taken(node, node.held),
            taken(node, node.driven),
            taken(node, node.streams_of(system.chip.streams)),
        ):
            links = list(found)
            if links:
                node, cause = min(links, key=lambda link: (link.holder.first, link.holder.number))
                break
        else:
            return


def _overlap(one: Spans, at: int, other: Spans, since: int) -> bool:
    """Whether two sets of intervals, each relative to a cycle, have a cycle in common."""
    i = j = 0
    while i < len(one) and j < len(other):
        (a, b), (c, d) = one[i], other[j]
        if a + at < d + since and c + since < b + at:
            return True
        if b + at <= d + since:
            i += 1
        else:
            j += 1
    return False


def _cause(resource: Hashable) -> str:
    """What a resource of a footprint is called in an account."""
    where, *rest = cast("tuple[Any, ...]", resource)
    if isinstance(where, tuple):
        return STREAMS
    if rest[0] == "slots":
        return "links"
    kind, _, part = str(rest[0]).partition(".")
    return _KINDS.get(kind) or f"plane's {part.rpartition('.')[2]}"
