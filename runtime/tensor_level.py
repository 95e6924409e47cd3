"""Runs the tensor level in numpy: one op at a time, with the bits of the lower levels."""

from __future__ import annotations

from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ..dialects import c2c, tsp_tensor
from ..dialects.errors import UnsupportedModel
from ..dialects.locations import describe
from ..dialects.semantics.tensor import evaluate
from ..dialects.target_attr import target_of
from .interface import Array, Tensors, function_of


def run_tensor(module: ModuleOp, inputs: Tensors, weights: Tensors) -> dict[str, Array]:
    """The outputs by name, for checked inputs and weights by name."""
    function = function_of(module)
    lanes = target_of(module).chip.lanes
    body = function.body.block
    names = tsp_tensor.tensor_names(function.arg_attrs, len(body.args), "arg")
    values: dict[SSAValue, Array] = {a: inputs[name] for a, name in zip(body.args, names, strict=True)}
    for op in body.ops:
        operands = [values[v] for v in op.operands]
        match op:
            case func.ReturnOp():
                results = tsp_tensor.tensor_names(function.res_attrs, len(op.operands), "result")
                return dict(zip(results, operands, strict=True))
            case tsp_tensor.ParameterOp():
                values[op.result] = weights[op.tensor_name.data]
            case c2c.TransferOp():
                values[op.result] = operands[0]
            case _:
                values[op.results[0]] = evaluate(op, operands, lanes)
    raise UnsupportedModel(f"{describe(function)}: has no return")
