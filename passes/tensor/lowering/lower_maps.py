"""Lowers maps: of tensors in SRAM, or of the sums of a product as they leave the array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from xdsl.dialects.builtin import Float16Type
from xdsl.ir import Region

from ....dialects import tsp_tensor
from ....dialects.semantics.arithmetic import Array
from ...stream.analysis.alu_levels import alus_of
from ..analysis.alu_regions import alu_region
from ..analysis.views import Named, Tensor
from ..emit.buffers import Destination, rows_layout
from ..emit.column_views import column_view_of_sums
from ..emit.contraction import emit_product
from ..emit.elementwise import emit_map
from ..emit.lanes import spread
from ..emit.padding import mapped, mask_result, set_padding
from ..emit.products import Epilogue, Product
from .registry import lowers
from .values import Value, Values, chip_of


@lowers(tsp_tensor.MapOp)
def lower_map(op: tsp_tensor.MapOp, values: Values) -> None:
    """A map takes the sums of the product that is pending among its operands, if the others keep step with it."""
    to, chip, shape = values.to, chip_of(op), op.result.type.get_shape()
    columns = shape[-1] if shape else 1
    distinct = list(dict.fromkeys(op.inputs))  # operands that are one value share an argument
    region = alu_region(op, [distinct.index(v) for v in op.inputs])
    found = [values[v].pending or values.stored(v, chip) for v in distinct]
    product = next((p for p in found if isinstance(p, Product)), None)
    copies = values.to.policy.side_by_side(prod(shape[:-1])) if product is None else 1
    operands = [None if isinstance(t, Product) else _wide(t, columns, copies, values, chip) for t in found]
    if product is not None and not _in_step(product, operands, columns, values):
        where = operands.index(None)
        type_ = values[distinct[where]].type
        place = Destination(to, "scratch", "", type_, rows_layout(type_, values.chip), chip)
        operands[where], product = emit_product(product, to, place, None), None
    placed = [t for t in operands if t is not None]
    padding = mapped(region, placed, to) if product is None else None
    if _wants_zeros(values[op.result], padding, values) and _has_room(region, values):
        mask = mask_result(region, columns)
        operands, placed, padding = [*operands, mask], [*placed, mask], np.zeros((), np.float16)
    place = values.destination(op.result, chip)
    if product is None:
        result = emit_map(region, placed, to, place, chip)
    else:
        place = place if product.heads_in_words is None else replace(place, copies=1)
        result = emit_product(product, to, place, Epilogue(region, tuple(operands)))
    set_padding(result, padding, to)
    heads = None if product is None else product.heads_in_words
    values.define(op.result, result if heads is None else column_view_of_sums(result, heads[1]))


def _wide(tensor: Tensor, columns: int, copies: int, values: Values, chip: int) -> Tensor:
    """An operand of a map of `columns` columns; a computed one of one column in all lanes."""
    if isinstance(tensor.source, Named) or tensor.columns != 1 or columns == 1:
        return tensor
    return spread(tensor, columns, values.to, chip, copies)


def _in_step(product: Product, operands: Sequence[Tensor | None], columns: int, values: Values) -> bool:
    """Whether the operands of a map show themselves to the tiles of a product in equal steps."""
    others = [t for t in operands if t is not None]
    return all(product.rows_of(values.to.operand_view(t, columns), t.shape) for t in others)


def _wants_zeros(result: Value, padding: Array | None, values: Values) -> bool:
    """Whether a map's result meets weights and has numbers beyond its last column that would matter there."""
    shape = result.type.get_shape()
    meets = result.required.meets_weights and isinstance(result.type.element_type, Float16Type)
    partial = bool(shape) and shape[-1] % values.chip.lanes != 0
    return meets and partial and (padding is None or not np.isfinite(padding))


def _has_room(region: Region, values: Values) -> bool:
    """Whether there is an ALU for one more operation."""
    return alus_of(region) < values.chip.alus
