"""The scalar ops that map and ALU regions hold."""

from __future__ import annotations

from xdsl.dialects import arith, math
from xdsl.ir import Operation, Region
from xdsl.utils.exceptions import VerifyException

from .elements import element_of

REGION_OPS: tuple[type[Operation], ...] = (
    arith.ConstantOp,
    arith.AddiOp,
    arith.SubiOp,
    arith.MuliOp,
    arith.MaxSIOp,
    arith.MinSIOp,
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
    arith.ExtSIOp,
    arith.TruncIOp,
    arith.SIToFPOp,
    arith.FPToSIOp,
    math.RoundEvenOp,
    math.TruncOp,
)
"""The scalar ops that a map or ALU region may hold."""


def check_region(region: Region, extra: tuple[type[Operation], ...]) -> None:
    """Raises VerifyException for an op that is not in REGION_OPS or `extra`, or a type that an ALU does not have."""
    for op in region.block.ops:
        if not isinstance(op, REGION_OPS + extra):
            known = ", ".join(o.name for o in REGION_OPS)
            raise VerifyException(f"`{op.name}` is no scalar op of an ALU; there are {known}")
        for value in op.results:
            if element_of(value.type) is None:
                raise VerifyException(f"`{op.name}` gives {value.type}; ALUs know i8, i16, i32, f16, f32")
