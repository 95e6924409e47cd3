"""stream-allocate: the addresses of buffers in their slices.

In every slice of its place a buffer has words of its own: so ops wait for values only, not for the last use of what lay
in the words before. Where a slice is full, words outside the live range of others are reused: the lowest that are free.
Parameters and constants keep their words for the whole program, an input until its last use, an output from its first,
and scratch from its first write to its last read.

Words that are read and never written, such as the border of an image, are zero. Where the words that are free have
held numbers, the border is made zero before each use, by copies of a word of zeros.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import cast

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerAttr, ModuleOp, StringAttr, TensorType, i8, i64
from xdsl.ir import Attribute, Operation
from xdsl.passes import ModulePass

from ....dialects import tsp_stream as ts
from ....dialects.errors import CapacityError, MalformedProgram
from ....dialects.locations import describe, located
from ....dialects.machine.layout import AccessPattern, rows
from ....dialects.machine.target import ChipSpec
from ....dialects.names import quoted
from ....dialects.placement import Place, PlaceAttr, Slice
from ....dialects.target_attr import target_of
from ...policy import Policy
from ..analysis.clusters import clusters, timed_ops
from ..analysis.timing import place_of
from .occupancy import FULL, Claim, Mask, SliceWords

SliceKey = tuple[int, Slice]
"""Chip and slice."""


class StreamAllocatePass(ModulePass):
    """Decides the address of every placed buffer."""

    name = "stream-allocate"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        allocate_buffers(op)


def allocate_buffers(module: ModuleOp) -> None:
    """Decides the addresses that are not decided. Raises MalformedProgram where decided ones overlap, and CapacityError
    where words are too few."""
    memory = Memory(module)
    *orders, last = memory.orders()
    for order in orders:
        with suppress(CapacityError):
            _allocate(module, memory, order)
            return
        memory = Memory(module)
    _allocate(module, memory, last)


def _allocate(module: ModuleOp, memory: Memory, order: Sequence[ts.BufferOp]) -> None:
    """Decides addresses in an order of the buffers, of none if they do not all fit."""
    found: list[tuple[ts.BufferOp, Place]] = []
    for buffer in order:
        place = place_of(buffer.buffer)
        if place.addresses:
            memory.check(buffer)
            continue
        addresses, how = memory.fit(buffer, place)
        if how == FULL:
            raise memory.no_room(buffer, place, place.depth_of(buffer.type.layout.depth), len(place.slices))
        memory.take(buffer, place.allocated(addresses))
        found.append((buffer, place.allocated(addresses)))
    for buffer, place in found:
        buffer.place = PlaceAttr(place)
    if memory.cleared:
        clear_borders(module, memory)


def check_allocation(module: ModuleOp) -> None:
    """Raises MalformedProgram where buffers overlap that are needed at once, if all of them are allocated."""
    if all(place_of(b.buffer).addresses for b in module.walk() if isinstance(b, ts.BufferOp)):
        allocate_buffers(module)  # there is nothing left to decide


def lifetimes(module: ModuleOp, cleared: Container[ts.BufferOp] = ()) -> dict[ts.BufferOp, tuple[int, int]]:
    """The first and the last op of the program, by its place in it, for which every buffer keeps its words; -1 is
    before the first, for what the host puts there.

    Rigid bodies are placed one after the other, all ops of one together. So a buffer is kept for all bodies between its
    first and its last, and for all ops of these. Those that may have to be `cleared` are so by a body right before the
    first op of the first body: it waits for nothing, so it may come before bodies of earlier ops that wait.
    """
    bodies = clusters(module)
    place = {op: number for number, op in enumerate(timed_ops(module))}
    end = len(place)
    heads = [min(place[op] for op in body) for body in bodies]
    firsts = [*accumulate(reversed(heads), min)][::-1]
    lasts = [*accumulate((max(place[op] for op in body) for body in bodies), max)]
    latest = [*accumulate(heads, max)]
    used: dict[ts.BufferOp, list[int]] = defaultdict(list)
    for head, first, last, body in zip(heads, firsts, lasts, bodies, strict=True):
        for op in body:
            if isinstance(op, ts.AccessOp) and isinstance(op.buffer.owner, ts.BufferOp):
                if not used[op.buffer.owner] and op.buffer.owner in cleared:
                    used[op.buffer.owner].append(firsts[bisect_left(latest, head)])
                used[op.buffer.owner] += first, last
    lives: dict[ts.BufferOp, tuple[int, int]] = {}
    for buffer in [b for b in module.walk() if isinstance(b, ts.BufferOp)]:
        unread = buffer.kind.data == "input" and buffer.returned is None
        mine = used[buffer] or ([-1] if unread else [-1, end])
        match buffer.kind.data:
            case "scratch":
                lives[buffer] = min(mine), max(mine)
            case "input" if buffer.returned is None:
                lives[buffer] = -1, max(mine)
            case "output":
                lives[buffer] = min(mine), end
            case _:
                lives[buffer] = -1, end
    return lives


def zero_words(buffer: ts.BufferOp) -> tuple[Mask | None, bool]:
    """The words [width, depth] of a buffer without an element that are read and never written, which must be zero; None
    if none must. And whether the program makes all of them so, by copies of a word of zeros before it reads any."""
    if buffer.kind.data != "scratch":
        return None, False
    zeros = buffer.type.layout.empty_words(buffer.type.shape)
    if not zeros.any():
        return None, False
    read, made = np.zeros_like(zeros), np.zeros_like(zeros)
    uses = [use.operation for use in buffer.buffer.uses]
    early = _early_writes(buffer, uses)
    for op in uses:
        if isinstance(op, ts.ReadOp | ts.WriteOp):
            byte, words = ts.only_byte(op), op.words.data.words()
            side = slice(None) if byte is None else byte
            if isinstance(op, ts.ReadOp):
                read[side, words] = True
            elif op in early:
                made[side, words] = True
            else:
                zeros[side, words] = False
        elif isinstance(op, ts.GatherOp):
            read[:] = True  # which words, the run decides
    zeros &= read
    whole = bool((made | ~zeros).all())
    if not whole:
        zeros &= ~made
    return (zeros, whole) if zeros.any() else (None, False)


def _early_writes(buffer: ts.BufferOp, uses: Sequence[Operation]) -> set[Operation]:
    """Those that copy words of zeros to a buffer before anything reads it."""
    writes_ = {op for op in uses if isinstance(op, ts.WriteOp) and _brings_zeros(op)}
    block = buffer.parent_block()
    if not writes_ or block is None:
        return set()
    places = {op: number for number, op in enumerate(block.ops)}
    reads = min((places[op] for op in uses if not isinstance(op, ts.WriteOp | ts.ScatterOp)), default=len(places))
    return {op for op in writes_ if places[op] < reads}


def _brings_zeros(op: ts.WriteOp) -> bool:
    """Whether what is written is a constant of zeros, as it comes from SRAM."""
    source = op.stream.owner.buffer.owner if isinstance(op.stream.owner, ts.ReadOp) else None
    value = source.value if isinstance(source, ts.BufferOp) else None
    return isinstance(value, DenseIntOrFPElementsAttr) and not any(value.data.data)


class Memory:
    """The words of all slices, and what the buffers of a module need of them."""

    def __init__(self, module: ModuleOp):
        self.chip = target_of(module).chip
        self.buffers = [b for b in module.walk() if isinstance(b, ts.BufferOp)]
        self.zeros: dict[ts.BufferOp, Mask | None] = {}
        """The words of each that are zero while it is used, beside numbers."""
        self.made: set[ts.BufferOp] = set()
        """The buffers of which the program makes them so."""
        for buffer in self.buffers:
            self.zeros[buffer], made = zero_words(buffer)
            self.made |= {buffer} if made else set()
        self.lives = lifetimes(module, {b for b, zeros in self.zeros.items() if zeros is not None} - self.made)
        self._weights: dict[int, int] = defaultdict(int)
        """Words of all weights in each slice of a group, by chip."""
        for buffer in filter(holds_weights, self.buffers):
            self._weights[buffer.chip_number] += buffer.type.layout.depth
        self._needed = {chip: self._needed_bytes(chip) for chip in sorted({b.chip_number for b in self.buffers})}
        """By chip the bytes that are needed at each moment."""
        self.cleared: dict[ts.BufferOp, None] = {}
        """The buffers whose zeros are made before each use, in the order in which that was found necessary."""
        self.slices: dict[SliceKey, SliceWords] = defaultdict(
            lambda: SliceWords(self.chip.words, instruction_reserve(self.chip))
        )

    def even_slices(self, chip: int) -> int:
        """Where the weights of a chip fill most of the groups of slices from which planes load, of which such groups
        would leave some over, the slices of each hemisphere that have room for all, but for some that are left to what
        meets the weights; else 0."""
        words, streams = self._weights[chip], self.chip.weight_streams
        if 4 * words <= 3 * 2 * (self.chip.slices // streams) * self.chip.words:
            return 0
        full, of = Policy.weights_fill
        least = -(-words * streams * of // (2 * self.chip.words * full))
        return min(self.chip.slices - self.chip.slices // streams, least)

    def orders(self) -> Iterator[list[ts.BufferOp]]:
        """Orders in which all buffers take their words, the best first: those that have them; then weights, for which
        many slices must be free side by side; then the others, in program order.

        Where words are few, of the weights those come first that take the most, and of the others what keeps its words
        for the whole program. There is another order then, in which what is small and computed comes before weights,
        since these may leave it no slice apart from them.
        """
        crowded = {chip for chip in self._needed if self._crowded(chip)}

        def key(buffer: ts.BufferOp, small_first: bool) -> tuple[bool, bool, bool, bool, int]:
            place = None if buffer.place is None else buffer.place.data
            few, depth, weights = buffer.chip_number in crowded, buffer.type.layout.depth, holds_weights(buffer)
            small = small_first and few and depth <= Policy.small_words and not stays(buffer)
            after = (-depth if weights else not stays(buffer)) if few else 0
            return place is None, place is None or not place.addresses, not small, not weights, after

        for small_first in (False, True) if crowded else (False,):
            yield sorted(self.buffers, key=lambda buffer: key(buffer, small_first))

    def how(self, buffer: ts.BufferOp, s: Slice, depth: int) -> int:
        """How so many words of a buffer would fit into a slice: FRESH to FULL."""
        zeros = self.zeros[buffer]
        mask = None if zeros is None else np.resize(zeros[0], depth)
        return self.slices[buffer.chip_number, s].fit(depth, self.lives[buffer], mask, stays(buffer))[0]

    def room(self, buffer: ts.BufferOp, s: Slice) -> int:
        """The words of the longest block of a buffer for which a slice has room."""
        return self.slices[buffer.chip_number, s].room(self.lives[buffer])

    def fit(self, buffer: ts.BufferOp, place: Place) -> tuple[list[int], int]:
        """The addresses of a buffer in the slices of a place, and how it fits into the worst of them."""
        addresses: list[int] = []
        worst = 0
        for s, zeros in self._masks(buffer, place):
            depth = place.depth_of(buffer.type.layout.depth)
            how, address = self.slices[buffer.chip_number, s].fit(depth, self.lives[buffer], zeros, stays(buffer))
            worst = max(worst, how)
            addresses.append(address)
        return addresses, worst

    def take(self, buffer: ts.BufferOp, place: Place) -> None:
        """Takes the words of an allocated place."""
        depth = place.depth_of(buffer.type.layout.depth)
        for (s, zeros), address in zip(self._masks(buffer, place), place.addresses, strict=True):
            words = self.slices[buffer.chip_number, s]
            made = buffer in self.made
            cleared = words.take(address, depth, self.lives[buffer], buffer, zeros, stays(buffer), made)
            self.cleared |= dict.fromkeys(cast("list[ts.BufferOp]", cleared))

    def check(self, buffer: ts.BufferOp) -> None:
        """Takes the words of a buffer that has them. Raises MalformedProgram where they are needed by another."""
        place = place_of(buffer.buffer)
        depth = place.depth_of(buffer.type.layout.depth)
        for (s, zeros), address in zip(self._masks(buffer, place), place.addresses, strict=True):
            words = self.slices[buffer.chip_number, s]
            if (other := words.overlap(address, depth, self.lives[buffer], zeros, buffer in self.made)) is not None:
                raise MalformedProgram(
                    f"{describe(buffer)}: its words {address}..{address + depth - 1} of {s} overlap {_owner(other)} in "
                    f"words {other.low}..{other.high - 1}, and both are needed at once"
                )
        self.take(buffer, place)

    def check_bytes(self, module: ModuleOp) -> None:
        """Raises CapacityError where the buffers that are needed at once have more bytes than a chip, with the op at
        which that is worst."""
        ops = timed_ops(module)
        for chip, needed in self._needed.items():
            worst, total = int(needed.argmax()), self._total
            if needed[worst] <= total:
                continue
            mine = [b for b in self.buffers if b.chip_number == chip]
            always = sum(self._bytes(b) for b in mine if stays(b))
            alive = [b for b in mine if not stays(b) and self.lives[b][0] < worst <= self.lives[b][1] + 1]
            largest = sorted(alive, key=self._bytes, reverse=True)[:5]
            others = ", ".join(f"{_named(b)}: {self._bytes(b)} bytes" for b in largest)
            raise CapacityError(
                f"{describe(ops[min(max(worst - 1, 0), len(ops) - 1)])}: {needed[worst]} bytes of SRAM are needed at "
                f"once here, {needed[worst] - total} more than the {total} of chip {chip}: {always} by parameters and "
                f"constants, {needed[worst] - always} by other tensors{f' ({others})' if others else ''}; split the "
                "model over more chips, or use a larger chip"
            )

    def _needed_bytes(self, chip: int) -> npt.NDArray[np.int64]:
        """The bytes of SRAM that the buffers of a chip take at least, at each moment from the one before the first op
        on."""
        change = np.zeros(max((last for _, last in self.lives.values()), default=0) + 3, np.int64)
        for buffer in [b for b in self.buffers if b.chip_number == chip]:
            first, last = self.lives[buffer]
            change[first + 1] += self._bytes(buffer)
            change[last + 2] -= self._bytes(buffer)
        return np.cumsum(change)

    def _crowded(self, chip: int) -> bool:
        """Whether most of a chip's words are needed at once."""
        return 4 * int(self._needed[chip].max()) > 3 * self._total

    @property
    def _total(self) -> int:
        """The bytes of a chip's SRAM."""
        return 2 * self.chip.slices * self.chip.words * self.chip.lanes

    def _bytes(self, buffer: ts.BufferOp) -> int:
        """The bytes of SRAM that all copies of a buffer take, at least."""
        layout, copies = buffer.type.layout, buffer.wanted.copies
        return layout.depth * layout.width * copies * self.chip.lanes

    def _masks(self, buffer: ts.BufferOp, place: Place) -> Iterator[tuple[Slice, Mask | None]]:
        """The slices of a place, and which words of the buffer there must be zero."""
        zeros = self.zeros[buffer]
        if zeros is None:
            yield from ((s, None) for s in place.slices)
            return
        spread = place.spread(zeros[:, :, None].astype(np.uint8))[:, :, 0] > 0
        yield from ((s, mask if mask.any() else None) for s, mask in zip(place.slices, spread, strict=True))

    def no_room(self, buffer: ts.BufferOp, place: Place, depth: int, wanted: int) -> CapacityError:
        """Why a buffer does not fit into `wanted` of the slices of a place, with what takes the space in the last of
        those with the most room."""
        life, rooms = self.lives[buffer], list[tuple[int, list[Claim]]]()
        for s in place.slices:
            alive = self.slices[buffer.chip_number, s].alive(life)
            rooms.append((self.chip.words - sum(c.high - c.low for c in alive), alive))
        rooms.sort(key=lambda room: -room[0])
        room, taken = rooms[min(wanted, len(rooms)) - 1]
        largest = sorted({(c.high - c.low, _owner(c)) for c in taken}, reverse=True)[:5]
        owners = ", ".join(f"{owner}: {words} words" for words, owner in largest)
        excess = max(depth - room, 1)
        return CapacityError(
            f"{describe(buffer)}: {buffer.type.tensor} does not fit into SRAM: it needs {depth} words in each of "
            f"{wanted} slices, {excess} words ({excess * wanted * self.chip.lanes} bytes) more than are free of "
            f"{self.chip.words}; what takes the space there: {owners}; split the model, or use a larger chip"
        )


def instruction_reserve(chip: ChipSpec) -> int:
    """The words of each slice that are left to instructions as long as there are others: a 32nd, of which
    two words hold what one fetch brings."""
    return Policy.of(chip).instruction_words


def stays(buffer: ts.BufferOp) -> bool:
    """Whether a buffer keeps its words from one run of the program to the next."""
    return buffer.kind.data in ("parameter", "constant")


def holds_weights(buffer: ts.BufferOp) -> bool:
    """Whether planes load their weights from a buffer."""
    reads = [u.operation for u in buffer.buffer.uses if isinstance(u.operation, ts.ReadOp)]
    return any(isinstance(u.operation, ts.LoadWeightsOp) for read in reads for u in read.stream.uses)


def _owner(claim: Claim) -> str:
    return _named(cast(ts.BufferOp, claim.owner))


def _named(buffer: ts.BufferOp) -> str:
    return f"{buffer.kind.data} {quoted(buffer.tensor_name.data) if buffer.tensor_name else buffer.type.tensor}"


# -- borders -------------------------------------------------------------------------------------------------------


def clear_borders(module: ModuleOp, memory: Memory) -> None:
    """Emits copies of a word of zeros to the words of buffers that are to be cleared, before the first use of each."""
    sources: dict[tuple[int, str], ts.BufferOp] = {}
    first_uses = _first_uses(module, [*memory.cleared])
    for buffer in memory.cleared:
        place, zeros = place_of(buffer.buffer), memory.zeros[buffer]
        assert zeros is not None
        hemispheres = {s.hemisphere for s in place.slices}
        owners = np.array([place.owner(place.part_of(word)) for word in range(buffer.type.layout.depth)])
        for hemisphere in sorted(hemispheres):
            # a group of slices lies in one hemisphere with all its copies; zeros come there from the other one
            groups = [g for g in range(place.groups) if place.slices[g * place.width].hemisphere == hemisphere]
            source = _zeros(module, memory, buffer.chip_number, "W" if hemisphere == "E" else "E", sources)
            for byte, mask in enumerate(zeros & np.isin(owners, groups)):
                for words in _patterns(np.flatnonzero(mask)):
                    _clear(buffer, source, words, byte, hemisphere, first_uses[buffer])


def _first_uses(module: ModuleOp, buffers: list[ts.BufferOp]) -> dict[ts.BufferOp, ts.TimedOp]:
    """For each buffer the first op, in the program, of the first rigid body that uses it."""
    found: dict[ts.BufferOp, ts.TimedOp] = {}
    wanted = {*buffers}
    for cluster in clusters(module):
        for op in cluster:
            if isinstance(op, ts.AccessOp) and (owner := op.buffer.owner) in wanted:
                found.setdefault(cast(ts.BufferOp, owner), cluster[0])
    return found


def _zeros(
    module: ModuleOp, memory: Memory, chip: int, hemisphere: str, known: dict[tuple[int, str], ts.BufferOp]
) -> ts.BufferOp:
    """A word of zeros in a hemisphere. Raises CapacityError where there is none."""
    if (chip, hemisphere) in known:
        return known[chip, hemisphere]
    type_ = TensorType(i8, [memory.chip.lanes])
    layout = rows(type_.get_shape(), 1, memory.chip.lanes)
    first = memory.buffers[0]
    buffer = ts.BufferOp.build(
        result_types=[ts.BufferType.of(type_, layout)],
        properties={
            "kind": StringAttr("constant"),
            "tensor_name": StringAttr(f"zeros of {hemisphere}"),
            "value": DenseIntOrFPElementsAttr.from_list(type_, [0]),
            "chip": IntegerAttr(chip, i64),
        },
    )
    block = first.parent_block()
    assert block is not None
    block.insert_op_before(located(buffer, first), first)
    life = -1, max(last for _, last in memory.lives.values())
    memory.lives[buffer], memory.zeros[buffer] = life, None
    for s in [Slice(hemisphere, n) for n in range(memory.chip.slices)]:
        place = Place((s,))
        addresses, how = memory.fit(buffer, place)
        if how != FULL:
            memory.take(buffer, place.allocated(addresses))
            buffer.place = PlaceAttr(place.allocated(addresses))
            known[chip, hemisphere] = buffer
            return buffer
    raise memory.no_room(buffer, Place((Slice(hemisphere, 0),)), 1, 1)


def _clear(
    buffer: ts.BufferOp, source: ts.BufferOp, words: AccessPattern, byte: int, side: str, before: ts.TimedOp
) -> None:
    """Emits the copies of a word of zeros to some words of a buffer."""
    chip = IntegerAttr(buffer.chip_number, i64)
    lanes = target_of(buffer).chip.lanes
    still = AccessPattern(0, ((words.count, 0),))
    read = ts.ReadOp.build(
        operands=[source.buffer],
        result_types=[ts.StreamType.of((words.count, lanes), i8)],
        properties={"words": ts.PatternAttr(still.canonicalize()), "chip": chip, "direction": StringAttr(side)},
    )
    number: Attribute | None = IntegerAttr(byte, i64) if buffer.type.layout.width > 1 else None
    write = ts.WriteOp.build(
        operands=[read.stream, buffer.buffer],
        properties={"words": ts.PatternAttr(words.canonicalize()), "byte": number, "chip": chip},
    )
    block = before.parent_block()
    assert block is not None
    block.insert_ops_before([located(read, buffer), located(write, buffer)], before)


def _patterns(words: npt.NDArray[np.int64]) -> Iterator[AccessPattern]:
    """Ascending words as few patterns: runs of neighbours, and equal runs at equal distances as one."""
    edges = np.flatnonzero(np.diff(words) > 1) + 1
    runs = [(int(run[0]), len(run)) for run in np.split(words, edges) if len(run)]
    at = 0
    while at < len(runs):
        first, size = runs[at]
        step = runs[at + 1][0] - first if at + 1 < len(runs) else 0
        count = 1
        while at + count < len(runs) and runs[at + count] == (first + count * step, size):
            count += 1
        yield AccessPattern(first, ((size, 1), (count, step)) if count > 1 else ((size, 1),))
        at += count
