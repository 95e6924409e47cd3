"""Runs the tensor level in numpy: one op at a time, with the bits of the lower levels."""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ..dialects import c2c, tsp_tensor
from ..dialects.errors import UnsupportedModel
from ..dialects.locations import describe
from ..dialects.semantics.tensor import Padded, evaluate, slice_of
from ..dialects.target_attr import target_of
from ..dialects.tsp_tensor.sizes import check_size
from .interface import Array, Tensors, function_of


def run_tensor(module: ModuleOp, inputs: Tensors, weights: Tensors) -> dict[str, Array]:
    """The outputs by name, for checked inputs and weights by name.

    Raises CapacityError for a tensor that no chip can hold; of one that is padded only what slices show of it counts.
    """
    function = function_of(module)
    lanes = target_of(module).chip.lanes
    body = function.body.block
    names = tsp_tensor.tensor_names(function.arg_attrs, len(body.args), "arg")
    values: dict[SSAValue, Array | Padded] = {a: inputs[name] for a, name in zip(body.args, names, strict=True)}
    for op in body.ops:
        if not isinstance(op, tsp_tensor.PadOp):
            for result in op.results:
                check_size(op, result)
        match op:
            case func.ReturnOp():
                results = tsp_tensor.tensor_names(function.res_attrs, len(op.operands), "result")
                return {name: _whole(v, values) for name, v in zip(results, op.operands, strict=True)}
            case tsp_tensor.ParameterOp():
                values[op.result] = weights[op.tensor_name.data]
            case c2c.TransferOp():
                values[op.result] = _whole(op.input, values)
            case tsp_tensor.PadOp():
                values[op.result] = Padded(_whole(op.input, values), op)
            case tsp_tensor.SliceOp():
                values[op.result] = slice_of(op, values[op.input])
            case _:
                values[op.results[0]] = evaluate(op, [_whole(v, values) for v in op.operands], lanes)
    raise UnsupportedModel(f"{describe(function)}: has no return")


def _whole(value: SSAValue, values: dict[SSAValue, Array | Padded]) -> Array:
    """A value with all of its padding, which is made when first needed."""
    known = values[value]
    if isinstance(known, Padded):
        check_size(known.op, value)
        values[value] = known = known.whole()
    return known
