"""fuse-maps: a map that one other map alone uses becomes part of it, so that its result never goes to memory.

The sum of both is no longer than the machine has ALUs for a chain, and the elements of both correspond one to one: what
broadcasts is computed once, and stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ...dialects.target_attr import target_of
from ...dialects.tsp_tensor import MapOp, YieldOp
from ...dialects.tsp_tensor.types import shape_of


@dataclass(frozen=True)
class FuseMapsPass(ModulePass):
    """Inlines maps into the one map that uses them."""

    name = "fuse-maps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(FuseMaps(target_of(op).chip.alus)).rewrite_module(op)


@dataclass
class FuseMaps(RewritePattern):
    """A map takes in the first of its operands that can be."""

    alus: int
    """Scalar ops that the region of a map may have, constants not counted."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        for value in op.inputs:
            producer = value.owner
            if isinstance(producer, MapOp) and self._fits(producer, op):
                rewriter.replace(op, fused(producer, op))
                rewriter.erase(producer)
                return

    def _fits(self, producer: MapOp, consumer: MapOp) -> bool:
        return (
            all(use.operation is consumer for use in producer.result.uses)
            and producer.attributes == consumer.attributes
            and prod(shape_of(producer.result)) == prod(shape_of(consumer.result))
            and work(producer) + work(consumer) <= self.alus
        )


def work(op: MapOp) -> int:
    """Scalar ops of a map that take an ALU."""
    return sum(not isinstance(inner, arith.ConstantOp | YieldOp) for inner in op.body.block.ops)


def fused(producer: MapOp, consumer: MapOp) -> MapOp:
    """A map that computes both; an operand that both have is one. Scalar ops keep their places, the map has that of the
    consumer."""
    inputs = list(dict.fromkeys([*producer.inputs, *(v for v in consumer.inputs if v is not producer.result)]))
    types = {v: a.type for op in (producer, consumer) for v, a in zip(op.inputs, op.body.block.args, strict=True)}
    block = Block(arg_types=[types[v] for v in inputs])
    operands: dict[SSAValue, SSAValue] = dict(zip(inputs, block.args, strict=True))
    operands[producer.result] = _inlined(producer, operands, block)
    block.add_op(YieldOp(_inlined(consumer, operands, block)))
    result = MapOp(inputs, Region(block), consumer.result.type)
    result.attributes.update(consumer.attributes)
    result.location = consumer.location
    return result


def _inlined(op: MapOp, operands: dict[SSAValue, SSAValue], block: Block) -> SSAValue:
    """Appends the scalar ops of a map, whose operands have these scalars, and gives the one that it yields."""
    values: dict[SSAValue, SSAValue] = {a: operands[v] for v, a in zip(op.inputs, op.body.block.args, strict=True)}
    for inner in op.body.block.ops:
        if isinstance(inner, YieldOp):
            return values[inner.value]
        copy = inner.clone(values)
        copy.location = inner.location
        block.add_op(copy)
        values.update(zip(inner.results, copy.results, strict=True))
    raise AssertionError("a verified region ends with a yield")
