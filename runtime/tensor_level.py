"""Runs the tensor level in numpy: one op at a time, with the bits of the lower levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp, TensorType
from xdsl.ir import Attribute, Operation, SSAValue

from ..dialects import c2c, tsp_tensor
from ..dialects.elements import numpy_of
from ..dialects.errors import UnsupportedModel
from ..dialects.locations import describe
from ..dialects.semantics.regions import evaluate
from .interface import Array, Tensors, function_of


def dense_value(attr: DenseIntOrFPElementsAttr) -> Array:
    """A dense attribute as an array of its shape."""
    type_ = cast("TensorType[Attribute]", attr.type)
    values = np.array(cast("Sequence[float]", attr.get_values())).astype(numpy_of(type_.element_type))
    shape = type_.get_shape()
    return np.broadcast_to(values.reshape(()), shape) if values.size == 1 else values.reshape(shape)


def multiply(a: Array, b: Array) -> Array:
    """The product of int8 matrices, summed in int32, which wraps.

    Done in float64 by BLAS in pieces of k in which every sum is exact (2^53 / 2^14 products), then wrapped.
    """
    total = np.zeros((a.shape[0], b.shape[1]), np.int64)
    piece = 1 << 24
    for k in range(0, a.shape[1], piece):
        part = a[:, k : k + piece].astype(np.float64) @ b[k : k + piece].astype(np.float64)
        total += part.astype(np.int64)
    return total.astype(np.int32)


def run_tensor(module: ModuleOp, inputs: Tensors, weights: Tensors) -> dict[str, Array]:
    """The outputs by name, for checked inputs and weights by name."""
    function = function_of(module)
    body = function.body.block
    names = tsp_tensor.tensor_names(function.arg_attrs, len(body.args), "arg")
    values: dict[SSAValue, Array] = {a: inputs[name] for a, name in zip(body.args, names, strict=True)}
    for op in body.ops:
        if isinstance(op, func.ReturnOp):
            results = tsp_tensor.tensor_names(function.res_attrs, len(op.operands), "result")
            return {name: values[v] for name, v in zip(results, op.operands, strict=True)}
        values[op.results[0]] = _evaluate(op, [values[v] for v in op.operands], weights)
    raise UnsupportedModel(f"{describe(function)}: has no return")


def _evaluate(op: Operation, operands: list[Array], weights: Tensors) -> Array:
    match op:
        case tsp_tensor.ParameterOp():
            return weights[op.tensor_name.data]
        case tsp_tensor.ConstantOp():
            return dense_value(op.value)
        case tsp_tensor.MatmulOp():
            return multiply(operands[0], operands[1])
        case tsp_tensor.MapOp():
            shape = op.result.type.get_shape()
            return np.ascontiguousarray(np.broadcast_to(evaluate(op.body.block, operands), shape))
        case tsp_tensor.ReshapeOp():
            return operands[0].reshape(op.result.type.get_shape())
        case c2c.TransferOp():
            return operands[0]
        case _:
            raise UnsupportedModel(f"{describe(op)}: cannot be run at the tensor level")
