"""Maps without a product, and plain moves: from SRAM to SRAM, in blocks of rows that work side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import Region, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects.layout import AccessPattern, tiles
from .buffers import WHOLE, Buffers, Destination, Parts
from .views import Block, Rows, Tensor, blocks, join, rows_of

_ENOUGH_ROWS = 64
"""Rows below which a block is not worth a chain of ALUs of its own."""
_SIDE_BY_SIDE = 4
"""Blocks into which rows are cut at most."""


def emit_map(region: Region, operands: Sequence[Tensor], to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits a map of tensors in SRAM and gives the result."""
    type_ = destination.type
    shape = type_.get_shape()
    columns = shape[-1] if shape else 1
    views = [to.operand_view(t, columns) for t in operands]
    space = shape[:-1]
    all_rows = [rows_of(v, t.shape, space) for v, t in zip((*views, destination.view), (*operands, destination), strict=True)]
    space, (*shown, out) = join(space, all_rows)
    cut = blocks(space, 1 << 30, _pieces(space, to, region))
    tile_numbers = range(tiles(columns, to.chip.lanes))

    def parts(visited: Rows) -> Parts:
        return parts_of((visited.pattern(b, t), i) for t in tile_numbers for i, b in enumerate(cut))

    buffers = [
        to.operand(t, columns, chip, parts(r), 1) if any(r.steps) else to.operand(t, columns, chip, WHOLE, len(cut))
        for t, r in zip(operands, shown, strict=True)
    ]
    result = destination.make(parts(out))
    for tile in tile_numbers:
        for number, block in enumerate(cut):
            streams = [
                to.read(b, r.pattern(block, tile), chip, copy=to.copy_for(b, number))
                for b, r in zip(buffers, shown, strict=True)
            ]
            vxm = ts.VxmOp.build(
                operands=[streams],
                result_types=[ts.StreamType.of((block.rows, to.chip.lanes), type_.element_type)],
                regions=[region.clone()],
                properties={"chip": IntegerAttr(chip, i64)},
            )
            to.write(to.add(vxm), result.buffer, out.pattern(block, tile), chip)
    return Tensor(shape, type_.element_type, result)


def _pieces(space: Sequence[int], to: Buffers, region: Region) -> int:
    rows = 1
    for n in space:
        rows *= n
    alus = max(1, sum(1 for _ in region.block.ops))
    return max(1, min(_SIDE_BY_SIDE, to.chip.alus // alus, rows // _ENOUGH_ROWS))


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


def move(tensor: Tensor, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Copies a tensor from SRAM to SRAM."""
    source = to.in_rows(tensor, chip)
    shape = tensor.shape
    space, (a, b) = join(shape[:-1], [rows_of(v, shape, shape[:-1]) for v in (source, destination.view)])
    cut = blocks(space, 1 << 30, 1)
    result = destination.make(WHOLE)
    for tile in range(tiles(tensor.columns, to.chip.lanes)):
        for block in cut:
            stream: SSAValue = to.read(source.buffer, a.pattern(block, tile), chip)
            to.write(stream, result.buffer, b.pattern(block, tile), chip)
    return Tensor(shape, tensor.element, result)
