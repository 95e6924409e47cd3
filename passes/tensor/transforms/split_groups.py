"""Grouped convolutions as expressions in which the channels of one group meet no weights of another.

The host can lay the weights of several groups side by side, with zeros in between, so that they meet all channels at
the same time. That is not possible of weights that are computed, and not of all sizes of groups. And of f16, an
infinity or NaN in a channel of one group would make NaN of the outputs of the others.
"""

from __future__ import annotations

from itertools import product

from xdsl.dialects.builtin import FloatAttr, TensorType, f16, i8
from xdsl.ir import Block, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from ....dialects.machine.layout import Groups
from ....dialects.target_attr import target_of
from ....dialects.tsp_tensor import ConcatOp, ConstantOp, ConvOp, PadOp, ParameterOp, ReshapeOp, SliceOp, TransposeOp
from ....dialects.tsp_tensor.expansion import Expansion, Scalars
from ....dialects.tsp_tensor.types import number, shape_of, tensor_of


class SplitGroups(RewritePattern):
    """Where groups cannot lie side by side, a depthwise convolution of f16 becomes a product and a sum for every tap,
    and any other a convolution for each group, which are joined. The order of sums is the same."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ConvOp, rewriter: PatternRewriter) -> None:
        groups, (*_, each, outputs) = op.groups.value.data, shape_of(op.weights)
        lanes, integers = target_of(op).chip.lanes, tensor_of(op.input).element_type == i8
        beside = Groups(groups, each, outputs // groups).fit(lanes)
        if groups == 1 or (integers and beside and placed_by_host(op.weights)):
            return
        to = Expansion(op)
        result = by_taps(op, to) if (each, outputs) == (1, groups) and not integers else by_groups(op, to)
        rewriter.replace(op, to.ops, [result])


def placed_by_host(value: SSAValue) -> bool:
    """Whether a value is a view of an input, a parameter or a constant: one that is reshaped first, if at all."""
    while isinstance(op := value.owner, SliceOp | TransposeOp):
        value = op.input
    while isinstance(op := value.owner, ReshapeOp):
        value = op.input
    return isinstance(value.owner, Block | ParameterOp | ConstantOp)


def by_groups(op: ConvOp, to: Expansion) -> SSAValue:
    """The outputs of one group after the other."""
    groups, (n, rows, columns, outputs) = op.groups.value.data, shape_of(op.result)
    each, mine = shape_of(op.weights)[2], outputs // groups
    shape = TensorType(tensor_of(op.result).element_type, (n, rows, columns, mine))
    results: list[SSAValue] = []
    for group in range(groups):
        operands = [columns_of(op.input, group * each, each, to), columns_of(op.weights, group * mine, mine, to)]
        properties = {**op.properties, "groups": number(1)}
        results.append(to.add(ConvOp(operands=operands, result_types=[shape], properties=properties)))
    return to.add(ConcatOp(3, results))


def columns_of(value: SSAValue, first: int, count: int, to: Expansion) -> SSAValue:
    """Some places of the last dimension."""
    *leading, _ = shape_of(value)
    return to.add(SliceOp(value, [*(0 for _ in leading), first], [*leading, count], [1] * (len(leading) + 1)))


def by_taps(op: ConvOp, to: Expansion) -> SSAValue:
    """The sum over the taps, row by row, of pixels times weights: each is a pass of its own, summed from zero."""
    (n, *_, channels), places = shape_of(op.input), shape_of(op.result)[1:3]
    padded, window = zeros_around(op, to), op.window
    total: SSAValue | None = None
    for tap in product(*map(range, window.kernel)):
        first = [t * apart for t, apart in zip(tap, window.dilations, strict=True)]
        pixels = to.add(SliceOp(padded, [0, *first, 0], [n, *places, channels], [1, *window.strides, 1]))
        weights = to.add(SliceOp(op.weights, [*tap, 0, 0], [1, 1, 1, channels], [1] * 4))
        total = to.map(_first, pixels, weights) if total is None else to.map(_next, total, pixels, weights)
    assert total is not None  # a kernel has a tap
    return total


def _first(s: Scalars, pixel: SSAValue, weight: SSAValue) -> SSAValue:
    return s.add(s.mul(pixel, weight), s.constant(0.0))  # a sum from zero on is never -0


def _next(s: Scalars, total: SSAValue, pixel: SSAValue, weight: SSAValue) -> SSAValue:
    return s.add(total, s.mul(pixel, weight))


def zeros_around(op: ConvOp, to: Expansion) -> SSAValue:
    """The images with their padding."""
    top, left, bottom, right = op.window.pads
    if not any(op.window.pads):
        return op.input
    return to.add(PadOp(op.input, [0, top, left, 0], [0, bottom, right, 0], FloatAttr(0.0, f16)))
