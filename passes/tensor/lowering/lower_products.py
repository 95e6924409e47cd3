"""Lowers products to their normal form (products.py), and emits it or leaves it to the map that alone uses it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation

from ....dialects import tsp_tensor
from ....dialects.machine.layout import AccessPattern, tiles
from ....dialects.tsp_tensor.types import shape_of
from ..analysis.product_fusion import element_of_value, only_map
from ..analysis.views import Named, Stored, Tensor, indices
from ..emit.buffers import WHOLE, Destination, Part, rows_layout
from ..emit.contraction import emit_product
from ..emit.elementwise import move, parts_of
from ..emit.products import Product, column_view_product, conv_product, matmul_product, stacked_product
from .registry import lowers
from .values import Values, chip_of


def lower_product(op: Operation, product: Product, values: Values) -> None:
    """Emits a product, or leaves it to the map that alone uses it."""
    value = op.results[0]
    consumer = only_map(op)
    if consumer is not None and not product.swapped and chip_of(consumer) == product.chip:
        columns = shape_of(consumer.result)[-1]
        if product.repeated and columns <= values.chip.lanes:
            product = replace(product, columns=columns)
        if (*product.stack, *product.space, product.columns) == shape_of(consumer.result):
            values.define(value, product)
            return
    place = values.destination(value, product.chip, product.swapped)
    values.define(value, emit_product(product, values.to, place, None))


@lowers(tsp_tensor.ConvOp)
def lower_conv(op: tsp_tensor.ConvOp, values: Values) -> None:
    """A product whose passes are the taps of the window."""
    _, kernel = values.operands(op)
    lower_product(op, conv_product(op, images(op, values), kernel, values.to, chip_of(op)), values)


def images(op: tsp_tensor.ConvOp | tsp_tensor.PoolOp, values: Values) -> Tensor:
    """The images over which a window slides, with room for its padding around them."""
    known, chip, tensor = values[op.input], chip_of(op), values.activations(op.input, chip_of(op))
    if isinstance(tensor.source, Named) or not any(op.window.pads) or known.requirement_met:
        return tensor
    top, left, bottom, right = op.window.pads
    layout = rows_layout(known.type, values.chip, ((0, 0), (top, bottom), (left, right)))
    place = Destination(values.to, "scratch", "", known.type, layout, chip, known.required.copies)
    return move(tensor, values.to, place, chip)


@lowers(tsp_tensor.MatmulOp)
def lower_matmul(op: tsp_tensor.MatmulOp, values: Values) -> None:
    """A product by one matrix, by a stack of them, or, matrix by matrix, by many."""
    chip, view = chip_of(op), values[op.rhs].column_view if values[op.lhs].tensor is not None else None
    lhs = values.activations(op.lhs, chip)
    if view is not None and _keeps_lanes(op, values):
        product = column_view_product(op, lhs, view, values.to, chip)
        if product is not None:
            values.define(op.result, product)
            return
    rhs = values.stored(op.rhs, chip)
    if all(n == 1 for n in rhs.shape[:-2]):
        lower_product(op, matmul_product(op, lhs, rhs, shape_of(op.result)[:-1], values.to, chip), values)
        return
    stack = stacked_product(op, lhs, rhs, values.to, chip)
    if stack is not None:
        lower_product(op, stack, values)
    else:
        values.define(op.result, _each_by_itself(op, lhs, rhs, values, chip))


def _keeps_lanes(op: tsp_tensor.MatmulOp, values: Values) -> bool:
    """Whether a map that alone uses the result takes it in whatever lanes its columns lie."""
    consumer = only_map(op)
    if consumer is None or len({*consumer.inputs}) > 1 or chip_of(consumer) != chip_of(op):
        return False
    return values[consumer.result].output is None


def _each_by_itself(op: tsp_tensor.MatmulOp, lhs: Tensor, rhs: Tensor, values: Values, chip: int) -> Tensor:
    """Emits the products of the matrices of a stack, each a view of the operands and of the result."""
    to, shape = values.to, shape_of(op.result)
    products = [
        replace(matmul_product(op, lhs.matrix(i), rhs.matrix(i), shape[-2:-1], to, chip), one_of_many=True)
        for i in indices(shape[:-2])
    ]
    place = values.destination(op.result, chip)
    type_ = TensorType(element_of_value(op.result), shape[-2:])

    def matrix(view: Stored, index: tuple[int, ...]) -> Stored:
        return cast(Stored, Tensor(shape, type_.element_type, view).matrix(index).source)

    separate = parts_of(
        (AccessPattern(one.offset + tile * one.tile_stride, ()), i % to.policy.window_copies)
        for i, one in enumerate(matrix(place.view, index) for index in indices(shape[:-2]))
        for tile in range(tiles(shape[-1], values.chip.lanes))
    )
    result = place.make(WHOLE if shape[-2] < to.policy.few_rows else separate)
    for index, product in zip(indices(shape[:-2]), products, strict=True):
        layout = rows_layout(type_, values.chip)
        part = Part(to, "scratch", "", type_, layout, chip, place=matrix(result, index))
        emit_product(product, to, part, None)
    return Tensor(shape, type_.element_type, result)
