"""Ops that name, write down or move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    i32,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AnyAttr,
    BaseAttr,
    IRDLOperation,
    ParamAttrConstraint,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ..literals import Literal, check_size
from .canonical import Canonical
from .types import MOST_PIXELS, Shape, Tensor, check_count, check_result, check_tensor, number, numbers, tensor_of


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
    assembly_format = "custom<Literal>($value) attr-dict"
    custom_directives = (Literal,)

    def __init__(self, value: DenseIntOrFPElementsAttr):
        super().__init__(properties={"value": value}, result_types=[value.type])

    def verify_(self) -> None:
        check_tensor(self.result.type)
        check_size(self.value)


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """The same elements in row-major order under another shape."""

    name = "tsp_tensor.reshape"
    input = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue, shape: Sequence[int]):
        super().__init__(operands=[input], result_types=[TensorType(tensor_of(input).element_type, shape)])

    def verify_(self) -> None:
        a, b = check_tensor(self.input.type), check_tensor(self.result.type)
        if a.element_type != b.element_type or prod(a.get_shape()) != prod(b.get_shape()):
            raise VerifyException(f"{a} does not have the elements of {b}")


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """Dimension i of the result is dimension `permutation[i]` of the operand."""

    name = "tsp_tensor.transpose"
    input = operand_def(TensorType)
    permutation = prop_def(DenseArrayBase[I64])
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "$input `permutation` $permutation attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue, permutation: Sequence[int]):
        type_ = tensor_of(input)
        super().__init__(
            operands=[input],
            result_types=[TensorType(type_.element_type, [type_.get_shape()[i] for i in permutation])],
            properties={"permutation": numbers(permutation)},
        )

    def verify_(self) -> None:
        input_, permutation = check_tensor(self.input.type), self.permutation.get_values()
        shape = input_.get_shape()
        if sorted(permutation) != list(range(len(shape))):
            raise VerifyException(f"`permutation` {list(permutation)} does not name each axis of {input_} once")
        check_result(self.result.type, TensorType(input_.element_type, [shape[i] for i in permutation]))


@irdl_op_definition
class SliceOp(IRDLOperation):
    """Part of a tensor, by offsets, sizes and strides: `tsp_tensor.slice %x [0, 2] [4, 3] [1, 2] : … -> …`."""

    name = "tsp_tensor.slice"
    input = operand_def(TensorType)
    offsets = prop_def(DenseArrayBase[I64])
    sizes = prop_def(DenseArrayBase[I64])
    strides = prop_def(DenseArrayBase[I64])
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "$input $offsets $sizes $strides attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue, offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int]):
        super().__init__(
            operands=[input],
            result_types=[TensorType(tensor_of(input).element_type, sizes)],
            properties={"offsets": numbers(offsets), "sizes": numbers(sizes), "strides": numbers(strides)},
        )

    def verify_(self) -> None:
        input_ = check_tensor(self.input.type)
        shape = input_.get_shape()
        offsets, sizes, strides = (p.get_values() for p in (self.offsets, self.sizes, self.strides))
        check_count("offsets", offsets, len(shape), 0)
        check_count("sizes", sizes, len(shape), 1)
        check_count("strides", strides, len(shape), 1)
        for axis, (offset, size, stride, have) in enumerate(zip(offsets, sizes, strides, shape, strict=True)):
            if (last := offset + (size - 1) * stride) >= have:
                raise VerifyException(f"axis {axis}: the last index is {last}, {input_} has 0 to {have - 1}")
        check_result(self.result.type, TensorType(input_.element_type, sizes))


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Tensors one after the other along a dimension: `tsp_tensor.concat dim(1) %a, %b : (…, …) -> …`."""

    name = "tsp_tensor.concat"
    dim = prop_def(IntegerAttr[I64])
    inputs = var_operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "`dim` `(` $dim `)` $inputs attr-dict `:` functional-type($inputs, $result)"

    def __init__(self, dim: int, inputs: Sequence[SSAValue]):
        types = [tensor_of(v) for v in inputs]
        super().__init__(
            operands=[inputs],
            result_types=[TensorType(types[0].element_type, concatenated(dim, types))],
            properties={"dim": number(dim)},
        )

    def verify_(self) -> None:
        types, dim = [check_tensor(v.type) for v in self.inputs], self.dim.value.data
        if not types:
            raise VerifyException("concatenates nothing; give it operands")
        check_dim(dim, types[0])
        for other in types[1:]:
            a, b = types[0].get_shape(), other.get_shape()
            if other.element_type != types[0].element_type or len(a) != len(b) or _but(dim, a) != _but(dim, b):
                raise VerifyException(f"{other} and {types[0]} differ in more than the size of dimension {dim}")
        check_result(self.result.type, TensorType(types[0].element_type, concatenated(dim, types)))


def check_dim(dim: int, tensor: Tensor) -> None:
    """Raises VerifyException for a dimension that a tensor does not have."""
    if not 0 <= dim < len(tensor.get_shape()):
        raise VerifyException(f"{tensor} has no dimension {dim}; they are numbered from 0")


def _but(dim: int, shape: Shape) -> Shape:
    return (*shape[:dim], *shape[dim + 1 :])


def concatenated(dim: int, types: Sequence[Tensor]) -> Shape:
    """The shape of tensors one after the other."""
    first = types[0].get_shape()
    return (*first[:dim], sum(t.get_shape()[dim] for t in types), *first[dim + 1 :])


@irdl_op_definition
class PadOp(IRDLOperation):
    """A tensor with a value put before and after it: `tsp_tensor.pad %x low [0] high [1] value 0 : i8 : … -> …`."""

    name = "tsp_tensor.pad"
    input = operand_def(TensorType)
    low = prop_def(DenseArrayBase[I64])
    high = prop_def(DenseArrayBase[I64])
    value = prop_def(IntegerAttr | FloatAttr)
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "$input `low` $low `high` $high `value` $value attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue, low: Sequence[int], high: Sequence[int], value: IntegerAttr | FloatAttr):
        type_ = tensor_of(input)
        shape = [a + d + b for a, d, b in zip(low, type_.get_shape(), high, strict=True)]
        super().__init__(
            operands=[input],
            result_types=[TensorType(type_.element_type, shape)],
            properties={"low": numbers(low), "high": numbers(high), "value": value},
        )

    def verify_(self) -> None:
        input_ = check_tensor(self.input.type)
        low, high = self.low.get_values(), self.high.get_values()
        check_count("low", low, len(input_.get_shape()), 0, MOST_PIXELS)
        check_count("high", high, len(input_.get_shape()), 0, MOST_PIXELS)
        if self.value.type != input_.element_type:
            raise VerifyException(f"`value` is {self.value.type}, the elements of {input_} are not")
        shape = [a + d + b for a, d, b in zip(low, input_.get_shape(), high, strict=True)]
        check_result(self.result.type, TensorType(input_.element_type, shape))


def check_indices(indices: Tensor, table: Tensor) -> Shape:
    """The shape of the rows that indices name. Raises VerifyException for what are no indices, or no table."""
    if indices.element_type != i32:
        raise VerifyException(f"indices are i32, not {indices}; convert with tsp_tensor.map")
    if not table.get_shape():
        raise VerifyException(f"{table} has no rows; a table has at least one dimension")
    return (*indices.get_shape(), *table.get_shape()[1:])


@irdl_op_definition
class GatherOp(IRDLOperation):
    """Rows of a table: `result[i...] = table[indices[i...]]`. An index out of range is that of the nearest row."""

    name = "tsp_tensor.gather"
    table = operand_def(TensorType)
    indices = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "$table `,` $indices attr-dict `:` type($table) `,` type($indices) `->` type($result)"

    def verify_(self) -> None:
        table, indices = check_tensor(self.table.type), check_tensor(self.indices.type)
        check_result(self.result.type, TensorType(table.element_type, check_indices(indices, table)))


@irdl_op_definition
class ScatterOp(IRDLOperation):
    """The table with the rows that indices name replaced by those of `updates`, in row-major order: of several for one
    row the last stays. An index out of range is that of the nearest row."""

    name = "tsp_tensor.scatter"
    table = operand_def(TensorType)
    indices = operand_def(TensorType)
    updates = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = (
        "$table `,` $indices `,` $updates attr-dict "
        "`:` type($table) `,` type($indices) `,` type($updates) `->` type($result)"
    )

    def verify_(self) -> None:
        table, indices, updates = (check_tensor(v.type) for v in (self.table, self.indices, self.updates))
        expected = TensorType(table.element_type, check_indices(indices, table))
        if updates != expected:
            raise VerifyException(f"the updates of {table} at {indices} are {expected}, not {updates}")
        check_result(self.result.type, table)
