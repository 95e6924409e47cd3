"""The scalar ops that the regions of maps hold. What an ALU region holds is in alu_ops.py."""

from __future__ import annotations

from collections.abc import Container

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
"""The scalar ops that the region of a map may hold."""

_TRUTH_RESULTS = (
    arith.ConstantOp,
    arith.CmpiOp,
    arith.CmpfOp,
    arith.AndIOp,
    arith.OrIOp,
    arith.XOrIOp,
    arith.SelectOp,
)
_TRUTH_OPERANDS = (arith.AndIOp, arith.OrIOp, arith.XOrIOp, arith.SelectOp, arith.ExtUIOp)


def check_region(region: Region, extra: tuple[type[Operation], ...]) -> None:
    """Raises VerifyException for an op that is not in REGION_OPS or `extra`, a type that it cannot have, or a value
    from elsewhere.

    i1 lives inside a region only: it comes from comparisons and constants, and goes to and, or, xor, select and extui.
    """
    here = {region.block, *region.block.ops}
    for op in region.block.ops:
        if not isinstance(op, REGION_OPS + extra):
            known = ", ".join(o.name for o in REGION_OPS)
            raise VerifyException(f"`{op.name}` is not a scalar op of an ALU; there are {known}")
        for value in op.results:
            if element_of(value.type) is None and not (value.type == i1 and isinstance(op, _TRUTH_RESULTS)):
                raise VerifyException(f"`{op.name}` gives {value.type}; ALUs know i8, i16, i32, f16, f32")
        check_inside(op, here)
        if any(v.type == i1 for v in op.operands) and not isinstance(op, _TRUTH_OPERANDS):
            raise VerifyException(f"`{op.name}` takes no i1; make a number of it with arith.extui or arith.select")


def check_inside(op: Operation, here: Container[object]) -> None:
    """Raises VerifyException for an operand that is neither of the block nor of the ops in `here`."""
    if any(value.owner not in here for value in op.operands):
        raise VerifyException(f"`{op.name}` uses a value from outside the region; make it an operand")
