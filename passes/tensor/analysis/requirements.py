"""What the users of a computed tensor want of the buffer in which it will lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from math import prod

from xdsl.dialects.builtin import i8
from xdsl.ir import Block, SSAValue

from ....dialects import tsp_tensor
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import tiles
from ....dialects.tsp_tensor.types import shape_of
from ...policy import Policy
from .product_fusion import element_of_value, in_order, is_product
from .views import Pads
from .window_steps import Line, Planner


@dataclass(frozen=True)
class Requirements:
    """Padding around the leading dimensions, and copies for those who read several places at once."""

    pads: Pads = ()
    copies: int = 1
    meets_weights: bool = False
    """Whether its rows are multiplied by weights."""

    def joined(self, other: Requirements) -> Requirements:
        longest, shortest = sorted((self.pads, other.pads), key=len, reverse=True)
        shortest = (*shortest, *((0, 0),) * (len(longest) - len(shortest)))
        pads = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(longest, shortest, strict=True))
        return Requirements(pads, max(self.copies, other.copies), self.meets_weights or other.meets_weights)


def _sharing_passes(value: SSAValue, policy: Policy) -> int:
    """The planes that may read activations at the same time: those of a hemisphere, which share weights, for f16 the
    pair of each hemisphere; all, if rows are so few that planes share the passes, and too many for the planes of one
    hemisphere to have taken them before those of the other."""
    chip = policy.chip
    few = policy.between < prod(shape_of(value)[:-1]) <= tiles(chip.lanes, chip.weight_streams)
    return chip.planes if few and element_of_value(value) == i8 else policy.sharing


def _beside(op: tsp_tensor.MapOp, value: SSAValue, policy: Policy) -> int:
    """The planes whose sums meet an operand of a map at the same time, and those that take it as activations; with few
    rows they come after each other."""
    chip = policy.chip
    if prod(shape_of(value)[:-1]) < policy.few_rows:
        return 1
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
        return 2 * (policy.sharing if shared else 1)
    return policy.sharing if makers else 1


def _shown_again(op: tsp_tensor.MapOp, value: SSAValue, policy: Policy) -> int:
    """The blocks of a map that read words of an operand again and again: of one with fewer rows than the result, or
    with one column."""
    whole, mine = (shape_of(v) for v in (op.result, value))
    again = prod(mine[:-1]) < prod(whole[:-1]) or mine[-1:] == (1,) != whole[-1:]
    return policy.side_by_side(prod(whole[:-1])) if again else 1


def pool_steps(op: tsp_tensor.PoolOp, policy: Policy) -> list[tuple[int, Line]]:
    """The dimensions along which a pool goes, with its steps there: first that which leaves the fewest numbers."""
    shape = list(shape_of(op.input))
    rows, columns = op.window.along((shape[1], shape[2]))
    moving = [(d, slide) for d, slide in ((2, columns), (1, rows)) if not slide.idle] or [(2, columns)]
    found: list[tuple[int, Line]] = []
    for d, slide in sorted(moving, key=lambda one: one[1].places / one[1].size):
        shape[d] = 1
        words = prod(shape[:-1])

        def cycles(count: int, words: int = words) -> int:
            return policy.cycles_of_step(count * words)

        joined = policy.joined_at_once(element_bytes(element_of_value(op.result)))
        found.append((d, Planner(slide, joined, op.kind.data == "max", cycles).plan()))
        shape[d] = slide.places
    return found


def requirements(body: Block, policy: Policy) -> dict[SSAValue, Requirements]:
    """What is wanted of each value of a function's body."""
    found: dict[SSAValue, Requirements] = defaultdict(Requirements)
    for op in reversed(list(body.ops)):
        match op:
            case tsp_tensor.ReshapeOp() | tsp_tensor.TransposeOp() | tsp_tensor.SliceOp():
                found[op.input] = found[op.input].joined(Requirements(copies=found[op.result].copies))
            case tsp_tensor.MatmulOp():
                # few rows wait until computed weights are distributed, the slices of which share the copies
                few = shape_of(op.result)[-2] < policy.few_rows
                found[op.rhs] = found[op.rhs].joined(Requirements(copies=policy.window_copies if few else 1))
                # of a stack of f16 each matrix goes to one pair of planes
                one_pair = element_of_value(op.lhs) != i8 and prod(shape_of(op.rhs)[:-2]) > 1
                found[op.lhs] = found[op.lhs].joined(
                    Requirements((), 1 if one_pair else _sharing_passes(op.lhs, policy), True)
                )
            case tsp_tensor.ConvOp():
                top, left, bottom, right = op.window.pads
                pads = ((0, 0), (top, bottom), (left, right)) if any(op.window.pads) else ()
                found[op.input] = found[op.input].joined(Requirements(pads, policy.sharing, True))
            case tsp_tensor.PoolOp() if is_product(op) or in_order(op):
                top, left, bottom, right = op.window.pads
                pads = ((0, 0), (top, bottom), (left, right)) if any(op.window.pads) else ()
                found[op.input] = found[op.input].joined(Requirements(pads, policy.sharing))
            case tsp_tensor.ReduceOp():
                found[op.input] = found[op.input].joined(Requirements(copies=policy.sharing))
            case tsp_tensor.PoolOp():
                (_, first), *_ = pool_steps(op, policy)
                found[op.input] = found[op.input].joined(Requirements(copies=first.copies))
            case tsp_tensor.MapOp():
                for value in op.inputs:
                    copies = max(_beside(op, value, policy), _shown_again(op, value, policy))
                    found[value] = found[value].joined(Requirements(copies=copies))
            case _:
                pass
    return {v: replace(d, copies=min(d.copies, policy.copies)) for v, d in found.items()}
