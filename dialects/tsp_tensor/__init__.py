"""The `tsp_tensor` dialect: what is computed. Value semantics on builtin tensors of static shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, cast

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, DictionaryAttr, IntegerType, StringAttr, TensorType, i32
from xdsl.ir import Attribute, Dialect, Region, SSAValue
from xdsl.irdl import (
    AnyAttr,
    BaseAttr,
    IRDLOperation,
    ParamAttrConstraint,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from ..elements import element_of
from ..regions import check_region

WEIGHTS = "tsp_tensor.weights"
"""The module attribute that names the safetensors file of the parameters, relative to the module's own file."""

NAME = "tsp_tensor.name"
"""The argument and result attribute that names an input or output."""


def tensor_names(attrs: Attribute | None, count: int, default: str) -> list[str]:
    """The names that argument or result attributes give, or `<default><number>`."""
    entries = list(cast("Sequence[DictionaryAttr]", attrs)) if attrs is not None else []
    names: list[str] = []
    for i in range(count):
        name = entries[i].data.get(NAME) if i < len(entries) else None
        names.append(name.data if isinstance(name, StringAttr) else f"{default}{i}")
    return names


def check_tensor(type_: Attribute) -> TensorType[Attribute]:
    """The tensor type. Raises VerifyException for dynamic shapes and for elements that no stream carries."""
    tensor = cast("TensorType[Attribute]", type_)
    if any(d < 1 for d in tensor.get_shape()):
        raise VerifyException(f"{tensor}: dimensions must be static and at least 1")
    if element_of(tensor.element_type) is None:
        raise VerifyException(f"{tensor}: element type is none of i8, i16, i32, f16, f32")
    return tensor


@irdl_op_definition
class ParameterOp(IRDLOperation):
    """A tensor of the weights file, by name: `tsp_tensor.parameter "fc1.weight" : tensor<64x128xi8>`."""

    name = "tsp_tensor.parameter"
    tensor_name = prop_def(StringAttr)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$tensor_name attr-dict `:` type($result)"

    def verify_(self) -> None:
        check_tensor(self.result.type)


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A tensor written in the IR: `tsp_tensor.constant dense<[1, 2]> : tensor<2xi32>`."""

    name = "tsp_tensor.constant"
    _T: ClassVar = VarConstraint("T", BaseAttr(TensorType))
    value = prop_def(ParamAttrConstraint(DenseIntOrFPElementsAttr, (_T, AnyAttr())))
    result = result_def(_T)
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict"

    def verify_(self) -> None:
        check_tensor(self.result.type)


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """The product of an int8 matrix [M, K] and an int8 matrix [K, N], summed in int32, which wraps."""

    name = "tsp_tensor.matmul"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"

    def verify_(self) -> None:
        lhs, rhs, result = (check_tensor(v.type) for v in (self.lhs, self.rhs, self.result))
        a, b, c = lhs.get_shape(), rhs.get_shape(), result.get_shape()
        if len(a) != 2 or len(b) != 2 or a[1] != b[0] or c != (a[0], b[1]):
            raise VerifyException(f"shapes do not multiply: {lhs} by {rhs} is not {result}")
        if lhs.element_type != IntegerType(8) or rhs.element_type != IntegerType(8) or result.element_type != i32:
            raise VerifyException(f"matmul takes i8 by i8 to i32, not {lhs} by {rhs} to {result}")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Gives the value of a map region."""

    name = "tsp_tensor.yield"
    value = operand_def()
    traits = traits_def(IsTerminator(), Pure())
    assembly_format = "$value attr-dict `:` type($value)"

    def __init__(self, value: SSAValue):
        super().__init__(operands=[value])


@irdl_op_definition
class MapOp(IRDLOperation):
    """Applies a region of scalar `arith` and `math` ops to every element; operands broadcast as in numpy."""

    name = "tsp_tensor.map"
    inputs = var_operand_def(TensorType)
    body = region_def("single_block")
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$inputs `:` functional-type($inputs, $result) $body attr-dict"

    def __init__(self, inputs: Sequence[SSAValue], body: Region, result: TensorType[Attribute]):
        super().__init__(operands=[inputs], result_types=[result], regions=[body])

    @property
    def yielded(self) -> SSAValue:
        return cast(YieldOp, self.body.block.last_op).value

    def verify_(self) -> None:
        check_region(self.body, (YieldOp,))
        if not isinstance(self.body.block.last_op, YieldOp):
            raise VerifyException("the region ends with tsp_tensor.yield")
        result = check_tensor(self.result.type)
        if len(self.inputs) != len(self.body.block.args):
            raise VerifyException(f"{len(self.inputs)} operands but {len(self.body.block.args)} region arguments")
        for value, argument in zip(self.inputs, self.body.block.args, strict=True):
            tensor = check_tensor(value.type)
            if tensor.element_type != argument.type:
                raise VerifyException(f"operand {tensor} meets region argument {argument.type}")
            shape, full = tensor.get_shape(), result.get_shape()
            tail = full[len(full) - len(shape) :]
            if len(shape) > len(full) or any(s not in (1, f) for s, f in zip(shape, tail, strict=True)):
                raise VerifyException(f"operand {tensor} does not broadcast to {result}")
        if self.yielded.type != result.element_type:
            raise VerifyException(f"the region yields {self.yielded.type}, the result is {result}")


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """The same elements in row-major order under another shape."""

    name = "tsp_tensor.reshape"
    input = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def verify_(self) -> None:
        a, b = check_tensor(self.input.type), check_tensor(self.result.type)
        if a.element_type != b.element_type or prod(a.get_shape()) != prod(b.get_shape()):
            raise VerifyException(f"{a} has not the elements of {b}")


TSP_TENSOR = Dialect("tsp_tensor", [ParameterOp, ConstantOp, MatmulOp, MapOp, YieldOp, ReshapeOp])
