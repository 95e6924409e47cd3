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
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.errors import MalformedProgram, ScheduleError
from ....dialects.locations import describe
from ....dialects.machine.layout import Run, runs
from ....dialects.machine.target import ChipSpec, SystemSpec
from ....dialects.placement import Slice
from ....dialects.target_attr import target_of
from ...policy import Policy
from ..analysis.alu_levels import alu_levels
from ..analysis.cached_analysis import analyses_preserved, cached_analysis
from ..analysis.clusters import clusters, consumers, timed_ops, weights_load
from ..analysis.footprint import Footprint, Need, Reservations, Spans, StreamNeed, break_of
from ..analysis.timing import (
    access_parts,
    access_positions,
    access_slices,
    activation_op,
    cycle_on,
    diagonal,
    drive,
    drive_pace,
    install_cycles,
    is_written,
    lane_queue,
    latency,
    pace,
    place_of,
    product_offset,
    repeat_limits,
    required,
    samples,
    slice_position,
    writes,
)
from ..placement.stream_allocate import check_allocation, stays

NEVER = np.int64(-(1 << 62))
"""A time before everything."""


@dataclass(frozen=True)
class StreamSchedulePass(ModulePass):
    """Decides the start cycle of every op and the number of every stream. A module in which some are decided is only
    checked, as it is.

    Raises ScheduleError where the ops as placed have no schedule, or one that is there is not whole or not right.
    """

    name = "stream-schedule"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if is_scheduled(op):
            check_whole(op)
            check_schedule(op)
            return
        check_allocation(op)
        scheduler = Scheduler(target_of(op))
        with analyses_preserved():  # but for their cycles and the numbers of their streams
            for cluster in clusters(op):
                scheduler.place(cluster)


def is_scheduled(module: ModuleOp) -> bool:
    """Whether the cycle of an op or the number of a stream is decided."""
    return any(op.at is not None or (isinstance(op, ts.DrivingOp) and op.on is not None) for op in timed_ops(module))


def check_whole(module: ModuleOp) -> None:
    """Raises ScheduleError, naming the first op, where what is missing in a schedule would have to be decided again."""
    missing = [
        (op, name)
        for op in timed_ops(module)
        for name in ("at", *(("on",) if isinstance(op, ts.DrivingOp) else ()))
        if op.properties.get(name) is None
    ]
    if missing:
        (op, name), more = missing[0], f", as do {len(missing) - 1} others" if len(missing) > 1 else ""
        raise ScheduleError(
            f"{describe(op)}: lacks its `{name}`{more}, while the module has others; a given schedule is checked, "
            "never completed: add what is missing, or omit `at` and `on` of all ops for a new one"
        )


def check_schedule(module: ModuleOp) -> None:
    """Raises ScheduleError, naming the op, unless a module is scheduled as stream-schedule could have done it.

    Every op starts when its streams are there, no queue, link or stream serves two ops at once, and memory and planes
    are used in the order of the ops.
    """
    for op in timed_ops(module):
        required(op, "at", "stream-schedule")
    check_allocation(module)
    scheduler = Scheduler(target_of(module))
    with analyses_preserved():
        for cluster in clusters(module):
            scheduler.check(cluster)


class Scheduler:
    """Places clusters one after the other."""

    def __init__(self, system: SystemSpec):
        self.system, self.chip = system, system.chip
        self.reservations = Reservations(self.chip.streams)
        self.memory = Memory(self.chip)
        self.planes: dict[tuple[int, int], PlaneState] = defaultdict(PlaneState)

    def place(self, cluster: list[ts.TimedOp]) -> None:
        """Schedules one cluster: sets `at` of its ops and `on` of its streams."""
        bodies, footprint = self.footprint(cluster)
        placed = self.reservations.place(footprint, max(self._earliest(body) for body in bodies))
        if placed is None:
            raise ScheduleError(
                f"{describe(cluster[0])}: this op and the {len(cluster) - 1} joined to it by streams need more streams "
                f"at once than the {self.chip.streams} of a direction; store a value in SRAM in between"
            )
        start, streams = placed
        for body in bodies:
            body.op.at = IntegerAttr(start + body.offset, i64)
            if isinstance(body.op, ts.DrivingOp) and body.op.driven in streams:
                body.op.on = IntegerAttr(streams[body.op.driven], i64)
            self._commit(body, start + body.offset)

    def check(self, cluster: list[ts.TimedOp]) -> None:
        """Takes what a scheduled cluster says that it takes. Raises ScheduleError when it cannot."""
        bodies, footprint = self.footprint(cluster)
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

    def footprint(self, cluster: list[ts.TimedOp]) -> tuple[list[Body], Footprint]:
        """The ops of a cluster as rigid bodies, and all that they hold, relative to the start of the first."""
        offsets = relative_starts(cluster, self.system)
        bodies = [Body(op, offsets[op], self.system) for op in cluster]
        check_no_overlap(bodies)
        footprint = Footprint(
            tuple(need for body in bodies for need in body.needs()),
            tuple(need for body in bodies if (need := body.stream_need()) is not None),
        )
        return bodies, footprint

    def _earliest(self, body: Body) -> int:
        """The earliest start of the cluster that this op allows."""
        bound = self.system.release - body.first_dispatch
        for access in body.accesses:
            bound = max(bound, self.memory.earliest(access))
        for plane in body.planes:
            bound = max(bound, self.planes[plane].earliest(body))
        return bound - body.offset

    def _commit(self, body: Body, start: int) -> None:
        for access in body.accesses:
            self.memory.commit(access, start)
        for plane in body.planes:
            self.planes[plane].commit(body, start)


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
                    f"{describe(other)}: two streams that meet here come {slip} cycles apart; store one in SRAM"
                )
    return starts


def _edges(cluster: list[ts.TimedOp], system: SystemSpec) -> Iterator[tuple[ts.TimedOp, ts.TimedOp, int]]:
    """Producer, consumer, and the cycles from the one's start to the other's."""
    for op in cluster:
        if isinstance(op, ts.MatmulOp):
            load = weights_load(op)
            yield load, op, product_offset(load, op)
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


SliceKey = tuple[int, Slice]


@dataclass(frozen=True)
class Access:
    """The words of one slice that an op visits, and when, in cycles after its start."""

    slice: SliceKey
    """Chip and slice."""
    words: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    """When SRAM is read or written: a write does so when it samples its stream, not when it is dispatched."""
    writes: bool


class Dispatch(NamedTuple):
    """The cycles in which an op keeps a queue to itself, after its own start."""

    queue: str
    spans: Spans


class Body:
    """One op of a cluster, `offset` cycles after the cluster's start."""

    def __init__(self, op: ts.TimedOp, offset: int, system: SystemSpec):
        self.op, self.offset, self.system = op, offset, system
        self.chip: ChipSpec = system.chip
        self.pace = pace(op)
        self.span = self.pace.high + 1
        """Cycles from the first vector to the last, both included."""
        step = self.pace.levels[0][1] if self.pace.levels else 1
        self.dense = step < Policy.pause and self.span <= 1 + (self.pace.count - 1) * step
        """Whether its vectors follow each other without a pause."""
        self.planes = planes_of(op)
        self.dispatches = tuple(self._dispatches())
        self.accesses = tuple(self._accesses())

    def _dispatches(self) -> Iterator[Dispatch]:
        op, chip = self.op, self.chip
        whole = ((0, self.span),)
        match op:
            case ts.ReadOp() | ts.WriteOp() | ts.GatherOp() | ts.ScatterOp():
                for slice_, _, run in access_runs(op):
                    yield Dispatch(slice_.queue, tuple(run.busy(Policy.pause)))
            case ts.LaneOp():
                yield Dispatch(lane_queue(op), whole)
            case ts.LoadWeightsOp():
                plane = required(op, "plane", "stream-place").value.data
                for i in range(op.bytes):
                    yield Dispatch(f"MXM.{plane + i}.weights", ((0, self.span + chip.latency_install),))
            case ts.MatmulOp():
                plane = required(op, "plane", "stream-place").value.data
                after, planes = latency(activation_op(op), chip), len(self.planes)
                for i in range(planes):  # a vector of two bytes takes a pair of planes for two cycles
                    yield Dispatch(f"MXM.{plane + i}.activations", ((0, self.span + planes - 1),))
                yield Dispatch(f"MXM.{plane}.accumulators", ((after, after + self.span),))
            case ts.VxmOp():
                if op.alus is None:
                    raise MalformedProgram(f"{describe(op)}: has no `alus`; run stream-place first")
                for alu, level in zip(op.alus.get_values(), alu_levels(op).values(), strict=True):
                    first = level * chip.latency_alu
                    yield Dispatch(f"VXM.{alu}", ((first, first + self.span),))
            case ts.SendOp() | ts.ReceiveOp():
                yield Dispatch(f"C2C.{op.link.value.data}", whole)
            case _:
                raise MalformedProgram(f"{describe(op)}: has no instructions")

    @property
    def first_dispatch(self) -> int:
        """The first dispatch after the op's start; slices side by side may come before it."""
        return min(spans[0][0] for _, spans in self.dispatches)

    def needs(self) -> Iterator[Need]:
        """The queues and link slots that the op holds, relative to the cluster's start."""
        busy = self._long_stretches() if self.dense else {}
        for queue, spans in self.dispatches:
            first, end = spans[-1]
            fetches = self.dense and (len(spans) == 1 or busy.get(queue) == end)
            kept = (*spans[:-1], (first, end + Policy.fetch_gap)) if fetches else spans
            yield Need((self.op.chip_number, queue), shifted(kept, self.offset))
        if isinstance(self.op, ts.SendOp):
            slots = (self.op.chip_number, "slots", self.op.link.value.data)
            yield Need(slots, ((self.offset, self.offset + self.span - 1 + self.system.link_slot),))

    def _long_stretches(self) -> dict[str, int]:
        """Of the queues in which the op ends with a long stretch without a pause the end of that."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for queue, spans in self.dispatches:
            found[queue] += spans
        ends: dict[str, int] = {}
        for queue, spans in found.items():
            spans.sort()
            first, end = spans[0]
            for start, until in spans[1:]:
                first, end = (start, until) if start > end else (first, max(end, until))
            if end - first >= Policy.fetch_stretch:
                ends[queue] = end
        return ends

    def stream_need(self) -> StreamNeed | None:
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
        rhythm = drive_pace(touch.value)
        worth = break_of(width, self.chip.weight_streams)
        spans = tuple(Run(first, 0, tuple((n, t, 0) for n, t in rhythm.levels)).busy(worth))
        return StreamNeed(touch.value, (self.op.chip_number, way), width, spans, zones(min(positions), max(positions)))

    def _accesses(self) -> Iterator[Access]:
        """The words that the op reads or writes, of those that some op of the program writes: all but of what keeps its
        words. An input may lose them to others once it is last read."""
        op = self.op
        if not isinstance(op, ts.AccessOp) or (stays(cast(ts.BufferOp, op.buffer.owner)) and not is_written(op.buffer)):
            return
        place = place_of(op.buffer)
        if not place.addresses:
            raise MalformedProgram(f"{describe(op)}: its buffer has no address; run stream-allocate first")
        late = self.chip.latency_write if writes(op) else 0
        words, times = op.words.data.words(), self.pace.words() + late
        if isinstance(op, ts.GatherOp | ts.ScatterOp):  # any word of the buffer, from the first vector to the last
            depth = cast(ts.BufferType, op.buffer.type).layout.depth
            words, times = np.tile(np.arange(depth), 2), np.repeat(times[[0, -1]], depth)
        parts = np.searchsorted(np.array(place.starts), words, side="right") - 1
        shifts = slice_shifts(op)
        for part in access_parts(op):
            mine = parts == part
            if mine.any():
                inside, when = words[mine] - place.starts[part] + place.bases[part], times[mine]
                for slice_, _ in access_slices(op, part):
                    here = inside + place.address_of[slice_]
                    yield Access((op.chip_number, slice_), here, when + shifts[slice_], writes(op))


def planes_of(op: ts.TimedOp) -> list[tuple[int, int]]:
    """The planes that an op of the MXM takes: chip and number."""
    if not isinstance(op, ts.LoadWeightsOp | ts.MatmulOp):
        return []
    first = required(op, "plane", "stream-place").value.data
    type_ = op.weights.type
    return [(op.chip_number, first + i) for i in range(element_bytes(cast(ts.WeightsType, type_).element_type))]


@cached_analysis
def access_runs(op: ts.AccessOp) -> tuple[tuple[Slice, int, Run], ...]:
    """The visits of every slice, in words of its part and cycles after the op's start, and which of the op's streams it
    takes part in."""
    place, shifts = place_of(op.buffer), slice_shifts(op)
    try:
        found = runs(op.words.data, pace(op), place.starts, repeat_limits(target_of(op).chip))
    except ValueError as e:
        raise ScheduleError(f"{describe(op)}: its words and its cycles do not match: {e}") from e
    return tuple(
        (slice_, number, run._replace(at=run.at + shifts[slice_], word=run.word + place.bases[part]))
        for part, run in found
        for slice_, number in access_slices(op, part)
    )


def shifted(spans: Spans, by: int) -> Spans:
    return tuple((a + by, b + by) for a, b in spans) if by else spans


def zones(low: int, high: int) -> tuple[int, ...]:
    """The zones of a stream that a value passes: west of the VXM, at it, and east of it."""
    return tuple(z for z, there in ((-1, low < 0), (0, low <= 0 <= high), (1, high > 0)) if there)


@cached_analysis
def slice_shifts(op: ts.AccessOp) -> dict[Slice, int]:
    """The dispatches of the slices after that of the first one, so that all meet one diagonal.

    Raises ScheduleError where streams of both directions would have to.
    """
    chip = target_of(op).chip
    positions = access_positions(op)
    streams = [ts.origin(v)[0].owner for v in (*op.operands, *op.results) if isinstance(v.type, ts.StreamType)]
    ways = {direction_of(stream) for stream in streams if isinstance(stream, ts.DrivingOp)}
    if len(ways) > 1 and len({*positions}) > 1:
        raise ScheduleError(
            f"{describe(op)}: its streams flow both ways, so they cannot meet at slices of several positions; put the "
            "bytes of the buffer into slices of one, or access them one by one with `byte`"
        )
    sign = 1 if "E" in ways else -1
    return {
        s: sign * (slice_position(s, chip) - positions[0])
        for part in access_parts(op)
        for s, _ in access_slices(op, part)
    }


def check_no_overlap(bodies: Sequence[Body]) -> None:
    """Raises ScheduleError where two ops of one cluster need a queue or a link at once: no start would help."""
    held: dict[Hashable, list[tuple[int, int, ts.TimedOp]]] = defaultdict(list)
    for body in bodies:
        for queue, spans in body.dispatches:
            resource = (body.op.chip_number, queue)
            held[resource] += [(start + body.offset, end + body.offset, body.op) for start, end in spans]
    for resource, spans in held.items():
        if len({op for _, _, op in spans}) < 2:
            continue
        spans.sort(key=lambda span: span[0])
        for (_, until, before), (start, _, op) in pairwise(spans):
            if start < until and op is not before:
                name = resource_text(resource)
                raise ScheduleError(
                    f"{describe(op)}: needs {name} for {until - start} cycles in which {describe(before)}, "
                    "joined to it by streams, still needs it; give one of them another buffer, or "
                    "store a value in SRAM in between"
                )


def resource_text(resource: Hashable) -> str:
    """The name of what a footprint holds, for messages: (chip, queue), (chip, "slots", link), ((chip, way), stream)."""
    where, *rest = cast("tuple[Any, ...]", resource)
    return f"stream {where[1]}{rest[0]}" if isinstance(where, tuple) else " ".join(map(str, rest))


# -- dependences ---------------------------------------------------------------------------------------------------


class Memory:
    """When each word of SRAM was last written and read by what is placed so far."""

    def __init__(self, chip: ChipSpec) -> None:
        self.words = chip.words
        self.tables: dict[tuple[bool, SliceKey], npt.NDArray[np.int64]] = {}
        """By whether it is of writes, and slice."""

    def earliest(self, access: Access) -> int:
        """The earliest start of the op at which every word is read after its write and written after its uses."""
        bound = NEVER
        for writing in (True, False) if access.writes else (True,):
            table = self.tables.get((writing, access.slice))
            if table is not None:
                bound = max(bound, (table[access.words] + 1 - access.times).max())
        return int(bound)

    def commit(self, access: Access, start: int) -> None:
        key = access.writes, access.slice
        if key not in self.tables:
            self.tables[key] = np.full(self.words, NEVER)
        table = self.tables[key]
        # of a word that is visited twice the later visit comes last, and the last assignment stays
        table[access.words] = np.maximum(table[access.words], access.times + start)


@dataclass
class PlaneState:
    """What has been placed on one MXM plane. Its work stays in program order."""

    loaded: int = 0
    """The first cycle in which the next weights may be loaded: after the last install."""
    free: int = 0
    """The first cycle in which activations may follow the last placed ones."""

    def earliest(self, body: Body) -> int:
        """The earliest start of a load or a product."""
        if not isinstance(body.op, ts.LoadWeightsOp):
            return self.free
        # its first install takes the place of weights that the last product may still need
        return max(self.loaded, self.free - body.chip.latency_install - install_cycles(body.op)[0])

    def commit(self, body: Body, start: int) -> None:
        if isinstance(body.op, ts.LoadWeightsOp):
            rhythm = body.op.passes * body.pace.levels[-1][1] if body.op.passes > 1 else 0
            self.loaded = start + max(body.span + body.chip.latency_install, rhythm)
        else:
            self.free = start + body.span + len(body.planes) - 1 + (Policy.fetch_gap if body.dense else 0)
