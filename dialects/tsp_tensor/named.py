"""Ops that are names for expressions of the others: `decompose-tensor-ops` writes those out, and they mean just those.

Elements are f16 or f32; arithmetic is f32, and what is f16 is rounded to it at the end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import pi, sqrt
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    UnitAttr,
    f16,
    f32,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    BaseAttr,
    IRDLOperation,
    ParsePropInAttrDict,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from .compute import WINDOW_FORMAT, MatmulOp, PoolOp, check_kind, check_windows, product_shape, swapped, window_of
from .expansion import Expansion, Scalars
from .movement import ConcatOp, ConstantOp, ReshapeOp, SliceOp, check_dim
from .types import Shape, Tensor, broadcast, check_result, check_tensor, dense, numbers, shape_of, tensor_of
from .window import Slide, Window


def check_float(type_: Attribute) -> Tensor:
    """Raises VerifyException for a tensor that is neither of f16 nor of f32."""
    tensor = check_tensor(type_)
    if tensor.element_type not in (f16, f32):
        raise VerifyException(f"{tensor}: elements are f16 or f32; scale integers with tsp_tensor.map first")
    return tensor


class NamedOp(IRDLOperation, ABC):
    """An op that stands for an expression of others."""

    @abstractmethod
    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        """Writes the expression, on operands of the types of this op's own, and gives its value."""


class ElementwiseOp(NamedOp, ABC):
    """A function of every element of one tensor."""

    T: ClassVar = VarConstraint("T", BaseAttr(TensorType))

    @abstractmethod
    def scalar(self, s: Scalars, x: SSAValue) -> SSAValue:
        """The function of one f32."""

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        return to.map(self.scalar, operands[0], to=tensor_of(operands[0]).element_type)

    def verify_(self) -> None:
        check_float(self.operands[0].type)


@irdl_op_definition
class SigmoidOp(ElementwiseOp):
    """1 / (1 + exp(-x)), the quotient being the square of an rsqrt."""

    name = "tsp_tensor.sigmoid"
    input = operand_def(ElementwiseOp.T)
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input)"

    def scalar(self, s: Scalars, x: SSAValue) -> SSAValue:
        return sigmoid(s, x)


def sigmoid(s: Scalars, x: SSAValue) -> SSAValue:
    return s.reciprocal(s.add(s.exp(s.negate(x)), s.constant(1.0)))


@irdl_op_definition
class SiluOp(ElementwiseOp):
    """x sigmoid(x). NaN of -inf."""

    name = "tsp_tensor.silu"
    input = operand_def(ElementwiseOp.T)
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input)"

    def scalar(self, s: Scalars, x: SSAValue) -> SSAValue:
        return s.mul(x, sigmoid(s, x))


GELU_FORMS = ("erf", "tanh")

ERFC = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
ERFC_SCALE = 0.3275911
"""erfc(z) = t (a1 + t (a2 + t (a3 + t (a4 + t a5)))) exp(-z^2) with t = 1 / (1 + p z), for z >= 0, to 1.5e-7:
M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions (1964), formula 7.1.26."""

ERFC_END = 16.0
"""From here on exp(-x^2 / 2) is 0 in f32."""


@irdl_op_definition
class GeluOp(ElementwiseOp):
    """x times the normal distribution function of x: exactly (`"erf"`), or as the usual approximation (`"tanh"`)."""

    name = "tsp_tensor.gelu"
    form = prop_def(StringAttr)
    input = operand_def(ElementwiseOp.T)
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    assembly_format = "$form $input attr-dict `:` type($input)"

    def verify_(self) -> None:
        super().verify_()
        check_kind(self.form.data, GELU_FORMS)

    def scalar(self, s: Scalars, x: SSAValue) -> SSAValue:
        return _gelu_erf(s, x) if self.form.data == "erf" else _gelu_tanh(s, x)


def _gelu_erf(s: Scalars, x: SSAValue) -> SSAValue:
    """max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2, which needs no sign and keeps the small values far below zero."""
    magnitude = s.min(s.max(x, s.negate(x)), s.constant(ERFC_END))
    t = s.reciprocal(s.add(s.mul(magnitude, s.constant(ERFC_SCALE / sqrt(2))), s.constant(1.0)))
    series = s.mul(s.polynomial(t, [a / 2 for a in ERFC]), t)
    tail = s.mul(series, s.exp(s.mul(s.mul(magnitude, magnitude), s.constant(-0.5))))
    return s.sub(s.max(x, s.constant(0.0)), s.mul(magnitude, tail))


def _gelu_tanh(s: Scalars, x: SSAValue) -> SSAValue:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): D. Hendrycks and K. Gimpel, arXiv:1606.08415."""
    root = sqrt(2 / pi)
    inner = s.mul(x, s.polynomial(s.mul(x, x), [root, root * 0.044715]))
    return s.mul(s.mul(x, s.constant(0.5)), s.add(s.tanh(inner), s.constant(1.0)))


@irdl_op_definition
class SoftmaxOp(NamedOp):
    """exp(x - max) over the sum of that, along a dimension: `tsp_tensor.softmax dim(1) %x : tensor<2x3xf32>`. What is
    -inf all along gives NaN. Along the last dimension of f16 the powers are rounded to f16, and summed as products."""

    name = "tsp_tensor.softmax"
    dim = prop_def(IntegerAttr[I64])
    input = operand_def(ElementwiseOp.T)
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    assembly_format = "`dim` `(` $dim `)` $input attr-dict `:` type($input)"

    def __init__(self, dim: int, input: SSAValue):
        super().__init__(operands=[input], result_types=[input.type], properties={"dim": IntegerAttr(dim, 64)})

    def verify_(self) -> None:
        check_dim(self.dim.value.data, check_float(self.input.type))

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        (x,), dim = operands, self.dim.value.data
        element = tensor_of(x).element_type
        as_product = element == f16 and dim == len(shape_of(x)) - 1
        top = to.reduce("max", x, dim)
        powers = to.map(lambda s, x, top: s.exp(s.sub(x, top)), x, top, to=f16 if as_product else f32)
        total = to.row_sums(powers) if as_product else to.reduce("sum", powers, dim)
        return to.map(lambda s, e, sum_: s.mul(e, s.reciprocal(sum_)), powers, total, to=element)


HALF_PART = 1 / 16
"""What is squared of a difference in f16: squares reach from 2^-24 to 2^16, and so differences from 0.004 to 4095."""


def check_row(what: str, row: SSAValue, x: Tensor) -> None:
    """Raises VerifyException unless there is one number for each element of the last dimension."""
    if check_float(row.type).get_shape() != x.get_shape()[-1:]:
        raise VerifyException(f"the {what} {row.type} must have the last dimension of {x}, and no other")


def check_normalized(x: Tensor, epsilon: float) -> None:
    if not x.get_shape():
        raise VerifyException(f"{x} has no last dimension")
    if not epsilon >= 0:
        raise VerifyException(f"`epsilon` is {epsilon}; it must not be negative")


@irdl_op_definition
class LayerNormOp(NamedOp):
    """(x - mean) / sqrt(variance + epsilon) scale + bias, mean and variance being those of the last dimension.

    Of f16, both are sums of products: the differences to the mean are rounded to f16, and so are the squares of their
    sixteenths, which can be up to 255^2.
    """

    name = "tsp_tensor.layer_norm"
    input = operand_def(ElementwiseOp.T)
    scale = operand_def(TensorType)
    bias = operand_def(TensorType)
    epsilon = prop_def(FloatAttr[Float32Type])
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    assembly_format = (
        "$input `,` $scale `,` $bias `epsilon` $epsilon attr-dict `:` type($input) `,` type($scale) `,` type($bias)"
    )

    def verify_(self) -> None:
        x = check_float(self.input.type)
        check_normalized(x, self.epsilon.value.data)
        check_row("scale", self.scale, x)
        check_row("bias", self.bias, x)

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        (x, scale, bias), axis = operands, len(shape_of(operands[0])) - 1
        share, epsilon = 1 / shape_of(x)[axis], self.epsilon.value.data
        element = tensor_of(x).element_type
        part = HALF_PART if element == f16 else 1.0

        def normalized(s: Scalars, d: SSAValue, square: SSAValue, scale: SSAValue, bias: SSAValue) -> SSAValue:
            variance = s.mul(square, s.constant(share / part**2))
            return s.add(s.mul(s.mul(d, s.rsqrt(s.add(variance, s.constant(epsilon)))), scale), bias)

        def sums(v: SSAValue) -> SSAValue:
            return to.row_sums(v) if element == f16 else to.reduce("sum", v, axis)

        def squared(s: Scalars, d: SSAValue) -> SSAValue:
            return s.mul(d, d) if part == 1 else s.mul(s.mul(d, d), s.constant(part**2))

        d = to.map(lambda s, x, sum_: s.sub(x, s.mul(sum_, s.constant(share))), x, sums(x), to=element)
        return to.map(normalized, d, sums(to.map(squared, d, to=element)), scale, bias, to=element)


@irdl_op_definition
class RmsNormOp(NamedOp):
    """x / sqrt(mean of squares + epsilon) scale, the mean being that of the last dimension."""

    name = "tsp_tensor.rms_norm"
    input = operand_def(ElementwiseOp.T)
    scale = operand_def(TensorType)
    epsilon = prop_def(FloatAttr[Float32Type])
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    assembly_format = "$input `,` $scale `epsilon` $epsilon attr-dict `:` type($input) `,` type($scale)"

    def verify_(self) -> None:
        x = check_float(self.input.type)
        check_normalized(x, self.epsilon.value.data)
        check_row("scale", self.scale, x)

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        (x, scale), axis = operands, len(shape_of(operands[0])) - 1
        share, epsilon = 1 / shape_of(x)[axis], self.epsilon.value.data

        def normalized(s: Scalars, x: SSAValue, square: SSAValue, scale: SSAValue) -> SSAValue:
            mean = s.mul(square, s.constant(share))
            return s.mul(s.mul(x, s.rsqrt(s.add(mean, s.constant(epsilon)))), scale)

        square = to.reduce("sum", to.map(lambda s, x: s.mul(x, x), x), axis)
        return to.map(normalized, x, square, scale, to=tensor_of(x).element_type)


@irdl_op_definition
class RopeOp(NamedOp):
    """Rotary position embedding: pairs (a, b) of the last dimension become (a cos - b sin, b cos + a sin).

    A pair is an element of the first half and the one in its place in the second, or, `interleaved`, two neighbours.
    The tables broadcast to the shape of either half.
    """

    name = "tsp_tensor.rope"
    input = operand_def(ElementwiseOp.T)
    cos = operand_def(TensorType)
    sin = operand_def(TensorType)
    interleaved = opt_prop_def(UnitAttr)
    result = result_def(ElementwiseOp.T)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $cos `,` $sin attr-dict `:` type($input) `,` type($cos) `,` type($sin)"

    def verify_(self) -> None:
        x = check_float(self.input.type)
        shape = x.get_shape()
        if not shape or shape[-1] % 2:
            raise VerifyException(f"{x}: the last dimension is of pairs, so its size is even")
        half = (*shape[:-1], shape[-1] // 2)
        for table in (check_float(self.cos.type), check_float(self.sin.type)):
            if broadcast(table.get_shape(), half) != half:
                raise VerifyException(f"the table {table} does not broadcast to the pairs {half} of {x}")

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        x, cos, sin = operands
        *outer, size = shape_of(x)
        half, element, neighbours = size // 2, tensor_of(x).element_type, self.interleaved is not None

        def part(number: int) -> SSAValue:
            offset, stride = (number, 2) if neighbours else (number * half, 1)
            zeros, ones = [0] * len(outer), [1] * len(outer)
            return to.add(SliceOp(x, [*zeros, offset], [*outer, half], [*ones, stride]))

        a, b = part(0), part(1)
        first = to.map(lambda s, a, b, c, d: s.sub(s.mul(a, c), s.mul(b, d)), a, b, cos, sin, to=element)
        second = to.map(lambda s, a, b, c, d: s.add(s.mul(b, c), s.mul(a, d)), a, b, cos, sin, to=element)
        if not neighbours:
            return to.add(ConcatOp(len(outer), [first, second]))
        columns = [to.add(ReshapeOp(v, [*outer, half, 1])) for v in (first, second)]
        return to.add(ReshapeOp(to.add(ConcatOp(len(outer) + 1, columns)), [*outer, size]))


@irdl_op_definition
class AttentionOp(NamedOp):
    """softmax(query key^T scale + mask) value, of f16: query [..., S, D], key [..., T, D], value [..., T, E].

    The mask broadcasts to [..., S, T]; the dimensions before broadcast, so that heads can share keys. Sums are f32; the
    softmax is rounded to f16 to be multiplied.
    """

    name = "tsp_tensor.attention"
    query = operand_def(TensorType)
    key = operand_def(TensorType)
    value = operand_def(TensorType)
    mask = opt_operand_def(TensorType)
    scale = prop_def(FloatAttr[Float32Type])
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$query `,` $key `,` $value (`mask` $mask^ `:` type($mask))? `scale` $scale attr-dict "
        "`:` type($query) `,` type($key) `,` type($value) `->` type($result)"
    )

    def verify_(self) -> None:
        query, key, value = (check_tensor(v.type) for v in (self.query, self.key, self.value))
        for tensor in (query, key, value):
            if tensor.element_type != f16:
                raise VerifyException(f"attention multiplies f16, not {tensor}; convert with tsp_tensor.map")
        result = check_float(self.result.type)
        scores = product_shape(query.get_shape(), swapped(key.get_shape()))
        shape = scores and product_shape(scores, value.get_shape())
        if scores is None or shape is None:
            raise VerifyException(f"query {query}, key {key} and value {value} do not multiply")
        if self.mask is not None and broadcast(check_float(self.mask.type).get_shape(), scores) != scores:
            raise VerifyException(f"the mask {self.mask.type} does not broadcast to the scores {list(scores)}")
        check_result(result, TensorType(result.element_type, shape))

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        query, key, value, *mask = operands
        scale = self.scale.value.data

        def scaled(s: Scalars, x: SSAValue, *mask: SSAValue) -> SSAValue:
            product = s.mul(x, s.constant(scale))
            return s.add(product, mask[0]) if mask else product

        scores = to.map(scaled, to.add(MatmulOp(query, key, transpose_rhs=True)), *mask)
        weights = to.convert(to.add(SoftmaxOp(len(shape_of(scores)) - 1, scores)), f16)
        return to.convert(to.add(MatmulOp(weights, value)), tensor_of(self.result).element_type)


@irdl_op_definition
class AvgPoolOp(NamedOp):
    """The mean over a window that slides over images [N, H, W, C], of the taps inside the image, or of all of them
    (`count_padding`)."""

    name = "tsp_tensor.avg_pool"
    input = operand_def(TensorType)
    kernel = prop_def(DenseArrayBase[I64])
    strides = prop_def(DenseArrayBase[I64], default_value=numbers([1, 1]))
    pads = prop_def(DenseArrayBase[I64], default_value=numbers([0, 0, 0, 0]))
    dilations = prop_def(DenseArrayBase[I64], default_value=numbers([1, 1]))
    count_padding = opt_prop_def(UnitAttr)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        f"$input `window` $kernel {WINDOW_FORMAT} (`count_padding` $count_padding^)? attr-dict "
        "`:` type($input) `->` type($result)"
    )

    @property
    def window(self) -> Window:
        """Raises VerifyException for a window that is none."""
        return window_of(self.kernel.get_values(), self.strides, self.pads, self.dilations)

    def verify_(self) -> None:
        x = check_float(self.input.type)
        check_windows(check_tensor(self.result.type), x.element_type, self.window, x)
        if self.count_padding is None and not all(d.met_everywhere for d in self._along(x.get_shape())):
            raise VerifyException(f"a place of the window lies in the padding of {x} alone; use `count_padding`")

    def _along(self, images: Shape) -> tuple[Slide, Slide]:
        return self.window.along((images[1], images[2]))

    def _counts(self, images: Shape) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """How many taps count at each place, [1, rows, columns, 1]."""
        if self.count_padding is not None:
            return np.full((1, 1, 1, 1), self.window.kernel[0] * self.window.kernel[1])
        rows, columns = self._along(images)
        return (rows.counts()[:, None] * columns.counts())[None, :, :, None]

    def expand(self, to: Expansion, operands: Sequence[SSAValue]) -> SSAValue:
        (x,) = operands
        counts = self._counts(shape_of(x))
        shares = (1 / counts).astype(np.float32)
        sums = to.add(PoolOp("sum", to.convert(x, f32), self.window))
        factors = to.add(ConstantOp(dense(TensorType(f32, shares.shape), shares)))
        return to.map(lambda s, x, share: s.mul(x, share), sums, factors, to=tensor_of(x).element_type)
