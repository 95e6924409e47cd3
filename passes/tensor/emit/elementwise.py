"""Maps without a product, and plain moves: from SRAM to SRAM, in blocks of rows that work side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import IntegerAttr, TensorType, i64
from xdsl.ir import Attribute, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern, tiles
from ...policy import Policy
from ...stream.analysis.alu_levels import alus_of
from ..analysis.views import Block, Pads, Rows, Shape, Stored, Tensor, blocks, join, rows_of
from .buffers import WHOLE, Buffers, Destination, Parts, rows_layout


@dataclass(frozen=True)
class Operand:
    """What a map reads: a buffer, and the words that it shows to the space of rows."""

    buffer: SSAValue
    rows: Rows


def emit_map(region: Region, operands: Sequence[Tensor], to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits a map of tensors in SRAM and gives the result."""
    shape = destination.shape
    columns = shape[-1] if shape else 1
    tile_numbers = range(tiles(columns, to.chip.lanes))
    space = shape[:-1]
    shown = [rows_of(to.operand_view(t, columns), t.shape, space) for t in operands]
    out = rows_of(destination.view, shape, space)
    joined, (*joined_rows, joined_out) = join(space, [*shown, out])
    cut = blocks(joined, 1 << 30, pieces(joined, to, region))

    def parts(visited: Rows) -> Parts:
        return parts_of((visited.pattern(b, t), i) for t in tile_numbers for i, b in enumerate(cut))

    buffers = [
        to.operand(t, columns, chip, parts(r), 1) if any(r.steps) else to.operand(t, columns, chip, WHOLE, len(cut))
        for t, r in zip(operands, joined_rows, strict=True)
    ]
    result = destination.make(parts(joined_out))
    reads = [Operand(b, r) for b, r in zip(buffers, shown, strict=True)]
    element = destination.type.element_type
    emit_rows(region, reads, Operand(result.buffer, out), space, tile_numbers, element, to, chip)
    return Tensor(shape, element, result)


def emit_rows(
    region: Region,
    operands: Sequence[Operand],
    out: Operand,
    space: Shape,
    tile_numbers: range,
    element: Attribute,
    to: Buffers,
    chip: int,
) -> None:
    """Emits a map of some rows: reads, ALUs and writes, block by block."""
    separate = in_separate_slices(operands, space, tile_numbers, to, chip)
    space, (*shown, written) = join(space, [*(o.rows for o in separate), out.rows])
    cut = blocks(space, 1 << 30, pieces(space, to, region))
    for tile in tile_numbers:
        for number, block in enumerate(cut):
            seen: dict[SSAValue, int] = {}
            streams: list[SSAValue] = []
            for operand, rows_ in zip(separate, shown, strict=True):
                before = seen.setdefault(operand.buffer, 0)
                seen[operand.buffer] += 1
                copy = to.copy_for(operand.buffer, before + number)
                streams.append(to.read(operand.buffer, rows_.pattern(block, tile), chip, copy=copy))
            vxm = ts.VxmOp.build(
                operands=[streams],
                result_types=[ts.StreamType.of((block.rows, to.chip.lanes), element)],
                regions=[region.clone()],
                properties={"chip": IntegerAttr(chip, i64)},
            )
            to.write(to.add(vxm), out.buffer, written.pattern(block, tile), chip)


def in_separate_slices(
    operands: Sequence[Operand], space: Shape, tile_numbers: range, to: Buffers, chip: int
) -> list[Operand]:
    """Operands that can be read at the same time: of a buffer with too few copies, those that are too many are copied
    to buffers of their own."""
    counts: dict[SSAValue, int] = {}
    result: list[Operand] = []
    for operand in operands:
        counts[operand.buffer] = counts.get(operand.buffer, 0) + 1
        enough = counts[operand.buffer] <= to.copies_of(operand.buffer)
        result.append(operand if enough else _copied(operand, space, tile_numbers, to, chip))
    return result


def copied(buffer: SSAValue, to: Buffers, chip: int) -> SSAValue:
    """A buffer with the same words as another."""
    type_ = buffer.type
    assert isinstance(type_, ts.BufferType)
    made = to.make("scratch", "", type_.tensor, type_.layout, chip)
    words = AccessPattern.run(0, type_.layout.depth)
    to.write(to.read(buffer, words, chip), made, words, chip)
    return made


def _copied(operand: Operand, space: Shape, tile_numbers: range, to: Buffers, chip: int) -> Operand:
    """An operand in a buffer of its own: all of it, or the words that it shows if they are fewer."""
    type_ = operand.buffer.type
    assert isinstance(type_, ts.BufferType)
    shown = tuple(1 if step == 0 else n for n, step in zip(space, operand.rows.steps, strict=True))
    count = prod(shown)
    if count * len(tile_numbers) >= type_.layout.depth:
        return Operand(copied(operand.buffer, to, chip), operand.rows)
    element = type_.tensor.element_type
    of_rows = TensorType(element, (count * len(tile_numbers), to.chip.lanes))
    made = to.make("scratch", "", of_rows, rows_layout(of_rows, to.chip), chip)
    for at, tile in enumerate(tile_numbers):
        words = operand.rows.pattern(Block((0,) * len(shown), shown), tile)
        to.write(to.read(operand.buffer, words, chip), made, AccessPattern.run(at * count, count), chip)
    steps = tuple(0 if step == 0 else prod(shown[d + 1 :]) for d, step in enumerate(operand.rows.steps))
    return Operand(made, Rows(-tile_numbers.start * count, steps, count))


def pieces(space: Sequence[int], to: Buffers, region: Region) -> int:
    """The blocks into which the rows of a map are cut: as many as there are ALUs for, if each has enough to do."""
    alus = max(1, alus_of(region))
    return max(1, min(to.policy.side_by_side(prod(space)), to.chip.alus // alus))


def parts_of(visits: Iterable[tuple[AccessPattern, int]]) -> Parts:
    """The parts of a buffer that is visited by several at once: each begins with the first word of one of them."""
    first: dict[int, int] = {}
    for words, who in visits:
        first[words.low] = min(who, first.get(words.low, who))
    parts: list[tuple[int, int]] = []
    for low in sorted(first):
        if not parts or parts[-1][1] != first[low]:
            parts.append((low if parts else 0, first[low]))
    return parts


def separate_slices(written: Rows, space: Shape, element: Attribute) -> Parts:
    """The parts of a buffer that blocks of rows are written to and read from: as many as together have the width of an
    element of 32 bits, since each may have copies."""
    groups = max(1, Policy.most_blocks // element_bytes(element))
    return parts_of((written.pattern(b), i) for i, b in enumerate(blocks(space, 1 << 30, groups)))


def in_turn(destination: Destination) -> Parts:
    """The parts of a buffer of many rows that another reads while it is filled: a slice does either in a cycle."""
    depth, policy = destination.layout.depth, destination.to.policy
    count = min(policy.most_blocks, depth // (4 * policy.enough_rows))
    return [(i * depth // count, i) for i in range(count)] or WHOLE


def move(tensor: Tensor, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Copies a tensor from SRAM to SRAM."""
    result = destination.make(WHOLE)
    copy_rows(tensor, result, to, chip)
    return Tensor(tensor.shape, tensor.element, result)


def copy_rows(tensor: Tensor, target: Stored, to: Buffers, chip: int) -> None:
    """Copies a tensor to a view of a buffer."""
    source = to.in_rows(tensor, chip)
    shape = tensor.shape
    space, (a, b) = join(shape[:-1], [rows_of(v, shape, shape[:-1]) for v in (source, target)])
    whole = Block((0,) * len(space), space)
    for tile in range(tiles(tensor.columns, to.chip.lanes)):
        stream = to.read(source.buffer, a.pattern(whole, tile), chip)
        to.write(stream, target.buffer, b.pattern(whole, tile), chip)


def scratch_like(tensor: Tensor, shape: Shape, to: Buffers, chip: int, copies: int = 1, pads: Pads = ()) -> Destination:
    """Where a tensor of the same element type lies between two steps."""
    type_ = TensorType(tensor.element, shape)
    return Destination(to, "scratch", "", type_, rows_layout(type_, to.chip, pads), chip, copies)
