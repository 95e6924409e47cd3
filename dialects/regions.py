"""The scalar ops that map and ALU regions hold."""

from __future__ import annotations

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import i1
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
    arith.AndIOp,
    arith.OrIOp,
    arith.XOrIOp,
    arith.ShLIOp,
    arith.ShRSIOp,
    arith.ShRUIOp,
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
    arith.CmpiOp,
    arith.CmpfOp,
    arith.SelectOp,
    arith.ExtSIOp,
    arith.ExtUIOp,
    arith.TruncIOp,
    arith.SIToFPOp,
    arith.FPToSIOp,
    arith.ExtFOp,
    arith.TruncFOp,
    math.RoundEvenOp,
    math.TruncOp,
    math.ExpOp,
    math.LogOp,
    math.TanhOp,
    math.RsqrtOp,
)
"""The scalar ops that a map or ALU region may hold."""

_MASK_RESULTS = (
    arith.ConstantOp,
    arith.CmpiOp,
    arith.CmpfOp,
    arith.AndIOp,
    arith.OrIOp,
    arith.XOrIOp,
    arith.SelectOp,
)
_MASK_OPERANDS = (arith.AndIOp, arith.OrIOp, arith.XOrIOp, arith.SelectOp, arith.ExtUIOp)


def check_region(region: Region, extra: tuple[type[Operation], ...]) -> None:
    """Raises VerifyException for an op that is not in REGION_OPS or `extra`, or a type that it cannot have.

    i1 lives inside a region only: it comes from comparisons and constants, and goes to and, or, xor, select and extui.
    """
    for op in region.block.ops:
        if not isinstance(op, REGION_OPS + extra):
            known = ", ".join(o.name for o in REGION_OPS)
            raise VerifyException(f"`{op.name}` is no scalar op of an ALU; there are {known}")
        for value in op.results:
            if element_of(value.type) is None and not (value.type == i1 and isinstance(op, _MASK_RESULTS)):
                raise VerifyException(f"`{op.name}` gives {value.type}; ALUs know i8, i16, i32, f16, f32")
        if any(v.type == i1 for v in op.operands) and not isinstance(op, (*_MASK_OPERANDS, *extra)):
            raise VerifyException(f"`{op.name}` takes no i1; make an integer of it with arith.extui")
