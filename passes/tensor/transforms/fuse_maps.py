"""fuse-maps: a map with a single user, another map, becomes part of that, so that its result never goes to memory.

The elements of both correspond one to one: what broadcasts is computed once, and stays where it is. Both together are
a chain for which the chip has ALUs and streams, and that takes no longer than one after the other: a long chain
runs alone where two short ones would each work on several blocks of rows side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ....dialects.elements import element_bytes
from ....dialects.machine.layout import tiles
from ....dialects.machine.target import ChipSpec
from ....dialects.target_attr import target_of
from ....dialects.tsp_stream.alu_ops import alu_instruction
from ....dialects.tsp_tensor import MapOp, YieldOp
from ....dialects.tsp_tensor.types import shape_of
from ...policy import Policy
from ...stream.analysis.alu_levels import alus_of
from ..analysis.alu_regions import UnsupportedRegion, alu_region
from ..analysis.product_fusion import element_of_value


@dataclass(frozen=True)
class FuseMapsPass(ModulePass):
    """Inlines maps into the one map that uses them."""

    name = "fuse-maps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(FuseMaps(target_of(op).chip)).rewrite_module(op)


@dataclass
class FuseMaps(RewritePattern):
    """A map takes in the first of its operands that can be."""

    chip: ChipSpec

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: MapOp, rewriter: PatternRewriter) -> None:
        if alus_of_map(op, self.chip.alus) > self.chip.alus:
            return  # it has to be split as it is
        for value in op.inputs:
            producer = value.owner
            if isinstance(producer, MapOp) and self._matches(producer, op):
                both = fused(producer, op)
                if self._pays(producer, op, both):
                    rewriter.replace(op, both)
                    rewriter.erase(producer)
                    return
                both.erase()

    def _matches(self, producer: MapOp, consumer: MapOp) -> bool:
        return (
            all(use.operation is consumer for use in producer.result.uses)
            and producer.attributes == consumer.attributes
            and prod(shape_of(producer.result)) == prod(shape_of(consumer.result))
        )

    def _pays(self, producer: MapOp, consumer: MapOp, both: MapOp) -> bool:
        if 2 * operand_bytes(both) > self.chip.streams or alus_of_map(both, self.chip.alus) > self.chip.alus:
            return False
        return self._cycles(both) <= self._cycles(producer) + self._cycles(consumer)

    def _cycles(self, op: MapOp) -> int:
        """The cycles that a map takes: as many chains as there are ALUs for work side by side."""
        words = words_of(shape_of(op.result), self.chip)
        return Policy.of(self.chip).cycles_of_map(words, alus_of_map(op, self.chip.alus))


def words_of(shape: Sequence[int], chip: ChipSpec) -> int:
    """The vectors of a tensor in rows."""
    return prod(shape[:-1]) * tiles(shape[-1] if shape else 1, chip.lanes)


def operand_bytes(op: MapOp) -> int:
    """The streams that the operands of a map take beside each other."""
    return sum(element_bytes(element_of_value(v)) for v in dict.fromkeys(op.inputs))


def alus_of_map(op: MapOp, most: int = 1 << 30) -> int:
    """The ALUs that a map takes, more than any chip has where they do not execute it. Delays are not counted where the
    operations alone are more than `most`."""
    try:
        region = alu_region(op, range(len(op.inputs)))
    except UnsupportedRegion:
        return 1 << 30
    operations = sum(alu_instruction(inner) is not None for inner in region.block.ops)
    return operations if operations > most else alus_of(region)


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
