"""Handlers' inner loops over the lanes of a vector: copies, byte planes to 32-bit lanes and back, ALU operations.

32-bit lanes are kept in wide order: a block of 64 lanes is four vectors of 16, and element e of vector j is lane
16 * (e // 4) + 4 * j + e % 4. In this order both directions are interleavings within 16 bytes, which every SIMD
instruction set has, and no operation on lanes minds the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .build import I64, PTR, V8I64, V16F32, V16I32, V32I16, V64I8, Function, Module, Type, Value, number, splat
from .layout import BLOCK, Alu

WIDE = 4 * BLOCK
"""Bytes of a block of 32-bit lanes."""
QUARTER = WIDE // 4
"""Bytes of one of its four vectors."""


def interleave(f: Function, planes: Sequence[Value]) -> list[Value]:
    """Four vectors of 32-bit lanes in wide order, from four byte planes of 64 lanes, lowest byte first."""
    low = _zip(f, planes[0], planes[1], V64I8)
    high = _zip(f, planes[2], planes[3], V64I8)
    halves = [_zip(f, a, b, V32I16) for a, b in zip(low, high, strict=True)]
    return [f.as_type(quarter, V16I32) for half in halves for quarter in half]


def deinterleave(f: Function, quarters: Sequence[Value]) -> list[Value]:
    """Four byte planes of 64 lanes, from four vectors of 32-bit lanes in wide order."""
    by_byte = [chunk + 4 * lane + byte for chunk in range(0, BLOCK, 16) for byte in range(4) for lane in range(4)]
    sorted_: list[Value] = []
    for quarter in quarters:
        plain = f.as_type(quarter, V64I8)
        sorted_.append(f.shuffle(plain, plain, by_byte))
    left = _zip(f, sorted_[0], sorted_[1], V16I32)
    right = _zip(f, sorted_[2], sorted_[3], V16I32)
    pairs = [_zip(f, a, b, V8I64) for a, b in zip(left, right, strict=True)]
    return [f.as_type(plane, V64I8) for pair in pairs for plane in pair]


def _zip(f: Function, a: Value, b: Value, type_: Type) -> tuple[Value, Value]:
    """The elements of a and b in turn, within each 16 bytes: those of the lower halves, and those of the upper."""
    a, b = f.as_type(a, type_), f.as_type(b, type_)
    count: int = type_.count
    half = count // 8

    def mask(start: int) -> list[int]:
        return [
            chunk + start + i + side for chunk in range(0, count, 2 * half) for i in range(half) for side in (0, count)
        ]

    return f.shuffle(a, b, mask(0)), f.shuffle(a, b, mask(half))


class Lanes:
    """Functions over whole vectors; each takes the number of blocks last."""

    def __init__(self, module: Module):
        self.module = module
        self.copy = self._copy()
        self.widen = {n: self._widen(n) for n in (1, 2, 4)}
        """By bytes of an element: its byte planes to 32-bit lanes, whose further bytes mean nothing."""
        self.narrow = {n: self._narrow(n) for n in (1, 2, 4)}
        """By bytes of an element: 32-bit lanes to its byte planes."""
        self.alu = self._alu()

    def _copy(self) -> Function:
        """copy(target, source, blocks)"""
        f = Function(self.module, "copy", [PTR, PTR, I64])
        target, source, blocks = f.arguments
        with f.loop(blocks) as i:
            offset = f.b.mul(i, number(BLOCK))
            f.store(f.load(f.at(source, offset), V64I8, BLOCK), f.at(target, offset), BLOCK)
        f.give()
        return f

    def _widen(self, width: int) -> Function:
        """widen(target, a source for each byte, blocks)"""
        f = Function(self.module, f"widen{width}", [PTR] + [PTR] * width + [I64])
        target, *sources, blocks = f.arguments
        with f.loop(blocks) as i:
            offset = f.b.mul(i, number(BLOCK))
            planes = [f.load(f.at(s, offset), V64I8, BLOCK) for s in sources] * (4 // width)
            block = f.at(target, f.b.mul(i, number(WIDE)))
            for j, quarter in enumerate(interleave(f, planes)):
                f.store(quarter, f.at(block, j * QUARTER), QUARTER)
        f.give()
        return f

    def _narrow(self, width: int) -> Function:
        """narrow(a target for each byte, source, blocks)"""
        f = Function(self.module, f"narrow{width}", [PTR] * width + [PTR, I64])
        *targets, source, blocks = f.arguments
        with f.loop(blocks) as i:
            block = f.at(source, f.b.mul(i, number(WIDE)))
            quarters = [f.load(f.at(block, j * QUARTER), V16I32, QUARTER) for j in range(4)]
            offset = f.b.mul(i, number(BLOCK))
            for target, plane in zip(targets, deinterleave(f, quarters), strict=False):
                f.store(plane, f.at(target, offset), BLOCK)
        f.give()
        return f

    def _alu(self) -> Function:
        """alu(operation, target, a, a's step, b, b's step, blocks); a step is in bytes a block, 0 for an immediate"""
        f = Function(self.module, "alu", [I64, PTR, PTR, I64, PTR, I64, I64])
        operation, target, a, a_step, b, b_step, blocks = f.arguments
        with f.cases(operation) as cases:
            for op, apply in OPERATIONS.items():
                with cases.case(op), f.loop(blocks) as i:
                    a_block, b_block = f.at(a, f.b.mul(i, a_step)), f.at(b, f.b.mul(i, b_step))
                    block = f.at(target, f.b.mul(i, number(WIDE)))
                    for j in range(4):
                        x = f.load(f.at(a_block, j * QUARTER), V16I32, QUARTER)
                        y = f.load(f.at(b_block, j * QUARTER), V16I32, QUARTER)
                        f.store(f.as_type(apply(f, x, y), V16I32), f.at(block, j * QUARTER), QUARTER)
        f.give()
        return f


# -- arithmetic, bit for bit that of runtime/arithmetic.py -----------------------------------------------------------

Operation = Callable[[Function, Value, Value], Value]
"""From two vectors of 16 lanes, as i32, to the result as i32 or f32; unary operations ignore the second."""

_NAN = 0x7FC00000


def _canonical(f: Function, x: Value) -> Value:
    """Floats as i32, every NaN being the canonical one."""
    return f.b.select(f.b.fcmp_unordered("uno", x, x), splat(_NAN, V16I32), f.as_type(x, V16I32))


def _float(method: str) -> Operation:
    """A binary operation on floats, by the name of the builder's method."""

    def apply(f: Function, a: Value, b: Value) -> Value:
        return _canonical(f, getattr(f.b, method)(f.as_type(a, V16F32), f.as_type(b, V16F32)))

    return apply


def _integer(method: str) -> Operation:
    return lambda f, a, b: getattr(f.b, method)(a, b)


def _intrinsic(f: Function, name: str, type_: Type, *arguments: Value) -> Value:
    return f.call(f.module.intrinsic(name, type_, [v.type for v in arguments]), *arguments)


def _extreme(relation: str, prefer_negative: bool) -> Operation:
    """max or min of floats: NaN if either is; of equal ones, which may be zeros, that with the sign preferred."""

    def apply(f: Function, a: Value, b: Value) -> Value:
        x, y = f.as_type(a, V16F32), f.as_type(b, V16F32)
        sign = f.b.icmp_signed("<" if prefer_negative else ">=", a, splat(0, V16I32))
        equal = f.b.and_(f.b.fcmp_ordered("==", x, y), sign)
        chosen = f.b.select(f.b.or_(f.b.fcmp_ordered(relation, x, y), equal), a, b)
        return f.b.select(f.b.fcmp_unordered("uno", x, y), splat(_NAN, V16I32), chosen)

    return apply


def _rounding(name: str) -> Operation:
    def apply(f: Function, a: Value, _: Value) -> Value:
        return _canonical(f, _intrinsic(f, f"llvm.{name}.v16f32", V16F32, f.as_type(a, V16F32)))

    return apply


def _sign(f: Function, a: Value, bits: int) -> Value:
    """The low bits, sign-extended."""
    amount = splat(32 - bits, V16I32)
    return f.b.ashr(f.b.shl(a, amount), amount)


def _clamp(f: Function, a: Value, bits: int) -> Value:
    """Saturated to a signed integer of `bits`."""
    high = (1 << bits - 1) - 1
    a = _intrinsic(f, "llvm.smin.v16i32", V16I32, a, splat(high, V16I32))
    return _intrinsic(f, "llvm.smax.v16i32", V16I32, a, splat(-high - 1, V16I32))


def _to_float(bits: int) -> Operation:
    return lambda f, a, _: f.b.sitofp(_sign(f, a, bits), V16F32)


def _to_integer(bits: int) -> Operation:
    """To the nearest integer, ties to even, saturated; NaN to 0."""

    def apply(f: Function, a: Value, _: Value) -> Value:
        whole = _intrinsic(f, "llvm.rint.v16f32", V16F32, f.as_type(a, V16F32))
        return _clamp(f, _intrinsic(f, "llvm.fptosi.sat.v16i32.v16f32", V16I32, whole), bits)

    return apply


OPERATIONS: dict[Alu, Operation] = {
    Alu.ADD_I: _integer("add"),
    Alu.ADD_F: _float("fadd"),
    Alu.SUB_I: _integer("sub"),
    Alu.SUB_F: _float("fsub"),
    Alu.MUL_I: _integer("mul"),
    Alu.MUL_F: _float("fmul"),
    Alu.MAX_I: lambda f, a, b: _intrinsic(f, "llvm.smax.v16i32", V16I32, a, b),
    Alu.MAX_F: _extreme(">", prefer_negative=False),
    Alu.MIN_I: lambda f, a, b: _intrinsic(f, "llvm.smin.v16i32", V16I32, a, b),
    Alu.MIN_F: _extreme("<", prefer_negative=True),
    Alu.COPY: lambda f, a, _: a,
    Alu.ROUND: _rounding("rint"),
    Alu.TRUNC: _rounding("trunc"),
    Alu.CANONICAL: lambda f, a, _: _canonical(f, f.as_type(a, V16F32)),
    Alu.SIGN_8: lambda f, a, _: _sign(f, a, 8),
    Alu.SIGN_16: lambda f, a, _: _sign(f, a, 16),
    Alu.CLAMP_16_8: lambda f, a, _: _clamp(f, _sign(f, a, 16), 8),
    Alu.CLAMP_32_8: lambda f, a, _: _clamp(f, a, 8),
    Alu.CLAMP_32_16: lambda f, a, _: _clamp(f, a, 16),
    Alu.FLOAT_8: _to_float(8),
    Alu.FLOAT_16: _to_float(16),
    Alu.FLOAT_32: _to_float(32),
    Alu.FIX_8: _to_integer(8),
    Alu.FIX_16: _to_integer(16),
    Alu.FIX_32: _to_integer(32),
}
