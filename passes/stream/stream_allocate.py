"""stream-allocate: the addresses of buffers in their slices.

A buffer lies behind all others in the slices of its place: so what waits for words waits for values, not for the last
use of what lay there before. Where the slices are full, the words of what is no longer needed are used again.
Inputs, outputs, parameters and constants keep their words for the whole program; scratch lives from its first write to
its last read, in program order. First fit: the lowest address that is free in all slices of the place meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ...dialects import tsp_stream as ts
from ...dialects.errors import CapacityError, MalformedProgram
from ...dialects.locations import describe
from ...dialects.placement import Place, PlaceAttr, Slice
from ...dialects.target import ChipSpec
from ...dialects.target_attr import target_of
from .clusters import timed_ops
from .timing import place_of

SliceKey = tuple[int, Slice]
"""Chip and slice."""


@dataclass(frozen=True)
class Claim:
    """Words of a slice that a buffer takes, for as long as it lives."""

    low: int
    high: int
    """One past the last word."""
    born: int
    dies: int
    """The first and last position in program order at which it is touched."""
    owner: str


@dataclass(frozen=True)
class StreamAllocatePass(ModulePass):
    """Decides the address of every placed buffer."""

    name = "stream-allocate"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        allocate_buffers(op)


def allocate_buffers(module: ModuleOp) -> None:
    """Decides the addresses that are not decided. Raises MalformedProgram where decided ones overlap."""
    chip = target_of(module).chip
    lives = lifetimes(module)
    claims: dict[SliceKey, list[Claim]] = defaultdict(list)
    buffers = [b for b in module.walk() if isinstance(b, ts.BufferOp)]

    def order(buffer: ts.BufferOp) -> tuple[bool, bool, int]:
        """What is decided; then parameters, the longest first, so that few gaps remain; then the others."""
        place, parameter = place_of(buffer.buffer), buffer.kind.data == "parameter"
        depth = place.depth_of(buffer.type.layout.depth)
        return place.address is None, not parameter, -depth if parameter else 0

    for buffer in sorted(buffers, key=order):
        allocate(buffer, lives[buffer], claims, chip)


def check_allocation(module: ModuleOp) -> None:
    """Raises MalformedProgram where buffers overlap that are needed at once, if all of them are allocated."""
    if all(place_of(b.buffer).address is not None for b in module.walk() if isinstance(b, ts.BufferOp)):
        allocate_buffers(module)  # there is nothing left to decide


def lifetimes(module: ModuleOp) -> dict[ts.BufferOp, tuple[int, int]]:
    """The first and last use of every buffer in program order; all of the program for what the host sees, and for what
    has padding, which is zero before the first run and nothing may write to."""
    ops = timed_ops(module)
    order = {op: i for i, op in enumerate(ops)}
    lives: dict[ts.BufferOp, tuple[int, int]] = {}
    for buffer in [b for b in module.walk() if isinstance(b, ts.BufferOp)]:
        uses = [order[u.operation] for u in buffer.buffer.uses if isinstance(u.operation, ts.TimedOp)]
        padded = buffer.type.layout.has_empty_words(buffer.type.shape)
        scratch = buffer.kind.data == "scratch" and uses and not padded
        lives[buffer] = (min(uses), max(uses)) if scratch else (0, len(ops))
    return lives


def allocate(buffer: ts.BufferOp, life: tuple[int, int], claims: dict[SliceKey, list[Claim]], chip: ChipSpec) -> None:
    """Gives one buffer its address and claims the words. Raises CapacityError with what takes the space."""
    place = place_of(buffer.buffer)
    depth = place.depth_of(buffer.type.layout.depth)
    keys = [(buffer.chip_number, s) for s in place.slices]
    alive = [c for key in keys for c in claims[key] if c.born <= life[1] and life[0] <= c.dies]
    fresh = max((c.high for key in keys for c in claims[key]), default=0)
    if place.address is None and fresh + depth <= chip.words:
        address = fresh
        buffer.place = PlaceAttr(place.allocated(address))
    elif place.address is None:
        starts = sorted({0, *(c.high for c in alive)})
        address = next(a for a in starts if all(c.high <= a or a + depth <= c.low for c in alive))
        if address + depth > chip.words:
            raise _capacity_error(buffer, place, depth, alive, address + depth - chip.words, chip)
        buffer.place = PlaceAttr(place.allocated(address))
    else:
        address = place.address
        for c in alive:
            if c.low < address + depth and address < c.high:
                raise MalformedProgram(
                    f"{describe(buffer)}: its words {address}..{address + depth - 1} overlap {c.owner} in words "
                    f"{c.low}..{c.high - 1} of a slice, and both are needed at once"
                )
    owner = f"{buffer.kind.data} {buffer.tensor_name.data if buffer.tensor_name else buffer.type.tensor}"
    for key in keys:
        claims[key].append(Claim(address, address + depth, *life, owner))


def _capacity_error(
    buffer: ts.BufferOp, place: Place, depth: int, alive: list[Claim], excess: int, chip: ChipSpec
) -> CapacityError:
    largest = sorted({(c.high - c.low, c.owner) for c in alive}, reverse=True)[:5]
    taken = ", ".join(f"{owner}: {words} words" for words, owner in largest)
    size = excess * len(place.slices) * chip.lanes
    return CapacityError(
        f"{describe(buffer)}: {buffer.type.tensor} does not fit into SRAM: it needs {depth} words in each of "
        f"{len(place.slices)} slices, {excess} words ({size} bytes) more than are "
        f"free of {chip.words}; what takes the space there: {taken}"
    )
