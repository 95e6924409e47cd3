"""What the users of a computed tensor want of the buffer in which it will lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from xdsl.ir import Block, SSAValue

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


def demands(body: Block) -> dict[SSAValue, Demand]:
    """What is wanted of each value of a function's body."""
    found: dict[SSAValue, Demand] = defaultdict(Demand)
    return dict(found)
