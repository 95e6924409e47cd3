"""Scalar arithmetic as Python writes it, which becomes the region of a map.

Floats are f32, integers i32, truth values i1. A Python number beside a scalar is a constant of its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType, f16, f32, i1, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue

from .elements import Element

Number: TypeAlias = "Scalar | float | int | bool"
Function: TypeAlias = "Callable[[Scalar], Scalar]"
Pair: TypeAlias = "Callable[[Scalar, Scalar], Scalar]"
"""Functions of one scalar, and of two."""


class Scalar:
    """A scalar of a region that is being written."""

    def __init__(self, block: Block, ssa: SSAValue):
        self.block, self.ssa = block, ssa

    @property
    def floating(self) -> bool:
        return self.ssa.type == f32

    @property
    def truth(self) -> bool:
        return self.ssa.type == i1

    def to(self, op: Operation) -> Scalar:
        """The result of an op, which is appended."""
        self.block.add_op(op)
        return Scalar(self.block, op.results[0])

    def like(self, value: Number) -> Scalar:
        """A number as a scalar of this one's type."""
        return value if isinstance(value, Scalar) else constant(self.block, value, self.ssa.type)

    def _pair(self, other: Number, floating: type[Operation], integer: type[Operation], turned: bool = False) -> Scalar:
        a, b = self, self.like(other)
        if turned:
            a, b = b, a
        return self.to((floating if self.floating else integer)(a.ssa, b.ssa))  # pyright: ignore[reportCallIssue]

    def __add__(self, other: Number) -> Scalar:
        return self._pair(other, arith.AddfOp, arith.AddiOp)

    def __radd__(self, other: Number) -> Scalar:
        return self._pair(other, arith.AddfOp, arith.AddiOp, True)

    def __sub__(self, other: Number) -> Scalar:
        return self._pair(other, arith.SubfOp, arith.SubiOp)

    def __rsub__(self, other: Number) -> Scalar:
        return self._pair(other, arith.SubfOp, arith.SubiOp, True)

    def __mul__(self, other: Number) -> Scalar:
        return self._pair(other, arith.MulfOp, arith.MuliOp)

    def __rmul__(self, other: Number) -> Scalar:
        return self._pair(other, arith.MulfOp, arith.MuliOp, True)

    def __neg__(self) -> Scalar:
        return self * -1

    def __and__(self, other: Number) -> Scalar:
        return self._pair(other, arith.AndIOp, arith.AndIOp)

    def __or__(self, other: Number) -> Scalar:
        return self._pair(other, arith.OrIOp, arith.OrIOp)

    def __xor__(self, other: Number) -> Scalar:
        return self._pair(other, arith.XOrIOp, arith.XOrIOp)

    def __invert__(self) -> Scalar:
        return self ^ (True if self.truth else -1)

    def left(self, bits: Number) -> Scalar:
        """Shifted left; all bits are zero from 32 on."""
        return self.to(arith.ShLIOp(self.ssa, self.like(bits).ssa))

    def right(self, bits: Number, unsigned: bool = False) -> Scalar:
        """Shifted right, zeros or the sign coming in."""
        return self.to((arith.ShRUIOp if unsigned else arith.ShRSIOp)(self.ssa, self.like(bits).ssa))

    def max(self, other: Number) -> Scalar:
        return self._pair(other, arith.MaximumfOp, arith.MaxSIOp)

    def min(self, other: Number) -> Scalar:
        return self._pair(other, arith.MinimumfOp, arith.MinSIOp)

    def is_(self, relation: str, other: Number, unsigned: bool = False) -> Scalar:
        """A comparison: eq, ne, lt, le, gt, ge. NaN is unequal to all, and neither less nor greater."""
        b = self.like(other).ssa
        if self.floating:
            return self.to(arith.CmpfOp(self.ssa, b, "une" if relation == "ne" else f"o{relation}"))
        ordered = relation not in ("eq", "ne")
        sign = ("u" if unsigned else "s") if ordered else ""
        return self.to(arith.CmpiOp(self.ssa, b, sign + relation))

    def __lt__(self, other: Number) -> Scalar:
        return self.is_("lt", other)

    def __le__(self, other: Number) -> Scalar:
        return self.is_("le", other)

    def __gt__(self, other: Number) -> Scalar:
        return self.is_("gt", other)

    def __ge__(self, other: Number) -> Scalar:
        return self.is_("ge", other)

    def equals(self, other: Number) -> Scalar:
        return self.is_("eq", other)

    def differs(self, other: Number) -> Scalar:
        return self.is_("ne", other)

    # -- functions of floats that ALUs have --------------------------------------------------------------------

    def exp(self) -> Scalar:
        return self.to(math.ExpOp(self.ssa))

    def log(self) -> Scalar:
        return self.to(math.LogOp(self.ssa))

    def tanh(self) -> Scalar:
        return self.to(math.TanhOp(self.ssa))

    def rsqrt(self) -> Scalar:
        return self.to(math.RsqrtOp(self.ssa))

    def round(self) -> Scalar:
        """To the nearest integral value, ties to even."""
        return self.to(math.RoundEvenOp(self.ssa))

    def trunc(self) -> Scalar:
        return self.to(math.TruncOp(self.ssa))

    # -- conversions -------------------------------------------------------------------------------------------

    def f32(self) -> Scalar:
        """The nearest f32; of a truth value 1 or 0."""
        if self.floating:
            return self
        return self.i32().to(arith.SIToFPOp(self.i32().ssa, f32))

    def i32(self) -> Scalar:
        """Toward zero, held within the type; NaN is 0. Of a truth value 1 or 0."""
        if self.truth:
            return self.to(arith.ExtUIOp(self.ssa, i32))
        return self.to(arith.FPToSIOp(self.ssa, i32)) if self.floating else self

    def bool(self) -> Scalar:
        """Whether it is not zero."""
        return self if self.truth else self.differs(0)

    def f16(self) -> Scalar:
        """Rounded to f16 and held as f32 again."""
        narrow = self.to(arith.TruncFOp(self.ssa, f16))
        return narrow.to(arith.ExtFOp(narrow.ssa, f32))


def constant(block: Block, value: float | int | bool, type_: Attribute) -> Scalar:
    """A constant of a region."""
    if type_ == f32:
        attr = FloatAttr(float(value), f32)
    else:
        attr = IntegerAttr(int(value), cast(IntegerType, type_), truncate_bits=True)
    op = arith.ConstantOp(attr)
    block.add_op(op)
    return Scalar(block, op.result)


def where(condition: Scalar, a: Number, b: Number) -> Scalar:
    """`a` where the condition holds, else `b`; one of them is a scalar."""
    typed = a if isinstance(a, Scalar) else b
    assert isinstance(typed, Scalar)
    return typed.to(arith.SelectOp(condition.ssa, typed.like(a).ssa, typed.like(b).ssa))


def loaded(block: Block, argument: SSAValue, held: Element) -> Scalar:
    """The number that a carrier holds."""
    carrier = Scalar(block, argument)
    if held.kind == "f":
        return carrier if carrier.floating else carrier.to(arith.ExtFOp(argument, f32))
    wide = carrier if argument.type == i32 else carrier.to(arith.ExtSIOp(argument, i32))
    if held.kind == "b":
        return wide.bool()
    return wide + held.offset if held.offset else wide


def stored(value: Scalar, held: Element) -> Scalar:
    """The carrier of a number: floats are rounded, integers cut to their bits. A float becomes an integer toward zero,
    held within i32 first."""
    if held.kind == "f":
        value = value.f32()
        return value if held.carrier == f32 else value.to(arith.TruncFOp(value.ssa, f16))
    value = (value.bool().i32() if held.kind == "b" else value.i32()) - held.offset if held.offset else value
    value = value.bool().i32() if held.kind == "b" else value.i32()
    return value if held.carrier == i32 else value.to(arith.TruncIOp(value.ssa, cast(IntegerType, held.carrier)))
