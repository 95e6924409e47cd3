"""Lowers reductions and windows: to products where the MXM sums them, and else to maps of rows and moves of lanes."""

from __future__ import annotations

from ....dialects import tsp_tensor
from ..analysis.product_fusion import in_order, is_product, keeps_columns
from ..emit.lane_reductions import reduce_columns
from ..emit.pooling import emit_pool
from ..emit.products import axes_sum, window_sum
from ..emit.reductions import emit_reduce, emit_window_sum
from .lower_products import images, lower_product
from .registry import lowers
from .values import Values, chip_of


@lowers(tsp_tensor.ReduceOp)
def lower_reduce(op: tsp_tensor.ReduceOp, values: Values) -> None:
    """Sums of i8 are products, and so keep their columns; all others go through ALUs."""
    (tensor,), axes, chip = values.operands(op), op.axes.get_values(), chip_of(op)
    if is_product(op):
        lower_product(op, axes_sum(tensor, axes, values.to, chip), values)
        return
    place = values.destination(op.result, chip)
    emit = emit_reduce if keeps_columns(op) else reduce_columns
    values.define(op.result, emit(op.kind.data, tensor, axes, values.to, place, chip))


@lowers(tsp_tensor.PoolOp)
def lower_pool(op: tsp_tensor.PoolOp, values: Values) -> None:
    """Sums of i8 over few taps are products; all others go through ALUs, those of floats in their order."""
    (tensor,), to, chip = values.operands(op), values.to, chip_of(op)
    if is_product(op):
        lower_product(op, window_sum(images(op, values), op.window, to, chip), values)
    elif in_order(op):
        place = values.destination(op.result, chip)
        values.define(op.result, emit_window_sum(tensor, op.window, to, place, chip))
    else:
        values.define(op.result, emit_pool(op, tensor, to, values.destination, chip))
