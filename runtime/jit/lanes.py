"""Handlers' inner loops over the lanes of a vector: copies, byte planes to 32-bit lanes and back, ALU operations.

32-bit lanes are kept in wide order: a block of 64 lanes is four vectors of 16, and element e of vector j is lane
16 * (e // 4) + 4 * j + e % 4. In this order both directions are interleavings within 16 bytes, which every SIMD
instruction set has, and no operation on lanes minds the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import arithmetic, halves
from .build import I8, I64, PTR, V8I64, V16I32, V32I16, V64I8, Function, Module, Type, Value, constant, number, splat
from .layout import BLOCK, Finish, Form

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


def transpose(f: Function, rows: Sequence[Value]) -> list[Value]:
    """The transposes of the squares of 16 bytes in 16 planes: byte i of plane s goes to byte s of plane i, within each
    16 bytes. Each of four rounds shuffles planes as a deck of cards, byte numbers taking the bit that plane numbers
    give."""
    half = len(rows) // 2
    for _ in range(half.bit_length()):
        rows = [plane for a, b in zip(rows[:half], rows[half:], strict=True) for plane in _zip(f, a, b, V64I8)]
    return list(rows)


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
        self.cut = self._cut()
        self.blend = self._blend()
        self.widen = {form: self._widen(form) for form in Form}
        """By form: an element's byte planes to 32-bit lanes."""
        self.prepare = {form: self._prepare(form) for form in Form if form != Form.WORD}
        """By form: the low bits of 32-bit lanes to 32-bit lanes."""
        self.narrow = {n: self._narrow(n) for n in (1, 2, 4)}
        """By bytes of an element: 32-bit lanes to its byte planes."""
        self.alu = self._alu()
        self.finish = self._finish()

    # -- bytes -------------------------------------------------------------------------------------------------

    def _copy(self) -> Function:
        """copy(target, source, blocks)"""
        f = Function(self.module, "copy", [PTR, PTR, I64])
        target, source, blocks = f.arguments
        with f.loop(blocks) as i:
            offset = f.b.mul(i, number(BLOCK))
            f.store(f.load(f.at(source, offset), V64I8, BLOCK), f.at(target, offset), BLOCK)
        f.give()
        return f

    def _cut(self) -> Function:
        """cut(target, source, lanes, blocks): a copy that is zero from lane number `lanes` on"""
        f = Function(self.module, "cut", [PTR, PTR, I64, I64])
        target, source, lanes, blocks = f.arguments
        with f.loop(blocks) as i:
            offset = f.b.mul(i, number(BLOCK))
            plane = f.load(f.at(source, offset), V64I8, BLOCK)
            kept = f.b.select(_before(f, lanes, offset), plane, splat(0, V64I8))
            f.store(kept, f.at(target, offset), BLOCK)
        f.give()
        return f

    def _blend(self) -> Function:
        """blend(target, source, lanes, blocks): copies the first so many lanes"""
        f = Function(self.module, "blend", [PTR, PTR, I64, I64])
        target, source, lanes, blocks = f.arguments
        with f.loop(blocks) as i:
            offset = f.b.mul(i, number(BLOCK))
            old, new = (f.load(f.at(v, offset), V64I8, BLOCK) for v in (target, source))
            f.store(f.b.select(_before(f, lanes, offset), new, old), f.at(target, offset), BLOCK)
        f.give()
        return f

    # -- 32-bit lanes ------------------------------------------------------------------------------------------

    def _widen(self, form: Form) -> Function:
        """widen(target, a source for each byte, blocks)

        An element's bytes are put into a lane's upper ones, whence a shift extends them.
        """
        f = Function(self.module, f"widen_{form.name.lower()}", [PTR] + [PTR] * form.bytes + [I64])
        target, *sources, blocks = f.arguments
        shift = splat(32 - 8 * form.bytes, V16I32)
        with f.loop(blocks) as i:
            offset = f.b.mul(i, number(BLOCK))
            planes = [f.load(f.at(s, offset), V64I8, BLOCK) for s in sources] * (4 // form.bytes)
            block = f.at(target, f.b.mul(i, number(WIDE)))
            for j, lanes in enumerate(interleave(f, planes)):
                if form in (Form.SIGNED_8, Form.SIGNED_16):
                    lanes = f.b.ashr(lanes, shift)
                elif form != Form.WORD:
                    lanes = f.b.lshr(lanes, shift)
                if form == Form.HALF:
                    lanes = f.as_type(halves.widen(f, lanes), V16I32)
                f.store(lanes, f.at(block, j * QUARTER), QUARTER)
        f.give()
        return f

    def _prepare(self, form: Form) -> Function:
        """prepare(target, source, blocks)"""
        f = Function(self.module, f"prepare_{form.name.lower()}", [PTR, PTR, I64])
        target, source, blocks = f.arguments
        with f.loop(f.b.mul(blocks, number(4))) as i:
            offset = f.b.mul(i, number(QUARTER))
            lanes = f.load(f.at(source, offset), V16I32, QUARTER)
            f.store(arithmetic.prepare(f, lanes, form), f.at(target, offset), QUARTER)
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

    def _finish(self) -> Function:
        """finish(how, lanes, blocks), in place"""
        f = Function(self.module, "finish", [I64, PTR, I64])
        how, lanes, blocks = f.arguments
        with f.cases(how) as cases:
            for kind in (Finish.SIGN_8, Finish.SIGN_16, Finish.HALF):
                with cases.case(kind), f.loop(f.b.mul(blocks, number(4))) as i:
                    address = f.at(lanes, f.b.mul(i, number(QUARTER)))
                    result = arithmetic.finish(f, f.load(address, V16I32, QUARTER), kind)
                    f.store(result, address, QUARTER)
        f.give()
        return f

    def _alu(self) -> Function:
        """alu(operation, target, a, a's step, b, b's step, c, c's step, blocks)

        A step is in bytes a block, 0 for an immediate.
        """
        f = Function(self.module, "alu", [I64, PTR] + [PTR, I64] * 3 + [I64])
        operation, target, *operands, blocks = f.arguments
        pairs = list(zip(operands[::2], operands[1::2], strict=True))
        with f.cases(operation) as cases:
            for arity, table in enumerate((arithmetic.UNARY, arithmetic.BINARY, arithmetic.TERNARY), 1):
                for op, apply in table.items():
                    with cases.case(op), f.loop(blocks) as i:
                        for j in range(4):
                            _apply(f, apply, target, pairs[:arity], i, number(j * QUARTER))
            for op, apply in arithmetic.SPECIAL.items():
                with cases.case(op), f.loop(blocks) as i, f.loop(4) as j:
                    _apply(f, apply, target, pairs[:1], i, f.b.mul(j, number(QUARTER)))
        f.give()
        return f


def _apply(
    f: Function,
    operation: Callable[..., Value],
    target: Value,
    operands: Sequence[tuple[Value, Value]],
    block: Value,
    quarter: Value,
) -> None:
    """An operation on the 16 lanes `quarter` bytes into a block; operands are addresses and steps."""
    lanes = [f.load(f.at(f.at(a, f.b.mul(block, step)), quarter), V16I32, QUARTER) for a, step in operands]
    result = f.as_type(operation(f, *lanes), V16I32)
    f.store(result, f.at(f.at(target, f.b.mul(block, number(WIDE))), quarter), QUARTER)


def _before(f: Function, lanes: Value, start: Value) -> Value:
    """Which of the 64 lanes from number `start` on are before lane number `lanes`."""
    left = f.b.sub(lanes, start)
    left = f.call(f.module.intrinsic("llvm.smax.i64", I64, [I64, I64]), left, 0)
    left = f.call(f.module.intrinsic("llvm.smin.i64", I64, [I64, I64]), left, BLOCK)
    count = f.broadcast(f.b.trunc(left, I8), BLOCK)
    return f.b.icmp_unsigned("<", constant(range(BLOCK), V64I8), count)
