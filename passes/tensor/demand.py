"""What the users of a computed tensor want of the buffer in which it will lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import cast

from xdsl.dialects.builtin import TensorType, i8
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ...dialects import tsp_tensor
from ...dialects.target import ChipSpec
from .views import Pads


@dataclass(frozen=True)
class Demand:
    """Padding around the leading dimensions, and copies for those who read several places at once."""

    pads: Pads = ()
    copies: int = 1

    def joined(self, other: Demand) -> Demand:
        longest, shortest = sorted((self.pads, other.pads), key=len, reverse=True)
        shortest = (*shortest, *((0, 0),) * (len(longest) - len(shortest)))
        pads = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(longest, shortest, strict=True))
        return Demand(pads, max(self.copies, other.copies))


MOST_COPIES = 4
"""Copies for the taps of a window, or for the slices of weights; more would take too many slices."""

ENOUGH_ROWS = 64
"""Rows below which a block is not worth a chain of ALUs of its own."""
SIDE_BY_SIDE = 4
"""Blocks into which rows are cut at most."""


FEW_ROWS = 16
"""Rows below which planes may well wait for each other's visits."""


def _sharing(activations: SSAValue, chip: ChipSpec) -> int:
    """The planes of a hemisphere that may read activations at the same time to share weights."""
    return chip.planes // 2 if cast("TensorType[Attribute]", activations.type).element_type == i8 else 1


def _beside(op: tsp_tensor.MapOp, value: SSAValue, chip: ChipSpec) -> int:
    """The planes whose sums meet an operand of a map at the same time; with few rows they come after each other."""
    if prod(cast("TensorType[Attribute]", value.type).get_shape()[:-1]) < FEW_ROWS:
        return 1
    fused = [v for v in op.inputs if isinstance(v.owner, tsp_tensor.MatmulOp | tsp_tensor.ConvOp)]
    return max((_sharing(v.owner.operands[0], chip) for v in fused if isinstance(v.owner, Operation)), default=1)


def side_by_side(rows: int) -> int:
    """The blocks of so many rows on which a map works at the same time, if there are ALUs for them."""
    return max(1, min(SIDE_BY_SIDE, rows // ENOUGH_ROWS))


def _shown_again(op: tsp_tensor.MapOp, value: SSAValue) -> int:
    """The blocks of a map that read words of an operand again and again: of one with fewer rows than the result, or
    with one column."""
    whole, mine = (cast("TensorType[Attribute]", v.type).get_shape() for v in (op.result, value))
    again = prod(mine[:-1]) < prod(whole[:-1]) or mine[-1:] == (1,) != whole[-1:]
    return side_by_side(prod(whole[:-1])) if again else 1


def demands(body: Block, chip: ChipSpec) -> dict[SSAValue, Demand]:
    """What is wanted of each value of a function's body."""
    found: dict[SSAValue, Demand] = defaultdict(Demand)
    for op in reversed(list(body.ops)):
        match op:
            case tsp_tensor.ReshapeOp() | tsp_tensor.TransposeOp() | tsp_tensor.SliceOp():
                found[op.input] = found[op.input].joined(Demand(copies=found[op.result].copies))
            case tsp_tensor.MatmulOp():
                few = op.result.type.get_shape()[-2] < FEW_ROWS
                # few rows wait until computed weights are dealt out, the slices of which share the copies
                found[op.rhs] = found[op.rhs].joined(Demand(copies=MOST_COPIES if few else 1))
                found[op.lhs] = found[op.lhs].joined(Demand(copies=_sharing(op.lhs, chip)))
            case tsp_tensor.ConvOp():
                top, left, bottom, right = op.window.pads
                pads = ((0, 0), (top, bottom), (left, right)) if any(op.window.pads) else ()
                found[op.input] = found[op.input].joined(Demand(pads, _sharing(op.input, chip)))
            case tsp_tensor.PoolOp() if op.kind.data == "sum":
                top, left, bottom, right = op.window.pads
                pads = ((0, 0), (top, bottom), (left, right)) if any(op.window.pads) else ()
                found[op.input] = found[op.input].joined(Demand(pads, _sharing(op.input, chip)))
            case tsp_tensor.ReduceOp():
                found[op.input] = found[op.input].joined(Demand(copies=_sharing(op.input, chip)))
            case tsp_tensor.PoolOp():
                found[op.input] = found[op.input].joined(Demand(copies=min(op.window.kernel[1], MOST_COPIES)))
            case tsp_tensor.MapOp():
                for value in op.inputs:
                    copies = max(_beside(op, value, chip), _shown_again(op, value))
                    found[value] = found[value].joined(Demand(copies=copies))
            case _:
                pass
    return dict(found)
