"""The patterns by which `canonicalize` simplifies tensor ops. None changes a bit of what a function computes."""

from __future__ import annotations

from math import isnan, prod
from typing import cast

from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.rewriter import InsertPoint

from ..literals import dense_value
from ..locations import located
from ..target_attr import target_of
from .compute import MapOp, MatmulOp, ReduceOp, YieldOp
from .movement import ConcatOp, ConstantOp, PadOp, ReshapeOp, SliceOp, TransposeOp
from .simplify_windows import PATTERNS as WINDOWS
from .types import dense, scalar_attr, shape_of, tensor_of

MOST_FOLDED = 4096
"""Elements of the largest constant that folding makes: the IR is no place for bulk."""

MOST_READ = 1 << 20
"""Elements of constants that are read to make one."""


def replace(rewriter: PatternRewriter, op: Operation, by: Operation | SSAValue) -> None:
    """Puts a value, or a new op with the place and attributes of the old one, in its stead."""
    if isinstance(by, SSAValue):
        rewriter.replace(op, [], [by])
    else:
        by.attributes.update(op.attributes)
        rewriter.replace(op, located(by, op))


def constant_of(value: SSAValue) -> ConstantOp | None:
    """The constant that a value is, if it is one."""
    return value.owner if isinstance(value.owner, ConstantOp) else None


def same(value: SSAValue, result: SSAValue) -> bool:
    """Whether one can stand for the other."""
    return value.type == result.type


class FoldConstants(RewritePattern):
    """An op on constants is a constant, if that is small."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        constants = [c for v in op.operands if (c := constant_of(v)) is not None]
        if len(constants) != len(op.operands) or isinstance(op, ConstantOp):
            return
        type_ = tensor_of(op.results[0])
        read = sum(prod(c.result.type.get_shape()) for c in constants)
        if prod(type_.get_shape()) > MOST_FOLDED or read > MOST_READ:
            return
        from ..semantics.tensor import evaluate

        value = evaluate(op, [dense_value(c.value) for c in constants], target_of(op).chip.lanes)
        replace(rewriter, op, ConstantOp(dense(type_, value)))


# -- maps --------------------------------------------------------------------------------------------------------------


class FoldScalars(RewritePattern):
    """A scalar op on constants is a constant."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        from ..semantics.regions import evaluate_op, scalar

        for inner in op.body.block.ops:
            if isinstance(inner, arith.ConstantOp | YieldOp):
                continue
            constants = [v.owner for v in inner.operands if isinstance(v.owner, arith.ConstantOp)]
            if len(constants) == len(inner.operands):
                value = evaluate_op(inner, [scalar(c) for c in constants])
                attr = scalar_attr(value.item(), inner.results[0].type)
                rewriter.replace(inner, located(arith.ConstantOp(attr), inner))


class InlineSplats(RewritePattern):
    """A constant operand of a map, if all its elements are one, is a constant of the region: an immediate of an ALU."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        for i in reversed(range(len(op.inputs))):
            value = splat_of(op.inputs[i])
            if value is None or len(op.inputs) == 1:
                continue
            argument = op.body.block.args[i]
            constant = located(arith.ConstantOp(scalar_attr(value, argument.type)), op)
            rewriter.insert(constant, InsertPoint.at_start(op.body.block))
            rewriter.replace_all_uses_with(argument, constant.result)
            drop_operand(op, i, rewriter)


def splat_of(value: SSAValue) -> float | None:
    """The one element of a constant, if all are the same and no NaN."""
    constant = constant_of(value)
    if constant is None:
        return None
    data, count = constant.value.data.data, prod(tensor_of(value).get_shape())
    if data != data[: len(data) // count] * count:
        return None
    first = cast(float, next(iter(constant.value.iter_values())))
    return None if isnan(first) else first


def drop_operand(op: MapOp, i: int, rewriter: PatternRewriter) -> None:
    """Takes an operand away whose argument nothing uses."""
    op.body.block.erase_arg(op.body.block.args[i])
    op.operands = [v for j, v in enumerate(op.inputs) if j != i]
    rewriter.notify_op_modified(op)


class DropOperands(RewritePattern):
    """An operand that stands twice, or whose argument nothing uses, is taken away; one operand stays."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        inputs = list(op.inputs)
        places = {value: i for i, value in reversed([*enumerate(inputs)])}
        for i in reversed(range(len(inputs))):
            first = places[inputs[i]]
            if first != i:
                rewriter.replace_all_uses_with(op.body.block.args[i], op.body.block.args[first])
            if op.body.block.args[i].first_use is None and len(op.inputs) > 1:
                drop_operand(op, i, rewriter)


class IdentityMap(RewritePattern):
    """A map that yields an operand of the result's type is that operand; one that is put on a chip brings it there."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        for value, argument in zip(op.inputs, op.body.block.args, strict=True):
            if op.yielded is argument and same(value, op.result) and not op.attributes:
                replace(rewriter, op, value)
                return


# -- movement ----------------------------------------------------------------------------------------------------------


class SimplifyReshape(RewritePattern):
    """To the shape that is there already; of a reshape."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ReshapeOp, rewriter: PatternRewriter) -> None:
        if same(op.input, op.result):
            replace(rewriter, op, op.input)
        elif isinstance(before := op.input.owner, ReshapeOp):
            replace(rewriter, op, ReshapeOp(before.input, shape_of(op.result)))


class SimplifyTranspose(RewritePattern):
    """That leaves all in place; of a transpose; that only moves dimensions of size 1, which is a reshape."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: TransposeOp, rewriter: PatternRewriter) -> None:
        permutation = op.permutation.get_values()
        moved = [i for i in permutation if shape_of(op.input)[i] > 1]
        if list(permutation) == sorted(permutation):
            replace(rewriter, op, op.input)
        elif isinstance(before := op.input.owner, TransposeOp):
            first = before.permutation.get_values()
            replace(rewriter, op, TransposeOp(before.input, [first[i] for i in permutation]))
        elif moved == sorted(moved):
            replace(rewriter, op, ReshapeOp(op.input, shape_of(op.result)))


class SimplifySlice(RewritePattern):
    """Of all there is; of a slice."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SliceOp, rewriter: PatternRewriter) -> None:
        if same(op.input, op.result):
            replace(rewriter, op, op.input)
        elif isinstance(before := op.input.owner, SliceOp):
            first = list(zip(before.offsets.get_values(), before.strides.get_values(), strict=True))
            offsets = [o + s * p for (o, s), p in zip(first, op.offsets.get_values(), strict=True)]
            strides = [s * t for (_, s), t in zip(first, op.strides.get_values(), strict=True)]
            replace(rewriter, op, SliceOp(before.input, offsets, op.sizes.get_values(), strides))


class SimplifyPad(RewritePattern):
    """By nothing."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PadOp, rewriter: PatternRewriter) -> None:
        if same(op.input, op.result):
            replace(rewriter, op, op.input)


class SimplifyConcat(RewritePattern):
    """Of one tensor."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ConcatOp, rewriter: PatternRewriter) -> None:
        if len(op.inputs) == 1:
            replace(rewriter, op, op.inputs[0])


class SimplifyReduce(RewritePattern):
    """Over axes of size 1, which is a reshape."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ReduceOp, rewriter: PatternRewriter) -> None:
        of, to = tensor_of(op.input), tensor_of(op.result)
        if all(of.get_shape()[i] == 1 for i in op.axes.get_values()) and of.element_type == to.element_type:
            replace(rewriter, op, ReshapeOp(op.input, to.get_shape()))


class AbsorbTranspose(RewritePattern):
    """A product of a matrix that is transposed takes it as it is."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MatmulOp, rewriter: PatternRewriter) -> None:
        lhs, rhs = swapped(op.lhs), swapped(op.rhs)
        if lhs is None and rhs is None:
            return
        flags = [(flag is None) == (v is not None) for flag, v in ((op.transpose_lhs, lhs), (op.transpose_rhs, rhs))]
        replace(rewriter, op, MatmulOp(lhs or op.lhs, rhs or op.rhs, *flags))


def swapped(value: SSAValue) -> SSAValue | None:
    """The tensor of which a value is the transpose in the last two dimensions, if it is one."""
    if not isinstance(op := value.owner, TransposeOp):
        return None
    rank = len(shape_of(value))
    swap = [*range(rank - 2), rank - 1, rank - 2] if rank > 1 else []
    return op.input if list(op.permutation.get_values()) == swap else None


PATTERNS: tuple[RewritePattern, ...] = (
    FoldConstants(),
    FoldScalars(),
    InlineSplats(),
    DropOperands(),
    IdentityMap(),
    SimplifyReshape(),
    SimplifyTranspose(),
    SimplifySlice(),
    SimplifyPad(),
    SimplifyConcat(),
    SimplifyReduce(),
    AbsorbTranspose(),
    *WINDOWS,
)
"""All patterns; each looks at the ops that it is for."""
