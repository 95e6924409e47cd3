"""stream-schedule: when everything happens, and on which streams.

Ops joined by streams are one rigid body: once its start is fixed, distance and latency fix the rest. Each body has a
footprint of intervals on queues, links and stream diagonals; bodies are taken in program order and each is placed at
the earliest start at which its whole footprint is free and everything that it depends on has happened: words of SRAM
written before they are read, weights installed before and until they are used, accumulators summed in order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from ...dialects import tsp_stream as ts
from ...dialects.errors import MalformedProgram, ScheduleError
from ...dialects.locations import describe
from ...dialects.target import ChipSpec, SystemSpec
from ...dialects.target_attr import target_of
from .alu_levels import alu_levels
from .clusters import clusters, consumers, timed_ops
from .footprint import Footprint, Interval, Reservations, StreamNeed
from .stream_allocate import check_allocation
from .timing import (
    access_queues,
    cycle_on,
    diagonal,
    drive,
    interval,
    lane_queue,
    latency,
    place_of,
    required,
    samples,
    slice_positions,
)

NEVER = np.int64(-(1 << 62))
"""A time before everything."""


@dataclass(frozen=True)
class StreamSchedulePass(ModulePass):
    """Decides the start cycle of every op and the number of every stream."""

    name = "stream-schedule"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        check_allocation(op)
        scheduler = Scheduler(target_of(op))
        for cluster in clusters(op):
            scheduler.place(cluster)


def check_schedule(module: ModuleOp) -> None:
    """Raises ScheduleError, naming the op, unless a module is scheduled as stream-schedule could have done it.

    Every op starts when its streams are there, no queue, link or stream serves two ops at once, and memory and planes
    are used in the order of the ops.
    """
    for op in timed_ops(module):
        required(op, "at", "stream-schedule")
    check_allocation(module)
    scheduler = Scheduler(target_of(module))
    for cluster in clusters(module):
        scheduler.check(cluster)


class Scheduler:
    """Places clusters one after the other."""

    def __init__(self, system: SystemSpec):
        self.system, self.chip = system, system.chip
        self.reservations = Reservations(self.chip.streams)
        self.memory = Memory()
        self.planes: dict[tuple[int, int], PlaneState] = defaultdict(PlaneState)

    def place(self, cluster: list[ts.TimedOp]) -> None:
        """Schedules one cluster: sets `at` of its ops and `on` of its streams."""
        bodies, footprint = self._footprint(cluster)
        placed = self.reservations.place(footprint, max(self._earliest(body) for body in bodies))
        if placed is None:
            raise ScheduleError(
                f"{describe(cluster[0])}: this op and the {len(cluster) - 1} joined to it by streams need more streams "
                f"at once than the {self.chip.streams} of a direction; let a value rest in SRAM in between"
            )
        start, streams = placed
        for body in bodies:
            body.op.at = IntegerAttr(start + body.offset, i64)
            if isinstance(body.op, ts.DrivingOp) and body.op.driven in streams:
                body.op.on = IntegerAttr(streams[body.op.driven], i64)
            self._commit(body, start + body.offset)

    def check(self, cluster: list[ts.TimedOp]) -> None:
        """Takes what a scheduled cluster says that it takes. Raises ScheduleError when it cannot."""
        bodies, footprint = self._footprint(cluster)
        first = describe(cluster[0])
        start = required(cluster[0], "at", "stream-schedule").value.data
        for body in bodies:
            if (at := required(body.op, "at", "stream-schedule").value.data) != start + body.offset:
                raise ScheduleError(
                    f"{describe(body.op)}: starts in cycle {at}, but by the streams that join it to {first} it is due "
                    f"in {start + body.offset}"
                )
        if start < (earliest := max(self._earliest(body) for body in bodies)):
            raise ScheduleError(
                f"{first}: starts in cycle {start}, but what it needs is there for a start in {earliest}"
            )
        driving = [op for op in cluster if isinstance(op, ts.DrivingOp) and drive(op) is not None]
        streams: dict[Hashable, int] = {op.driven: required(op, "on", "stream-schedule").value.data for op in driving}
        if (taken := self.reservations.claim(footprint, start, streams)) is not None:
            raise ScheduleError(
                f"{first}: it, or an op that streams join to it, takes {resource_text(taken)} while another op needs it"
            )
        for body in bodies:
            self._commit(body, start + body.offset)

    def _footprint(self, cluster: list[ts.TimedOp]) -> tuple[list[Body], Footprint]:
        offsets = relative_starts(cluster, self.system)
        bodies = [Body(op, offsets[op], self.system) for op in cluster]
        check_apart(bodies)
        footprint = Footprint(
            tuple(i for body in bodies for i in body.intervals()),
            tuple(need for body in bodies if (need := body.stream_need(offsets)) is not None),
        )
        return bodies, footprint

    def _earliest(self, body: Body) -> int:
        """The earliest start of the cluster that this op allows."""
        bound = self.system.release - body.first_dispatch
        for access in body.accesses():
            bound = max(bound, self.memory.earliest(access))
        if body.plane is not None:
            bound = max(bound, self.planes[body.plane].earliest(body))
        return bound - body.offset

    def _commit(self, body: Body, start: int) -> None:
        for access in body.accesses():
            self.memory.commit(access, start)
        if body.plane is not None:
            self.planes[body.plane].commit(body, start)


# -- rigid bodies --------------------------------------------------------------------------------------------------


def relative_starts(cluster: list[ts.TimedOp], system: SystemSpec) -> dict[ts.TimedOp, int]:
    """The starts of a cluster's ops relative to its first op, as the streams between them dictate.

    Raises ScheduleError where two ways between two ops take different times.
    """
    edges: dict[ts.TimedOp, list[tuple[ts.TimedOp, int]]] = defaultdict(list)
    for producer, consumer, lag in _edges(cluster, system):
        edges[producer].append((consumer, lag))
        edges[consumer].append((producer, -lag))
    starts = {cluster[0]: 0}
    queue = deque([cluster[0]])
    while queue:
        op = queue.popleft()
        for other, lag in edges[op]:
            if other not in starts:
                starts[other] = starts[op] + lag
                queue.append(other)
            elif starts[other] != starts[op] + lag:
                slip = abs(starts[other] - starts[op] - lag)
                raise ScheduleError(
                    f"{describe(other)}: two streams that meet here come {slip} cycles apart; let one rest in SRAM"
                )
    return starts


def _edges(cluster: list[ts.TimedOp], system: SystemSpec) -> Iterator[tuple[ts.TimedOp, ts.TimedOp, int]]:
    """Producer, consumer, and the cycles from the one's start to the other's."""
    for op in cluster:
        if isinstance(op, ts.ReceiveOp):
            yield cast(ts.SendOp, op.flight.owner), op, system.chip.latency_send + system.link_latency
        for sample in samples(op):
            producer = sample.value.owner
            if not isinstance(producer, ts.DrivingOp):
                raise MalformedProgram(f"{describe(op)}: its stream comes from no op that drives one")
            driven = drive(producer)
            assert driven is not None and driven.value is sample.value
            way = direction_of(producer)
            yield (
                producer,
                op,
                cycle_on(way, diagonal(way, driven.offset, driven.position), sample.position) - sample.offset,
            )


def direction_of(op: ts.DrivingOp) -> str:
    """The direction of the stream that an op drives. Raises MalformedProgram before stream-place."""
    if op.direction is None:
        raise MalformedProgram(f"{describe(op)}: has no `direction`; run stream-place first")
    return op.direction.data


@dataclass(frozen=True)
class Access:
    """The words of one slice that an op visits, and when, in cycles after its start."""

    slice: tuple[int, str]
    """Chip and MEM queue."""
    words: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    """When SRAM is read or written: a write does so when it samples its stream, not when it is dispatched."""
    writes: bool


class Body:
    """One op of a cluster, `offset` cycles after the cluster's start."""

    def __init__(self, op: ts.TimedOp, offset: int, system: SystemSpec):
        self.op, self.offset, self.system = op, offset, system
        self.chip: ChipSpec = system.chip
        self.every = interval(op)
        self.vectors = _vectors(op)
        self.span = (self.vectors - 1) * self.every + 1
        """Cycles from the first vector to the last, both included."""
        attr = getattr(op, "plane", None)
        self.plane: tuple[int, int] | None = (op.chip_number, attr.value.data) if attr is not None else None

    def dispatches(self) -> Iterator[tuple[str, int, int]]:
        """The queues that the op uses: name, first dispatch after the op's start, cycles until past the last."""
        op, chip = self.op, self.chip
        match op:
            case ts.ReadOp() | ts.WriteOp() | ts.GatherOp() | ts.ScatterOp():
                for queue, shift in zip(access_queues(op), slice_shifts(op), strict=True):
                    yield queue, shift, self.span
            case ts.LaneOp():
                yield lane_queue(op), 0, self.span
            case ts.LoadWeightsOp():
                yield f"MXM.{required(op, 'plane', 'stream-place').value.data}.weights", 0, self.span + 1
            case ts.MatmulOp():
                plane = required(op, "plane", "stream-place").value.data
                yield f"MXM.{plane}.activations", 0, self.span
                yield f"MXM.{plane}.accumulators", latency("abc", chip), self.span
            case ts.VxmOp():
                if op.alus is None:
                    raise MalformedProgram(f"{describe(op)}: has no `alus`; run stream-place first")
                for alu, level in zip(op.alus.get_values(), alu_levels(op).values(), strict=True):
                    yield f"VXM.{alu}", level * chip.latency_alu, self.span
            case ts.SendOp() | ts.ReceiveOp():
                yield f"C2C.{op.link.value.data}", 0, self.span
            case _:
                raise MalformedProgram(f"{describe(op)}: has no instructions")

    @property
    def first_dispatch(self) -> int:
        """The first dispatch after the op's start; slices side by side may come before it."""
        return min(shift for _, shift, _ in self.dispatches())

    def intervals(self) -> Iterator[Interval]:
        """The queues and link slots that the op holds, relative to the cluster's start."""
        for queue, shift, span in self.dispatches():
            yield Interval((self.op.chip_number, queue), self.offset + shift, self.offset + shift + span)
        if isinstance(self.op, ts.SendOp):
            slots = (self.op.chip_number, "slots", self.op.link.value.data)
            yield Interval(slots, self.offset, self.offset + self.span - 1 + self.system.link_slot)

    def stream_need(self, offsets: dict[ts.TimedOp, int]) -> StreamNeed | None:
        """The streams that the op drives, from where it does to its last consumer."""
        touch = drive(self.op)
        if touch is None:
            return None
        way = direction_of(cast(ts.DrivingOp, self.op))
        positions = list(touch.positions)
        for consumer in consumers(touch.value):
            positions += [p for s in samples(consumer) if s.value is touch.value for p in s.positions]
        first = diagonal(way, self.offset + touch.offset, touch.position)
        width = cast(ts.StreamType, touch.value.type).width
        bank = (self.op.chip_number, way)
        return StreamNeed(touch.value, bank, width, first, first + self.span, min(positions), max(positions))

    def accesses(self) -> Iterator[Access]:
        """The words that the op reads or writes."""
        op = self.op
        if not isinstance(op, ts.AccessOp):
            return
        place = place_of(op.buffer)
        if place.address is None:
            raise MalformedProgram(f"{describe(op)}: its buffer has no address; run stream-allocate first")
        writes = isinstance(op, ts.WriteOp | ts.ScatterOp)
        late = self.chip.latency_write if writes else 0
        words, times = op.words.data.words(), np.arange(self.vectors, dtype=np.int64) * self.every
        if isinstance(op, ts.GatherOp | ts.ScatterOp):  # any word of the buffer, from the first vector to the last
            depth = place.layout.depth(cast(ts.BufferType, op.buffer.type).shape, self.chip)
            words, times = np.tile(np.arange(depth), 2), np.repeat(times[[0, -1]], depth)
        for queue, shift in zip(access_queues(op), slice_shifts(op), strict=True):
            yield Access((op.chip_number, queue), words + place.address, times + late + shift, writes)


def slice_shifts(op: ts.AccessOp) -> list[int]:
    """For slices side by side: their dispatches after the first slice's, so that all meet one diagonal.

    Raises ScheduleError where streams of both directions would have to.
    """
    positions = slice_positions(op, target_of(op).chip)
    streams = [ts.origin(v)[0].owner for v in (*op.operands, *op.results) if isinstance(v.type, ts.StreamType)]
    ways = {direction_of(stream) for stream in streams if isinstance(stream, ts.DrivingOp)}
    if len(ways) > 1 and len({*positions}) > 1:
        raise ScheduleError(
            f"{describe(op)}: its streams flow both ways, so they cannot meet at slices of several positions; put the "
            "bytes of the buffer into slices of one, or access them one by one with `byte`"
        )
    sign = 1 if "E" in ways else -1
    return [sign * (p - positions[0]) for p in positions]


def _vectors(op: ts.TimedOp) -> int:
    """The steps of an op: vectors that follow each other."""
    value: SSAValue = op.results[0] if isinstance(op, ts.ReadOp | ts.ReceiveOp | ts.VxmOp) else op.operands[0]
    return cast(ts.StreamType, value.type).vectors


def check_apart(bodies: Sequence[Body]) -> None:
    """Raises ScheduleError where two ops of one cluster need a queue or a link at once: no start would help."""
    held = sorted(
        ((i.start, i.end, body.op, i.resource) for body in bodies for i in body.intervals()), key=lambda h: h[0]
    )
    last: dict[Hashable, tuple[int, ts.TimedOp]] = {}
    for start, end, op, resource in held:
        until, before = last.get(resource, (start, op))
        if start < until:
            name = resource_text(resource)
            raise ScheduleError(
                f"{describe(op)}: needs {name} for {until - start} cycles in which {describe(before)}, joined to it by "
                "streams, still does; give one of them another buffer, or let a value rest in SRAM in between"
            )
        last[resource] = (end, op)


def resource_text(resource: Hashable) -> str:
    """The name of what a footprint holds, for messages: (chip, queue), (chip, "slots", link), ((chip, way), stream)."""
    where, *rest = cast("tuple[Any, ...]", resource)
    return f"stream {where[1]}{rest[0]}" if isinstance(where, tuple) else " ".join(map(str, rest))


# -- dependences ---------------------------------------------------------------------------------------------------


class Memory:
    """When each word of SRAM was last written and read by what is placed so far."""

    def __init__(self) -> None:
        self.written: dict[tuple[int, str], npt.NDArray[np.int64]] = {}
        self.read: dict[tuple[int, str], npt.NDArray[np.int64]] = {}

    def earliest(self, access: Access) -> int:
        """The earliest start of the op at which every word is read after its write and written after its uses."""
        bound = NEVER
        times = [self.written, self.read] if access.writes else [self.written]
        for table in times:
            before = self._of(table, access)[access.words]
            bound = max(bound, (before + 1 - access.times).max())
        return int(max(bound, 0))

    def commit(self, access: Access, start: int) -> None:
        table = self._of(self.written if access.writes else self.read, access)
        np.maximum.at(table, access.words, access.times + start)

    def _of(self, table: dict[tuple[int, str], npt.NDArray[np.int64]], access: Access) -> npt.NDArray[np.int64]:
        size = int(access.words.max()) + 1
        known = table.get(access.slice, np.zeros(0, np.int64))
        if len(known) < size:
            known = np.concatenate([known, np.full(size - len(known), NEVER)])
            table[access.slice] = known
        return known


@dataclass
class PlaneState:
    """What has been placed on one MXM plane. Its work stays in program order."""

    weights: SSAValue | None = None
    """The weights of the last load."""
    installed: int = 0
    """The first cycle in which activations meet them."""
    free: int = 0
    """The first cycle in which activations may follow the last placed ones."""
    sums: SSAValue | None = None
    """The partial sums that rest in the accumulators."""

    def earliest(self, body: Body) -> int:
        """The earliest start of a load or a product. Raises ScheduleError for work that the plane cannot keep apart."""
        op = body.op
        if isinstance(op, ts.LoadWeightsOp):
            return self.free - body.span - body.chip.latency_install
        assert isinstance(op, ts.MatmulOp)
        if op.weights is not self.weights:
            raise ScheduleError(f"{describe(op)}: its weights were replaced by a later load into plane {body.plane}")
        if self.sums is not None and op.partial is not self.sums:
            raise ScheduleError(f"{describe(op)}: partial sums still rest in the accumulators of plane {body.plane}")
        return max(self.installed, self.free)

    def commit(self, body: Body, start: int) -> None:
        op = body.op
        if isinstance(op, ts.LoadWeightsOp):
            self.weights = op.weights
            self.installed = start + body.span + body.chip.latency_install
        elif isinstance(op, ts.MatmulOp):
            self.free = start + body.span
            self.sums = None if op.emits else op.result
