"""Ops that compute: products, maps, reductions, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    IntegerAttr,
    StringAttr,
    TensorType,
    UnitAttr,
    f16,
    f32,
    i8,
    i16,
    i32,
)
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import IsolatedFromAbove, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from ..regions import check_region
from .canonical import Canonical
from .types import (
    MOST_PIXELS,
    Shape,
    Tensor,
    broadcast,
    check_count,
    check_result,
    check_tensor,
    number,
    numbers,
    tensor_of,
)
from .window import Window

PRODUCTS: dict[Attribute, Attribute] = {i8: i32, f16: f32}
"""The element types that the MXM multiplies, each with that of its sums."""

WINDOW_FORMAT = "(`strides` $strides^)? (`pads` $pads^)? (`dilations` $dilations^)?"


def sums_of(what: str, lhs: Tensor, rhs: Tensor) -> Attribute:
    """The element type of sums of products. Raises VerifyException for what the MXM does not multiply."""
    sums = PRODUCTS.get(lhs.element_type)
    if lhs.element_type != rhs.element_type or sums is None:
        raise VerifyException(
            f"{what} takes i8 by i8 to i32, or f16 by f16 to f32, not {lhs} by {rhs}; convert with tsp_tensor.map"
        )
    return sums


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """The products of the matrices [M, K] and [K, N] in the last two dimensions; those before broadcast as in numpy.

    `transpose_lhs` and `transpose_rhs` say that the operand holds [K, M] or [N, K]. i8 sums are i32, which wraps; f16
    sums are f32, in the order of docs/numerics.md.
    """

    name = "tsp_tensor.matmul"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    transpose_lhs = opt_prop_def(UnitAttr)
    transpose_rhs = opt_prop_def(UnitAttr)
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue, transpose_lhs: bool = False, transpose_rhs: bool = False):
        a, b = tensor_of(lhs), tensor_of(rhs)
        shape = product_shape(matrix_shape(a, transpose_lhs), matrix_shape(b, transpose_rhs))
        if shape is None:
            raise ValueError(f"shapes do not multiply: {a} by {b}")
        super().__init__(
            operands=[lhs, rhs],
            result_types=[TensorType(sums_of("matmul", a, b), shape)],
            properties={
                "transpose_lhs": UnitAttr() if transpose_lhs else None,
                "transpose_rhs": UnitAttr() if transpose_rhs else None,
            },
        )

    def verify_(self) -> None:
        lhs, rhs, result = (check_tensor(v.type) for v in (self.lhs, self.rhs, self.result))
        a, b = matrix_shape(lhs, bool(self.transpose_lhs)), matrix_shape(rhs, bool(self.transpose_rhs))
        if product_shape(a, b) != result.get_shape():
            how = [f"{s} transposed" for s, t in (("lhs", self.transpose_lhs), ("rhs", self.transpose_rhs)) if t]
            note = f" ({', '.join(how)})" if how else ""
            raise VerifyException(f"shapes do not multiply{note}: {lhs} by {rhs} is not {result}")
        if sums_of("matmul", lhs, rhs) != result.element_type:
            raise VerifyException(f"sums of {lhs} by {rhs} are {PRODUCTS[lhs.element_type]}, the result is {result}")


def matrix_shape(tensor: Tensor, transposed: bool) -> Shape:
    """The shape of an operand of a product as the product sees it."""
    shape = tensor.get_shape()
    return swapped(shape) if transposed else shape


def swapped(shape: Shape) -> Shape:
    """A shape with its last two dimensions in the other order, if it has as many."""
    return (*shape[:-2], *reversed(shape[-2:]))


def product_shape(a: Shape, b: Shape) -> Shape | None:
    """The shape of the product of two stacks of matrices, or None where there is none."""
    batch = broadcast(a[:-2], b[:-2])
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2] or batch is None:
        return None
    return (*batch, a[-2], b[-1])


@irdl_op_definition
class ConvOp(IRDLOperation):
    """The convolution of images [N, H, W, C] with weights [KH, KW, C / groups, O], as neural networks have it.

    Channels and outputs fall into `groups` of equal size; group g of the outputs sees group g of the channels. `pads`
    are zeros at the top, left, bottom and right, which take part. i8 sums are i32, f16 sums are f32, in the order of
    docs/numerics.md.
    """

    name = "tsp_tensor.conv"
    input = operand_def(TensorType)
    weights = operand_def(TensorType)
    strides = prop_def(DenseArrayBase[I64], default_value=numbers([1, 1]))
    pads = prop_def(DenseArrayBase[I64], default_value=numbers([0, 0, 0, 0]))
    dilations = prop_def(DenseArrayBase[I64], default_value=numbers([1, 1]))
    groups = prop_def(IntegerAttr[I64], default_value=number(1))
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = (
        f"$input `,` $weights {WINDOW_FORMAT} (`groups` $groups^)? attr-dict "
        "`:` type($input) `,` type($weights) `->` type($result)"
    )

    @property
    def window(self) -> Window:
        """Raises VerifyException for a window that is none."""
        kernel = tensor_of(self.weights).get_shape()[:2]
        return window_of(kernel, self.strides, self.pads, self.dilations)

    def verify_(self) -> None:
        input_, weights = check_tensor(self.input.type), check_tensor(self.weights.type)
        check_images(input_)
        if len(weights.get_shape()) != 4:
            raise VerifyException(f"{weights}: weights are [rows, columns, channels / groups, outputs]")
        groups, channels, (_, _, each, outputs) = self.groups.value.data, input_.get_shape()[3], weights.get_shape()
        if groups < 1 or channels != groups * each or outputs % groups:
            raise VerifyException(
                f"{channels} channels in {groups} groups do not match weights of {each} channels and {outputs} "
                f"outputs: channels are groups times those of {weights}, and groups divides the outputs"
                f"{_other_layout(input_.get_shape(), weights.get_shape(), groups)}"
            )
        shape = slide(self.window, input_)
        check_result(self.result.type, TensorType(sums_of("conv", input_, weights), (*shape[:3], outputs)))


def window_of(
    kernel: Sequence[int], strides: DenseArrayBase[I64], pads: DenseArrayBase[I64], dilations: DenseArrayBase[I64]
) -> Window:
    """The window of properties. Raises VerifyException for one that is none."""
    check_count("window", kernel, 2, 1, MOST_PIXELS)
    check_count("strides", strides.get_values(), 2, 1, MOST_PIXELS)
    check_count("pads", pads.get_values(), 4, 0, MOST_PIXELS)
    check_count("dilations", dilations.get_values(), 2, 1, MOST_PIXELS)
    top, left, bottom, right = pads.get_values()
    (rows, columns), (down, along), (apart, aside) = kernel, strides.get_values(), dilations.get_values()
    return Window((rows, columns), (down, along), (top, left, bottom, right), (apart, aside))


NHWC = (
    "these look like images of layout NCHW, and tsp_tensor has NHWC: transpose them with tsp_tensor.transpose, "
    "permutation [0, 2, 3, 1], and the result back with [0, 3, 1, 2]"
)
HWIO = "weights look like OIHW, and tsp_tensor has [rows, columns, channels, outputs]: permutation [2, 3, 1, 0]"


def _other_layout(images: Shape, weights: Shape, groups: int) -> str:
    """What to do with operands whose channels would meet in the layouts that are usual elsewhere; or nothing."""
    _, second, _, last = images
    _, as_oihw, as_hwio, _ = weights
    if second == groups * as_oihw:
        return f"; {NHWC}; {HWIO}"
    if second == groups * as_hwio:
        return f"; {NHWC}"
    return f"; {HWIO}" if last == groups * as_oihw else ""


def check_images(tensor: Tensor) -> None:
    if len(tensor.get_shape()) != 4:
        raise VerifyException(f"{tensor}: images are [images, rows, columns, channels]; reshape")


def check_windows(result: Tensor, element: Attribute, window: Window, images: Tensor) -> None:
    """Raises VerifyException unless the result is that of a window on images, NHWC, with elements of this type."""
    check_images(images)
    try:
        check_result(result, TensorType(element, slide(window, images)))
    except VerifyException as e:
        n, channels, rows, columns = images.get_shape()
        if result.get_shape() == (n, channels, *window.places((rows, columns))):
            raise VerifyException(f"{e}; {NHWC}") from None
        raise


def slide(window: Window, images: Tensor) -> Shape:
    """The shape of a window's results on images. Raises VerifyException where it does not fit."""
    n, rows, columns, channels = images.get_shape()
    places = window.places((rows, columns))
    if min(places) < 1:
        extent, full = window.extent, window.padded((rows, columns))
        raise VerifyException(
            f"a window of {extent[0]} x {extent[1]} pixels is larger than the padded image of {full[0]} x {full[1]}"
        )
    return (n, *places, channels)


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
    traits = traits_def(Pure(), IsolatedFromAbove(), Canonical())
    assembly_format = "$inputs `:` functional-type($inputs, $result) $body attr-dict"

    def __init__(self, inputs: Sequence[SSAValue], body: Region, result: Tensor):
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
                raise VerifyException(f"operand {tensor} does not match region argument {argument.type}")
            if broadcast(tensor.get_shape(), result.get_shape()) != result.get_shape():
                raise VerifyException(f"operand {tensor} does not broadcast to {result}")
        if self.yielded.type != result.element_type:
            raise VerifyException(f"the region yields {self.yielded.type}, the result is {result}")


KINDS = ("sum", "max", "min")
"""What a reduction does."""


def check_kind(kind: str, kinds: Sequence[str]) -> None:
    if kind not in kinds:
        raise VerifyException(f"`{kind}` is not a kind of it; the kinds are {', '.join(kinds)}")


def check_widening(kind: str, of: Tensor, to: Tensor) -> None:
    """Raises VerifyException unless `to` has the elements of `of`, or is an i32 sum of narrower integers."""
    wider = kind == "sum" and of.element_type in (i8, i16) and to.element_type == i32
    if to.element_type != of.element_type and not wider:
        raise VerifyException(f"the {kind} of {of} keeps its element type (sums of i8 and i16 can be i32), not {to}")


@irdl_op_definition
class ReduceOp(IRDLOperation):
    """The sum, maximum or minimum over axes: `tsp_tensor.reduce "sum" %x axes [1] : tensor<2x3xi8> -> tensor<2xi8>`.

    The result leaves the axes out, or keeps all with size 1. Integer sums wrap in the type of the result. The order of
    floating-point sums is that of docs/numerics.md.
    """

    name = "tsp_tensor.reduce"
    kind = prop_def(StringAttr)
    input = operand_def(TensorType)
    axes = prop_def(DenseArrayBase[I64])
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = "$kind $input `axes` $axes attr-dict `:` type($input) `->` type($result)"

    def __init__(
        self, kind: str, input: SSAValue, axes: Sequence[int], keep: bool = False, to: Attribute | None = None
    ):
        type_ = tensor_of(input)
        super().__init__(
            operands=[input],
            result_types=[TensorType(to or type_.element_type, reduced(type_.get_shape(), axes, keep))],
            properties={"kind": StringAttr(kind), "axes": numbers(axes)},
        )

    def verify_(self) -> None:
        check_kind(self.kind.data, KINDS)
        input_, result = check_tensor(self.input.type), check_tensor(self.result.type)
        axes, rank = self.axes.get_values(), len(input_.get_shape())
        if not axes or list(axes) != sorted({*axes}) or not 0 <= axes[0] <= axes[-1] < rank:
            raise VerifyException(f"`axes` {list(axes)}: give some of the axes 0 to {rank - 1} of {input_}, ascending")
        shapes = [reduced(input_.get_shape(), axes, keep) for keep in (False, True)]
        if result.get_shape() not in shapes:
            either = " or ".join("x".join(map(str, s)) or "no dimensions" for s in shapes)
            raise VerifyException(f"over axes {list(axes)} of {input_} the result is of {either}, not {result}")
        check_widening(self.kind.data, input_, result)


def reduced(shape: Shape, axes: Sequence[int], keep: bool) -> Shape:
    """A shape without some axes, or with size 1 there."""
    return tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)


@irdl_op_definition
class PoolOp(IRDLOperation):
    """The sum or maximum over a window that slides over images [N, H, W, C], channel by channel.

    Padding is zero in sums and the lowest value of the type (-inf) in maxima. Integer sums wrap in the type of the
    result; floating-point sums go tap by tap, row by row. An average is a sum and a map, or tsp_tensor.avg_pool.
    """

    name = "tsp_tensor.pool"
    kind = prop_def(StringAttr)
    input = operand_def(TensorType)
    kernel = prop_def(DenseArrayBase[I64])
    strides = prop_def(DenseArrayBase[I64], default_value=numbers([1, 1]))
    pads = prop_def(DenseArrayBase[I64], default_value=numbers([0, 0, 0, 0]))
    dilations = prop_def(DenseArrayBase[I64], default_value=numbers([1, 1]))
    result = result_def(TensorType)
    traits = traits_def(Pure(), Canonical())
    assembly_format = f"$kind $input `window` $kernel {WINDOW_FORMAT} attr-dict `:` type($input) `->` type($result)"

    def __init__(self, kind: str, input: SSAValue, window: Window, to: Attribute | None = None):
        type_ = tensor_of(input)
        super().__init__(
            operands=[input],
            result_types=[TensorType(to or type_.element_type, slide(window, type_))],
            properties={
                "kind": StringAttr(kind),
                "kernel": numbers(window.kernel),
                "strides": numbers(window.strides),
                "pads": numbers(window.pads),
                "dilations": numbers(window.dilations),
            },
        )

    @property
    def window(self) -> Window:
        """Raises VerifyException for a window that is none."""
        return window_of(self.kernel.get_values(), self.strides, self.pads, self.dilations)

    def verify_(self) -> None:
        check_kind(self.kind.data, ("sum", "max"))
        input_, result = check_tensor(self.input.type), check_tensor(self.result.type)
        check_widening(self.kind.data, input_, result)
        check_windows(result, result.element_type, self.window, input_)
