"""Which slices hold each buffer: different ones within a cluster, since a slice has one instruction queue, and of the
rest those that are used least at the time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Flag, auto
from itertools import islice, pairwise
from typing import cast

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.utils.disjoint_set import DisjointSet

from ....dialects import tsp_stream as ts
from ....dialects.errors import CapacityError
from ....dialects.locations import describe
from ....dialects.names import quoted
from ....dialects.placement import Place, PlaceAttr, Slice
from ....dialects.target_attr import target_of
from ...policy import Policy
from ..analysis.clusters import clusters, consumers
from ..analysis.timing import is_written, pace, slice_position, writes
from .occupancy import FRESH, FULL
from .stream_allocate import Memory


class Choice(Flag):
    """What may be chosen for a buffer, as seems second best."""

    FIRST = 0
    OTHER_SIDE = auto()
    """The hemispheres in the opposite order."""
    OTHER_SLICES = auto()
    """The slices that come after those which seem best."""


def place_buffers(module: ModuleOp, choices: Mapping[int, Choice] | None = None) -> None:
    """Gives every buffer its slices, by `choices` for some of the buffers, numbered in program order. Raises
    CapacityError when too few slices are free of conflicts."""
    placer = _Placer(module)
    placer.memory.check_bytes(module)
    chosen = {placer.memory.buffers[number]: choice for number, choice in (choices or {}).items()}
    *orders, last = placer.memory.orders()
    for order in orders:
        try:
            placer.place_all(order, chosen)
        except CapacityError:
            for buffer in placer.placed:
                buffer.place = None
            placer = _Placer(module)
        else:
            return
    placer.place_all(last, chosen)


class _Placer:
    """Chooses slices: different ones within a cluster, since a slice has one instruction queue, different ones for
    clusters that may run at the same time if there is room, and among the others those with the fewest words."""

    def __init__(self, module: ModuleOp):
        self.chip = target_of(module).chip
        self.policy = Policy.of(self.chip)
        self.memory = Memory(module)
        """The words that the buffers placed so far take, as stream-allocate will choose them."""
        self.placed: list[ts.BufferOp] = []
        """The buffers that have their slices from here."""
        self.words: dict[tuple[int, Slice], int] = defaultdict(int)
        """Words that lie in each slice so far."""
        self.busy: dict[tuple[int, Slice], dict[int, int]] = defaultdict(dict)
        """For each slice the clusters in which it takes part so far, and the visits there."""
        self.visited: dict[tuple[int, int], set[Slice]] = defaultdict(set)
        """The slices that each cluster visits so far, by chip and the number of the cluster."""
        self.together: dict[ts.BufferOp, set[ts.BufferOp]] = defaultdict(set)
        self.clusters_of: dict[ts.BufferOp, list[int]] = defaultdict(list)
        self.accesses: dict[ts.BufferOp, list[tuple[int, ts.AccessOp]]] = defaultdict(list)
        """The ops that visit each buffer, with the numbers of their clusters."""
        self.writers: dict[ts.BufferOp, set[ts.VxmOp | ts.MatmulOp]] = defaultdict(set)
        self.alus_of: list[list[ts.VxmOp]] = []
        """The ALU regions of each cluster."""
        for number, cluster in enumerate(clusters(module)):
            self.alus_of.append([op for op in cluster if isinstance(op, ts.VxmOp)])
            touched: set[ts.BufferOp] = set()
            for op in cluster:
                if isinstance(op, ts.AccessOp) and isinstance(op.buffer.owner, ts.BufferOp):
                    touched.add(op.buffer.owner)
                    self.accesses[op.buffer.owner].append((number, op))
            for buffer in touched:
                self.together[buffer] |= {b for b in touched if b is not buffer and b.chip == buffer.chip}
                self.clusters_of[buffer].append(number)

    def place_all(self, order: Sequence[ts.BufferOp], chosen: Mapping[ts.BufferOp, Choice]) -> None:
        """Gives every buffer its slices, one after the other. Raises CapacityError."""
        for buffer in order:
            if buffer.place is None:
                buffer.place = PlaceAttr(self.choose(buffer, chosen.get(buffer, Choice.FIRST)))
                self.placed.append(buffer)
            self.count(buffer)

    def count(self, buffer: ts.BufferOp) -> None:
        """Takes note of a placed buffer."""
        assert buffer.place is not None
        place = buffer.place.data
        depth = place.depth_of(buffer.type.layout.depth)
        slices = iter(place.slices)
        for visitors in self._visitors(buffer, place).values():
            for s in islice(slices, buffer.type.layout.width):
                self.words[buffer.chip_number, s] += depth
                busy = self.busy[buffer.chip_number, s]
                for number in visitors:
                    busy[number] = busy.get(number, 0) + depth
                    self.visited[buffer.chip_number, number].add(s)
        addresses, how = (place.addresses, FRESH) if place.addresses else self.memory.fit(buffer, place)
        if how == FULL:
            raise self.memory.no_room(buffer, place, depth, len(place.slices))
        self.memory.take(buffer, place.allocated(addresses))

    def _visitors(self, buffer: ts.BufferOp, shape: Place) -> dict[tuple[int, int], set[int]]:
        """The clusters that visit each copy of each group of slices, in the order of the slices."""
        found: dict[tuple[int, int], set[int]] = {
            (copy, group): set() for copy in range(shape.copies) for group in range(shape.groups)
        }
        for number, op in self.accesses[buffer]:
            copies = _copies_visited(op, shape.copies)
            first, last = shape.part_of(op.words.data.low), shape.part_of(op.words.data.high)
            for group in {shape.owner(part) for part in range(first, last + 1)}:
                for copy in copies:
                    found[copy, group].add(number)
        return found

    def choose(self, buffer: ts.BufferOp, choice: Choice) -> Place:
        """A place for a buffer: cut as is wanted, or where no slices have room for such parts, into smaller ones."""
        layout = buffer.type.layout
        wanted = buffer.wanted.cut(layout.depth, self.chip.words)
        depth = wanted.depth_of(layout.depth)
        try:
            return self._place(buffer, wanted, choice)
        except CapacityError:
            if by_number(buffer):
                raise
            for shape in self._other_shapes(buffer, depth):
                if shape.groups * layout.width * shape.copies <= 2 * self.chip.slices:
                    with suppress(CapacityError):
                        return self._place(buffer, shape, choice)
            raise

    def _other_shapes(self, buffer: ts.BufferOp, depth: int) -> Iterator[Place]:
        """Other ways to cut a buffer whose groups take `depth` words as wanted: each group into smaller ones; or, as
        these take many slices, all words anew into as few groups as slices have room for. Who visits a part may then
        wait for others, so no two ops of a cluster may visit it."""
        layout = buffer.type.layout
        for pieces in Policy.finer_pieces:
            yield buffer.wanted.cut(layout.depth, max(1, -(-depth // pieces)))
        visits = Counter(
            (number, copy) for number, op in self.accesses[buffer] for copy in _copies_visited(op, buffer.wanted.copies)
        )
        if any(count > 1 for count in visits.values()):
            return
        whole = Place((), copies=buffer.wanted.copies)
        rooms = sorted((self.memory.room(buffer, s) for side in "EW" for s in self._all(side)), reverse=True)
        for groups in range(1, 2 * self.chip.slices // (layout.width * whole.copies) + 1):
            least = -(-layout.depth // groups)
            if rooms[groups * layout.width * whole.copies - 1] >= least:
                yield whole.cut(layout.depth, least)

    def _place(self, buffer: ts.BufferOp, shape: Place, choice: Choice) -> Place:
        """A place for a buffer that is cut so: groups that one run of visits joins in one hemisphere, with all their
        copies if they are written. Raises CapacityError."""
        layout, copies, depth = buffer.type.layout, shape.copies, shape.depth_of(buffer.type.layout.depth)
        visitors = self._visitors(buffer, shape)
        near = {s for b in self.together[buffer] if b.place is not None for s in b.place.data.slices}
        mine: set[Slice] = set()
        weights = self.planes(buffer)
        joined = copies if self._is_written(buffer) else 1
        chosen: dict[tuple[int, int], list[Slice]] = {}
        for copy in range(0, copies, joined):
            for groups in self._joined_groups(buffer, shape):
                wanted = layout.width * joined * len(groups)
                numbers = {n for i in range(joined) for group in groups for n in visitors[copy + i, group]}
                taken = mine.union(*(self.visited[buffer.chip_number, n] for n in numbers))
                hemispheres = self._preference(buffer, weights, shape, copy, groups[0])
                found: list[tuple[tuple[bool, int, int, int], list[Slice]]] = []
                for zone in self._zones(buffer):
                    if found and not min(found)[0][0]:
                        break
                    for order, hemisphere in enumerate(hemispheres):
                        beyond = {s for s in self._all(hemisphere) if slice_position(s, self.chip) not in zone}
                        picked = self._pick(buffer, hemisphere, wanted, depth, taken | beyond, near | mine, weights)
                        if picked is not None and Choice.OTHER_SLICES in choice:
                            others = taken.union(beyond, picked)
                            picked = (
                                self._pick(buffer, hemisphere, wanted, depth, others, near | mine, weights) or picked
                            )
                        if picked is not None:
                            found.append(((*self._faults(buffer, picked, depth, numbers), order), picked))
                if not found:
                    raise self._no_room(buffer, wanted, depth, taken)
                found.sort()
                second = Choice.OTHER_SIDE in choice and len(found) > 1 and not found[1][0][0]
                slices = iter(found[second][1])
                for i in range(joined):
                    for group in groups:
                        chosen[copy + i, group] = [next(slices) for _ in range(layout.width)]
                        mine |= {*chosen[copy + i, group]}
        return replace(shape, slices=tuple(s for key in sorted(chosen) for s in chosen[key]))

    def _pick(
        self,
        buffer: ts.BufferOp,
        hemisphere: str,
        wanted: int,
        depth: int,
        taken: set[Slice],
        near: set[Slice],
        weights: list[int],
    ) -> list[Slice] | None:
        """The best slices of a hemisphere, in their order, or None where too few are free: of those that none of the
        same clusters visits, and where there are enough, of those that hold nothing of the same clusters."""
        full = {s: self.memory.how(buffer, s, depth) for s in self._all(hemisphere) if s not in taken}
        free = [s for s, how in full.items() if how != FULL]
        if len(free) < wanted:
            return None
        numbered = by_number(buffer)
        if numbered and len(safe := [s for s in free if not self._holds_instructions(s)]) >= wanted:
            free = safe
        if not numbered and len(far := [s for s in free if s not in near]) >= wanted:
            free = far
        key = buffer.chip_number
        if weights:
            # next to the planes; where each plane of the hemisphere has its own weights, beside those of the others
            own, even = len(weights) == 1, self.memory.even_slices(key)
            skip = weights[0] % (self.chip.planes // 2) * wanted if own and not even and self._loads_most(buffer) else 0
            beyond = self.chip.slices - even
            free.sort(key=lambda s: (full[s], even and s.number < beyond, self.words[key, s] if even else 0, -s.number))
            picked = free[skip : skip + wanted] if len(free) >= skip + wanted else free[:wanted]
        elif not self._is_written(buffer) and depth <= Policy.small_words:
            # what meets every row lies in the same slices for all ops, beside the weights and away from the rows
            weights_from = self.policy.weights_from
            free.sort(key=lambda s: (full[s], s.number >= weights_from, -s.number))
            picked = free[:wanted]
        else:
            rows_until = self.policy.rows_until
            free.sort(
                key=lambda s: (
                    full[s],
                    s.number >= rows_until,
                    self._overlap(buffer, s),
                    self.words[key, s],
                    s.number,
                )
            )
            picked = free[:wanted]
        if numbered:
            picked = self._one_position_first(free, wanted)[:wanted]
        return sorted(picked)

    def _holds_instructions(self, s: Slice) -> bool:
        """Whether a slice is left to instructions by what is visited by number, which may change any word: half
        as many in each hemisphere as weights come from, between these and the rows."""
        return 0 <= self.chip.slices - self.chip.weight_streams - 1 - s.number < self.chip.weight_streams // 2

    def _all(self, hemisphere: str) -> list[Slice]:
        return [Slice(hemisphere, n) for n in range(self.chip.slices)]

    def _one_position_first(self, free: list[Slice], wanted: int) -> list[Slice]:
        """Free slices, first the best that lie at one position where there are enough: there the map's stream and that
        of the words meet whichever ways they flow."""
        by_position: dict[int, list[Slice]] = defaultdict(list)
        for s in free:
            by_position[slice_position(s, self.chip)].append(s)
        together = next((slices for slices in by_position.values() if len(slices) >= wanted), list[Slice]())
        return together + [s for s in free if s not in together]

    def _overlap(self, buffer: ts.BufferOp, s: Slice) -> int:
        """Visits of a slice by clusters that may run at the same time as those of a buffer."""
        mine = self.clusters_of[buffer]
        if not mine:
            return 0
        near = range(mine[0] - Policy.near_clusters, mine[-1] + Policy.near_clusters + 1)
        busy = self.busy[buffer.chip_number, s]
        if len(near) < len(busy):
            return sum(busy.get(n, 0) for n in near)
        return sum(depth for n, depth in busy.items() if n in near)

    def _crowded(self, buffer: ts.BufferOp, picked: list[Slice], depth: int) -> int:
        return max(self.memory.how(buffer, s, depth) for s in picked)

    def _faults(self, buffer: ts.BufferOp, picked: list[Slice], depth: int, numbers: set[int]) -> tuple[bool, int, int]:
        """What is wrong with slices for the clusters with these numbers, the worst first: streams cannot come there,
        words do not fit, visits meet."""
        wide = any(self._too_wide(buffer, n, picked[0].hemisphere) for n in numbers)
        never = wide or self._both_ways(buffer, picked) or self._against_map(buffer, picked)
        return never, self._crowded(buffer, picked, depth), self._conflicts(buffer, picked)

    def _both_ways(self, buffer: ts.BufferOp, picked: list[Slice]) -> bool:
        """Whether the bytes of a copy to or from another buffer would have to flow both ways."""
        mine = [slice_position(s, self.chip) for s in picked]
        for slices in self._copied(buffer):
            theirs = [slice_position(s, self.chip) for s in slices]
            if max(mine) > min(theirs) and max(theirs) > min(mine):
                return True
        return False

    def _zones(self, buffer: ts.BufferOp) -> Iterator[range]:
        """Where it may lie: at any position, or else all in one direction from all that it is copied to or from."""
        yield range(-self.chip.slices, self.chip.slices + 1)
        spans = [sorted(slice_position(s, self.chip) for s in slices) for slices in self._copied(buffer)]
        edges = sorted({-self.chip.slices, self.chip.slices, *(edge for s in spans for edge in (s[0], s[-1]))})
        for low, high in pairwise(edges):
            if all(high <= span[0] or low >= span[-1] for span in spans):
                yield range(low, high + 1)

    def _copied(
        self, buffer: ts.BufferOp, reads: tuple[type[ts.ReadOp | ts.GatherOp], ...] = (ts.ReadOp, ts.GatherOp)
    ) -> Iterator[Sequence[Slice]]:
        """The slices to which its words are copied, and from which, by one of these ops, as far as they are chosen."""
        for use in buffer.buffer.uses:
            op = use.operation
            if isinstance(op, ts.WriteOp | ts.ScatterOp):
                if isinstance(source := op.stream.owner, reads):
                    yield from self._read_from(source)
            elif isinstance(op, reads):
                for write in [u.operation for u in op.stream.uses]:
                    if isinstance(write, ts.WriteOp | ts.ScatterOp):
                        yield from self._slices_of(write.buffer)

    def _read_from(self, op: ts.ReadOp | ts.GatherOp) -> Iterator[Sequence[Slice]]:
        """The slices that a read or a gather visits, if they are chosen."""
        place = cast(ts.BufferOp, op.buffer.owner).place
        if place is not None:
            each, copy = len(place.data.slices) // place.data.copies, op.from_copy if isinstance(op, ts.ReadOp) else 0
            yield place.data.slices[copy * each : (copy + 1) * each]

    def _conflicts(self, buffer: ts.BufferOp, picked: list[Slice]) -> int:
        return 0 if self.planes(buffer) else sum(self._overlap(buffer, s) for s in picked)

    def planes(self, buffer: ts.BufferOp) -> list[int]:
        """The planes for which a buffer holds weights, if it does."""
        return sorted({op.plane.value.data for op in self._loads(buffer) if op.plane is not None})

    def _loads(self, buffer: ts.BufferOp) -> list[ts.LoadWeightsOp]:
        reads = [u.operation for u in buffer.buffer.uses if isinstance(u.operation, ts.ReadOp)]
        users = [u.operation for read in reads for u in read.stream.uses]
        return [op for op in users if isinstance(op, ts.LoadWeightsOp)]

    def _loads_most(self, buffer: ts.BufferOp) -> bool:
        """Whether loading these weights takes most of the time of the products that use them."""
        cycles = [pace(op) for op in self._loads(buffer)]
        return any(2 * c.count > c.high for c in cycles)

    def _joined_groups(self, buffer: ts.BufferOp, shape: Place) -> list[list[int]]:
        """The groups of slices, together those that must lie in one hemisphere: a run of visits must not go from one to
        the other, unless it begins or ends at a plane, whose streams pass both."""
        sets: DisjointSet[int] = DisjointSet(range(shape.groups))
        for use in buffer.buffer.uses:
            op = use.operation
            if not isinstance(op, ts.AccessOp):
                continue
            first, last = shape.part_of(op.words.data.low), shape.part_of(op.words.data.high)
            groups = sorted({shape.owner(part) for part in range(first, last + 1)})
            if len(groups) == 1:
                continue
            ends = [ts.origin(op.stream)[0].owner] if writes(op) else consumers(op.stream)
            if not all(isinstance(end, ts.MatmulOp | ts.LoadWeightsOp) for end in ends):
                for group in groups[1:]:
                    sets.union(groups[0], group)
        found: dict[int, list[int]] = defaultdict(list)
        for group in range(shape.groups):
            found[sets.find(group)].append(group)
        return list(found.values())

    def _is_written(self, buffer: ts.BufferOp) -> bool:
        return is_written(buffer.buffer)

    def _users(self, buffer: ts.BufferOp, shape: Place, copy: int, group: int) -> list[int]:
        """The planes that take their activations from a group of slices of a copy, or whose sums go straight there."""
        planes: list[int] = []
        for use in buffer.buffer.uses:
            op = use.operation
            if isinstance(op, ts.WriteOp) and isinstance(op.stream.owner, ts.MatmulOp):
                found = [op.stream.owner]
            elif isinstance(op, ts.ReadOp) and op.from_copy == copy:
                found = [u.operation for u in op.stream.uses if isinstance(u.operation, ts.MatmulOp)]
            else:
                continue
            first, last = shape.part_of(op.words.data.low), shape.part_of(op.words.data.high)
            if any(shape.owner(part) == group for part in range(first, last + 1)):
                planes += [p.plane.value.data for p in found if p.plane is not None]
        return planes

    def _too_wide(self, buffer: ts.BufferOp, cluster: int, hemisphere: str) -> bool:
        """Whether what a cluster's ALUs write to a buffer would, on its way to a hemisphere, need more streams beside
        what comes to the ALUs the same way than there are."""
        coming = {value for op in self.alus_of[cluster] for value in op.inputs}
        results = [
            op for op in self.alus_of[cluster] if any(_writes_to(use.operation, buffer) for use in op.stream.uses)
        ]
        wide = sum(op.stream.type.width for op in results)
        wide += sum(cast(ts.StreamType, v.type).width for v in coming if self._comes_from(v) not in (hemisphere, ""))
        return wide > self.chip.streams

    def _against_map(self, buffer: ts.BufferOp, picked: list[Slice]) -> bool:
        """Whether rows that are scattered would come to slices of several positions against the map, which comes from
        the ALUs: from further out on the same side; or gathered rows would leave them against it."""
        for table, inner, outer in self._by_number(buffer, picked):
            ends = {slice_position(s, self.chip) for s in table}
            sign = 1 if max(ends) > 0 else -1
            if len(ends) > 1 and max(sign * slice_position(s, self.chip) for s in inner) > min(
                sign * slice_position(s, self.chip) for s in outer
            ):
                return True
        return False

    def _by_number(
        self, buffer: ts.BufferOp, picked: Sequence[Slice]
    ) -> Iterator[tuple[Sequence[Slice], Sequence[Slice], Sequence[Slice]]]:
        """Of what is scattered or gathered with a buffer in these slices those of the table, and those from which rows
        come and to which they go, as far as they are chosen."""
        for op in [use.operation for use in buffer.buffer.uses]:
            match op:
                case ts.ScatterOp() if isinstance(read := op.stream.owner, ts.ReadOp):
                    yield from ((picked, slices, picked) for slices in self._slices_of(read.buffer))
                case ts.ReadOp():
                    scatters = [u.operation for u in op.stream.uses if isinstance(u.operation, ts.ScatterOp)]
                    yield from ((to, picked, to) for scatter in scatters for to in self._slices_of(scatter.buffer))
                case ts.GatherOp() if ts.only_byte(op) is None:
                    writes_ = [u.operation for u in op.stream.uses if isinstance(u.operation, ts.WriteOp)]
                    yield from ((picked, picked, to) for write in writes_ for to in self._slices_of(write.buffer))
                case ts.WriteOp() if isinstance(op.stream.owner, ts.GatherOp) and ts.only_byte(op.stream.owner) is None:
                    yield from ((table, table, picked) for table in self._slices_of(op.stream.owner.buffer))
                case _:
                    pass

    def _slices_of(self, buffer: SSAValue) -> list[Sequence[Slice]]:
        """The slices of a buffer, if they are chosen."""
        place = cast(ts.BufferOp, buffer.owner).place
        return [] if place is None else [place.data.slices]

    def _comes_from(self, stream: SSAValue) -> str:
        """The hemisphere from which a stream comes to the ALUs, or nothing where it is not known yet."""
        match stream.owner:
            case ts.MatmulOp() as op if op.plane is not None:
                return "E" if op.plane.value.data < self.chip.planes // 2 else "W"
            case ts.ReadOp() as op if (place := cast(ts.BufferOp, op.buffer.owner).place) is not None:
                part = place.data.part_of(op.words.data.low)
                return place.data.side_by_side(op.from_copy, part)[0].hemisphere
            case _:
                return ""

    def _preference(self, buffer: ts.BufferOp, weights: list[int], shape: Place, copy: int, group: int) -> list[str]:
        """The hemispheres in the order of preference: that of the planes which use the slices, where it is one, a copy
        opposite to what it copies, and else the less loaded."""
        hemispheres = {plane < self.chip.planes // 2 for plane in weights or self._users(buffer, shape, copy, group)}
        if len(hemispheres) == 1:
            return ["E", "W"] if hemispheres == {True} else ["W", "E"]
        for slices in self._copied(buffer, (ts.ReadOp,)):
            return ["W", "E"] if slices[0].hemisphere == "E" else ["E", "W"]
        sums = {h: sum(n for (_, s), n in self.words.items() if s.hemisphere == h) for h in "EW"}
        return sorted("EW", key=lambda h: sums[h])

    def _no_room(self, buffer: ts.BufferOp, wanted: int, depth: int, taken: set[Slice]) -> CapacityError:
        """Why no hemisphere has so many slices for a buffer's words."""
        slices = self.chip.slices
        if wanted > slices:
            return CapacityError(
                f"{describe(buffer)}: {_name(buffer)} lies in {wanted} slices, {wanted - slices} more than a "
                f"hemisphere's {slices} (target field `chip.slices`); split the tensor"
            )
        free = [[s for s in self._all(hemisphere) if s not in taken] for hemisphere in "EW"]
        if any(len(f) >= wanted for f in free):
            most = max(free, key=len)
            return self.memory.no_room(buffer, Place(tuple(most)), depth, wanted)
        return CapacityError(
            f"{describe(buffer)}: {_name(buffer)} needs {wanted} slices that the {len(self.together[buffer])} other "
            f"tensors used together with it leave free in one hemisphere of {slices}; split the op that uses them all"
        )


def by_number(buffer: ts.BufferOp) -> bool:
    """Whether words of a buffer are found by maps, each in the slices that hold all of them."""
    return any(isinstance(use.operation, ts.GatherOp | ts.ScatterOp) for use in buffer.buffer.uses)


def _copies_visited(op: ts.AccessOp, copies: int) -> Sequence[int]:
    """Which of so many copies an op visits: all are written at once."""
    return range(copies) if writes(op) else [op.from_copy if isinstance(op, ts.ReadOp) else 0]


def _writes_to(op: Operation, buffer: ts.BufferOp) -> bool:
    return isinstance(op, ts.WriteOp) and op.buffer.owner is buffer


def _name(buffer: ts.BufferOp) -> str:
    name = f" {quoted(buffer.tensor_name.data)}" if buffer.tensor_name else ""
    return f"{buffer.kind.data}{name} {buffer.type.tensor}"
