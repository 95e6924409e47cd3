"""split-maps: a map that takes more ALUs than the chip has becomes two, and a tensor between them.

Every scalar of a map's region could be that tensor: one map then computes it, with all that it needs, and the other
takes it as an operand and computes the rest. Of the scalars with which both fit that is taken with which the two have
the fewest operations to do, in all elements together; where none does, that which leaves the fewest ALUs for the rest,
and the rest is split once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ...dialects.elements import element_of
from ...dialects.target_attr import target_of
from ...dialects.tsp_tensor import MapOp, YieldOp
from ...dialects.tsp_tensor.types import shape_of
from .fuse_maps import alus_of_map


@dataclass(frozen=True)
class SplitMapsPass(ModulePass):
    """Cuts maps that are too long for the ALUs of a chip; no bit of what is computed changes."""

    name = "split-maps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(SplitMaps(target_of(op).chip.alus)).rewrite_module(op)


@dataclass
class SplitMaps(RewritePattern):
    """A map that does not fit is replaced by two of which the first does."""

    alus: int

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        whole = alus_of_map(op)
        if whole <= self.alus:
            return
        best: tuple[tuple[bool, int], list[MapOp]] | None = None
        for scalar in _scalars(op):
            pair = _cut(op, scalar)
            first, rest = map(alus_of_map, pair)
            work = sum(alus * prod(shape_of(m.result)) for alus, m in zip((first, rest), pair, strict=True))
            cost = rest > self.alus, rest if rest > self.alus else work
            if pair[0].inputs and first <= self.alus and rest < whole and (best is None or cost < best[0]):
                if best is not None:
                    _drop(best[1])
                best = cost, pair
            else:
                _drop(pair)
        if best is not None:
            rewriter.replace(op, best[1])


def _scalars(op: MapOp) -> Iterator[SSAValue]:
    """The scalars of a region that a tensor can hold, but for constants and what it yields."""
    for inner in op.body.block.ops:
        if not isinstance(inner, arith.ConstantOp | YieldOp):
            yield from (v for v in inner.results if element_of(v.type) is not None and v is not op.yielded)


def _cut(op: MapOp, scalar: SSAValue) -> list[MapOp]:
    """The map of a scalar, and that of the result, with the first as its last operand."""
    first = _map(op, scalar, {})
    return [first, _map(op, op.yielded, {scalar: first.result})]


def _map(op: MapOp, wanted: SSAValue, given: dict[SSAValue, SSAValue]) -> MapOp:
    """The map of a scalar of another map's region, with tensors for some scalars. It computes only what it needs."""
    needed: set[SSAValue] = set()
    stack = [wanted]
    while stack:
        value = stack.pop()
        if value not in needed:
            needed.add(value)
            if isinstance(value.owner, Operation) and value not in given:
                stack += value.owner.operands
    operands = {a: v for a, v in zip(op.body.block.args, op.inputs, strict=True) if a in needed}
    operands |= {scalar: tensor for scalar, tensor in given.items() if scalar in needed}
    block = Block(arg_types=[scalar.type for scalar in operands])
    values: dict[SSAValue, SSAValue] = dict(zip(operands, block.args, strict=True))
    for inner in op.body.block.ops:
        if any(result in needed and result not in given for result in inner.results):
            copy = inner.clone(values)
            copy.location = inner.location
            block.add_op(copy)
            values.update(zip(inner.results, copy.results, strict=True))
    block.add_op(YieldOp(values[wanted]))
    shape = shape_of(op.result) if given else np.broadcast_shapes(*map(shape_of, operands.values()))
    made = MapOp(list(operands.values()), Region(block), TensorType(wanted.type, shape))
    made.attributes.update(op.attributes)
    made.location = op.location
    return made


def _drop(pair: list[MapOp]) -> None:
    """Erases maps that were made in vain."""
    for op in reversed(pair):
        op.erase()
