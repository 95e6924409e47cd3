"""split-maps: a map that takes more ALUs or streams than the chip has becomes several, with tensors between them.

Every scalar of a map's region could be such a tensor. Which are is decided by cones.py; each is the result of a map
that computes it of operands of the whole and of other such tensors, and has no more elements than these give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ....dialects.elements import element_bytes, element_of
from ....dialects.machine.target import ChipSpec
from ....dialects.target_attr import target_of
from ....dialects.tsp_stream import YieldOp as AluYieldOp
from ....dialects.tsp_tensor import MapOp, YieldOp
from ....dialects.tsp_tensor.types import shape_of
from ...policy import Policy
from ...stream.analysis.alu_levels import chain_of
from ..analysis.alu_regions import UnsupportedRegion, alu_values
from ..analysis.product_fusion import element_of_value
from .cones import Cover, Limits, Node
from .fuse_maps import alus_of_map, operand_bytes, words_of


@dataclass(frozen=True)
class SplitMapsPass(ModulePass):
    """Cuts maps that are too long for the ALUs of a chip, or too wide for its streams; no bit of what is computed
    changes."""

    name = "split-maps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chip = target_of(op).chip
        left = [inner for inner in op.walk() if isinstance(inner, MapOp)]
        while left:
            map_ = left.pop()
            if not fits(map_, chip):
                # what ALUs do in one operation, a cut may leave as several: then a map is cut once more
                left += split(map_, chip)


def fits(op: MapOp, chip: ChipSpec) -> bool:
    """Whether a chip has the ALUs for a map, and both directions together the streams."""
    wide = operand_bytes(op) + element_bytes(element_of_value(op.result))
    return wide <= 2 * chip.streams and alus_of_map(op, chip.alus) <= chip.alus


def split(op: MapOp, chip: ChipSpec) -> Sequence[MapOp]:
    """Puts several maps in the place of one, and gives them; none where there is no way to do so."""
    try:
        graph = _Graph.of(op, chip)
    except UnsupportedRegion:
        return []
    limits = Limits(chip.alus, chip.streams // 2, Policy.of(chip).map_cycles)
    cones = Cover(graph.nodes, [element_bytes(a.type) for a in op.body.block.args], limits).best()
    if cones is None or len(cones) < 2:
        return []
    pieces = _Pieces(op)
    made: dict[int, MapOp] = {}
    for number, cone in cones.items():
        whole = number == len(graph.nodes) - 1
        given = {scalar: made[leaf].result for leaf in cone.leaves if leaf >= 0 for scalar in graph.scalars[leaf]}
        made[number] = pieces.map(op.yielded if whole else graph.scalars[number][0], given, whole)
    Rewriter.replace_op(op, list(made.values()))
    return list(made.values())


@dataclass
class _Graph:
    """The ALU operations of a map, and the scalars that each gives, if a tensor can hold them."""

    nodes: list[Node] = field(default_factory=list[Node])
    scalars: list[list[SSAValue]] = field(default_factory=list[list[SSAValue]])

    @staticmethod
    def of(op: MapOp, chip: ChipSpec) -> _Graph:
        """That of a map. Raises UnsupportedRegion."""
        region, values = alu_values(op, range(len(op.inputs)))
        inside = [inner for inner in region.block.ops if not isinstance(inner, arith.ConstantOp | AluYieldOp)]
        known: dict[SSAValue, list[SSAValue]] = {}
        for scalar, value in values.items():
            if scalar.type == value.type and element_of(scalar.type) is not None:
                known.setdefault(value, []).append(scalar)
        graph = _Graph()
        shapes: list[tuple[int, ...] | None] = []
        for inner, operands in zip(inside, chain_of(inside), strict=True):
            before = [shapes[v] if v >= 0 else shape_of(op.inputs[~v]) for v in operands]
            shown = [s for s in before if s is not None]
            shape = np.broadcast_shapes(*shown) if shown else None
            scalars = known.get(inner.results[0], [])
            bytes_ = element_bytes(scalars[0].type) if scalars and shape is not None else None
            elements, rows = prod(shape or ()), prod((shape or ())[:-1])
            graph.nodes.append(
                Node(operands, bytes_, words_of(shape or (), chip), Policy.of(chip).side_by_side(rows), elements)
            )
            graph.scalars.append(scalars)
            shapes.append(shape)
        return graph


class _Pieces:
    """Makes maps of parts of another's region."""

    def __init__(self, op: MapOp):
        self.op = op
        self.order = {inner: i for i, inner in enumerate(op.body.block.ops)}
        self.inputs: dict[SSAValue, SSAValue] = dict(zip(op.body.block.args, op.inputs, strict=True))

    def map(self, wanted: SSAValue, given: Mapping[SSAValue, SSAValue], whole: bool) -> MapOp:
        """The map of a scalar, with tensors for some of those before it; `whole` is the one that gives the result."""
        inside: set[Operation] = set()
        taken: dict[SSAValue, SSAValue] = {}
        stack = [wanted]
        while stack:
            value = stack.pop()
            if value in given or value in self.inputs:
                taken[value] = given[value] if value in given else self.inputs[value]
            elif value.owner not in inside and isinstance(value.owner, Operation):
                inside.add(value.owner)
                stack += reversed(value.owner.operands)
        tensors = list(dict.fromkeys(taken.values()))
        block = Block(arg_types=[element_of_value(tensor) for tensor in tensors])
        values: dict[SSAValue, SSAValue] = {v: block.args[tensors.index(tensor)] for v, tensor in taken.items()}
        for inner in sorted(inside, key=self.order.__getitem__):
            copy = inner.clone(values)
            copy.location = inner.location
            block.add_op(copy)
            values.update(zip(inner.results, copy.results, strict=True))
        block.add_op(YieldOp(values[wanted]))
        shape = shape_of(self.op.result) if whole else np.broadcast_shapes(*map(shape_of, tensors))
        made = MapOp(tensors, Region(block), TensorType(wanted.type, shape))
        made.attributes.update(self.op.attributes)
        made.location = self.op.location
        return made
