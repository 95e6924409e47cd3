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

TRUTH_OPS: tuple[type[Operation], ...] = (
    arith.ConstantOp,
    arith.CmpiOp,
    arith.CmpfOp,
    arith.SelectOp,
    arith.AndIOp,
    arith.OrIOp,
    arith.XOrIOp,
)
"""Those that know i1, the truths of comparisons, which are 0 or 1 of i8 to an ALU and never leave a region."""

COMPARISONS: dict[tuple[type[Operation], int], tuple[str, str]] = {
    (arith.CmpiOp, 0): ("eq", "eq"),
    (arith.CmpiOp, 1): ("ne", "ne"),
    (arith.CmpiOp, 2): ("slt", "lt"),
    (arith.CmpiOp, 3): ("sle", "le"),
    (arith.CmpiOp, 4): ("sgt", "gt"),
    (arith.CmpiOp, 5): ("sge", "ge"),
    (arith.CmpfOp, 1): ("oeq", "eq"),
    (arith.CmpfOp, 2): ("ogt", "gt"),
    (arith.CmpfOp, 3): ("oge", "ge"),
    (arith.CmpfOp, 4): ("olt", "lt"),
    (arith.CmpfOp, 5): ("ole", "le"),
    (arith.CmpfOp, 13): ("une", "ne"),
}
"""The predicates that an ALU has, by op and number: upstream's name and the ALU operation. Those of floats are no where
an operand is NaN, and `une` is yes."""


def comparison(op: arith.CmpiOp | arith.CmpfOp) -> str:
    """The ALU operation of a comparison. Raises VerifyException for a predicate that ALUs do not have."""
    found = COMPARISONS.get((type(op), op.predicate.value.data))
    if found is None:
        known = ", ".join(name for (kind, _), (name, _) in COMPARISONS.items() if kind is type(op))
        raise VerifyException(f"`{op.name}`: ALUs have no such predicate; use one of {known}, or the opposite of one")
    return found[1]


def check_region(region: Region, extra: tuple[type[Operation], ...]) -> None:
    """Raises VerifyException for an op that is not in REGION_OPS or `extra`, or a type that an ALU does not have."""
    for op in region.block.ops:
        if not isinstance(op, REGION_OPS + extra):
            known = ", ".join(o.name for o in REGION_OPS)
            raise VerifyException(f"`{op.name}` is no scalar op of an ALU; there are {known}")
        if isinstance(op, arith.CmpiOp | arith.CmpfOp):
            comparison(op)
        for value in op.results:
            if element_of(value.type) is None and not (value.type == i1 and isinstance(op, TRUTH_OPS)):
                raise VerifyException(f"`{op.name}` gives {value.type}; ALUs know i8, i16, i32, f16, f32")
        if not isinstance(op, TRUTH_OPS) and any(value.type == i1 for value in op.operands):
            raise VerifyException(f"`{op.name}` takes an i1; make a number of it with arith.select")
        if isinstance(op, arith.CmpiOp) and op.lhs.type == i1:
            raise VerifyException(f"`{op.name}` compares truths; use arith.xori")
