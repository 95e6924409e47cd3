"""What the users of a computed tensor want of the buffer in which it will lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import i8
from xdsl.ir import Block, SSAValue

from ...dialects import tsp_tensor
from ...dialects.target import ChipSpec
from ...dialects.tsp_tensor.types import shape_of
from .fusing import element_of_value
from .views import Pads


@dataclass(frozen=True)
class Demand:
    """Padding around the leading dimensions, and copies for those who read several places at once."""

    pads: Pads = ()
    copies: int = 1
    meets_weights: bool = False
    """Whether its rows are multiplied by weights."""

    def joined(self, other: Demand) -> Demand:
        longest, shortest = sorted((self.pads, other.pads), key=len, reverse=True)
        shortest = (*shortest, *((0, 0),) * (len(longest) - len(shortest)))
        pads = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(longest, shortest, strict=True))
        return Demand(pads, max(self.copies, other.copies), self.meets_weights or other.meets_weights)


MOST_COPIES = 4
"""Copies for the taps of a window; more would take too many slices."""


def _sharing(chip: ChipSpec) -> int:
    """The planes that may read activations at the same time: for i8 those of a hemisphere, which share weights, and for
    f16 the pair of each hemisphere."""
    return chip.planes // 2


def _beside(op: tsp_tensor.MapOp, value: SSAValue, chip: ChipSpec) -> int:
    """The planes whose sums meet an operand of a map at the same time, and those that take it as activations."""
    columns = shape_of(op.result)[-1:]
    makers = [
        v.owner
        for v in op.inputs
        if isinstance(v.owner, tsp_tensor.MatmulOp | tsp_tensor.ConvOp)
        and (shape_of(v)[-1:] == columns or columns <= (chip.lanes,))  # a single column is spread over one tile
    ]
    if value.owner in makers:
        return 1  # the sums themselves
    if any(m.operands[0] is value for m in makers):
        shared = columns > (chip.lanes,) or element_of_value(value) == i8
        return 2 * (_sharing(chip) if shared else 1)
    return _sharing(chip) if makers else 1


def demands(body: Block, chip: ChipSpec) -> dict[SSAValue, Demand]:
    """What is wanted of each value of a function's body."""
    found: dict[SSAValue, Demand] = defaultdict(Demand)
    for op in reversed(list(body.ops)):
        match op:
            case tsp_tensor.ReshapeOp() | tsp_tensor.TransposeOp() | tsp_tensor.SliceOp():
                found[op.input] = found[op.input].joined(Demand(copies=found[op.result].copies))
            case tsp_tensor.MatmulOp():
                # of a stack of f16 each matrix goes to one pair of planes
                apart = element_of_value(op.lhs) != i8 and prod(shape_of(op.rhs)[:-2]) > 1
                found[op.lhs] = found[op.lhs].joined(Demand((), 1 if apart else _sharing(chip), True))
            case tsp_tensor.ConvOp():
                top, left, bottom, right = op.window.pads
                pads = ((0, 0), (top, bottom), (left, right)) if any(op.window.pads) else ()
                found[op.input] = found[op.input].joined(Demand(pads, _sharing(chip), True))
            case tsp_tensor.PoolOp() if op.kind.data == "sum":
                top, left, bottom, right = op.window.pads
                pads = ((0, 0), (top, bottom), (left, right)) if any(op.window.pads) else ()
                found[op.input] = found[op.input].joined(Demand(pads, _sharing(chip)))
            case tsp_tensor.ReduceOp():
                found[op.input] = found[op.input].joined(Demand(copies=_sharing(chip)))
            case tsp_tensor.PoolOp():
                found[op.input] = found[op.input].joined(Demand(copies=min(op.window.kernel[1], MOST_COPIES)))
            case tsp_tensor.MapOp():
                for value in op.inputs:
                    found[value] = found[value].joined(Demand(copies=_beside(op, value, chip)))
            case _:
                pass
    return dict(found)
