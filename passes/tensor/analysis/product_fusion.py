"""Which ops are products, and which map may take the sums of one as they leave the array."""

from __future__ import annotations

from math import prod
from typing import cast

from xdsl.dialects.builtin import TensorType, i8, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ....dialects import tsp_tensor
from ....dialects.tsp_tensor.types import is_float, shape_of
from ...policy import Policy


def only_map(op: Operation) -> tsp_tensor.MapOp | None:
    """The map that alone uses a product, if the sums may go straight into it: it is of the product's shape, and no
    other operand of it is such a product."""
    uses = list(op.results[0].uses)
    if not uses or not isinstance(consumer := uses[0].operation, tsp_tensor.MapOp):
        return None
    shape = shape_of(consumer.result)
    able = [v for v in consumer.inputs if is_product(v.owner) and {u.operation for u in v.uses} == {consumer}]
    first = next((v for wanted in (shape, (*shape[:-1], 1)) for v in able if shape_of(v) == wanted), None)
    return consumer if first is op.results[0] else None


def is_product(op: Operation | Block) -> bool:
    """Whether a map can take the sums of an op as they leave the array."""
    match op:
        case tsp_tensor.MatmulOp() | tsp_tensor.ConvOp():
            return True
        case tsp_tensor.PoolOp():
            return op.kind.data == "sum" and widens(op) and prod(op.window.kernel) <= Policy.most_passes
        case tsp_tensor.ReduceOp():
            return op.kind.data == "sum" and widens(op) and keeps_columns(op)
        case _:
            return False


def widens(op: tsp_tensor.PoolOp | tsp_tensor.ReduceOp) -> bool:
    """Whether it sums i8 to i32."""
    return (element_of_value(op.input), element_of_value(op.result)) == (i8, i32)


def in_order(op: tsp_tensor.PoolOp | tsp_tensor.ReduceOp) -> bool:
    """Whether it forms sums that have an order: those of floats."""
    return op.kind.data == "sum" and is_float(element_of_value(op.result))


def keeps_columns(op: tsp_tensor.ReduceOp) -> bool:
    """Whether it leaves the last dimension as it is."""
    rank = len(cast("TensorType[Attribute]", op.input.type).get_shape())
    return rank - 1 not in op.axes.get_values()


def element_of_value(value: SSAValue) -> Attribute:
    return cast("TensorType[Attribute]", value.type).element_type
