"""What the users of a computed tensor want of the buffer in which it will lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from typing import cast

from xdsl.dialects.builtin import TensorType, i8
from xdsl.ir import Attribute, Block, SSAValue

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


def demands(body: Block, chip: ChipSpec) -> dict[SSAValue, Demand]:
    """What is wanted of each value of a function's body."""
    found: dict[SSAValue, Demand] = defaultdict(Demand)
    for op in body.ops:
        if isinstance(op, tsp_tensor.MatmulOp):
            planes = chip.planes // 2 if cast("TensorType[Attribute]", op.lhs.type).element_type == i8 else 1
            found[op.lhs] = found[op.lhs].joined(Demand(copies=planes))
    return dict(found)
