"""Dot products of four int8 pairs, 16 columns at once, as IR: with AVX512-VNNI, and portably."""

from __future__ import annotations

from typing import Protocol

from .build import I16, I32, I64, V16I32, V64I8, Function, Type, Value, splat, vector

_V32I16, _V64I16 = vector(I16, 32), vector(I16, 64)
_V32I32 = vector(I32, 32)
_V16I64 = vector(I64, 16)


class Dot(Protocol):
    """How a path multiplies. Weights come as 16 columns of four bytes, in 64 bytes."""

    input_bytes: int
    """Bytes of an activation, as `prepare` leaves it."""
    vectors: int
    """Vectors of a batch."""
    quarters: int
    """Vectors of 16 columns that are summed at once: 1, 2 or 4."""
    unroll: int
    """Groups of rows at a time where only one vector is multiplied; a power of two."""
    accumulator: Type

    def prepare(self, f: Function, lanes: Value) -> Value:
        """64 activations as the plane keeps them."""
        ...

    def load(self, f: Function, address: Value) -> Value:
        """Four activations, for every column."""
        ...

    def add(self, f: Function, total: Value, x: Value, w: Value) -> Value:
        """The accumulator plus the dot products."""
        ...

    def finish(self, f: Function, total: Value) -> Value:
        """The sums of 16 columns from an accumulator."""
        ...

    def offset(self, f: Function, bias: Value, w: Value) -> Value:
        """What sums start from, which `prepare` makes necessary: `bias` for the groups before, plus that of `w`."""
        ...


class Vnni:
    """AVX512-VNNI multiplies unsigned by signed bytes: activations are moved up by 128, sums down by 128 x weights."""

    input_bytes, vectors, quarters, unroll = 1, 4, 4, 4
    accumulator: Type = V16I32

    def prepare(self, f: Function, lanes: Value) -> Value:
        return f.b.xor(lanes, splat(-128, V64I8))

    def load(self, f: Function, address: Value) -> Value:
        return f.broadcast(f.load(address, I32, 4), 16)

    def add(self, f: Function, total: Value, x: Value, w: Value) -> Value:
        # LLVM 22 takes x and w as 64 bytes and upgrades this older form, which all versions accept.
        dot = f.module.intrinsic("llvm.x86.avx512.vpdpbusd.512", V16I32, [V16I32] * 3)
        return f.call(dot, total, x, f.as_type(w, V16I32))

    def finish(self, f: Function, total: Value) -> Value:
        return total

    def offset(self, f: Function, bias: Value, w: Value) -> Value:
        moved = self.add(f, splat(0, V16I32), f.as_type(splat(-128, V64I8), V16I32), f.as_type(w, V64I8))
        return f.b.sub(bias, moved)


class Plain:
    """Vector IR only: sums of two 16-bit products, which is an instruction of x86 (pmaddwd) and two of arm64."""

    input_bytes, vectors, quarters, unroll = 2, 2, 1, 2
    accumulator: Type = _V32I32

    def prepare(self, f: Function, lanes: Value) -> Value:
        return f.b.sext(lanes, _V64I16)

    def load(self, f: Function, address: Value) -> Value:
        return f.as_type(f.broadcast(f.load(address, I64, 8), 16), _V64I16)

    def add(self, f: Function, total: Value, x: Value, w: Value) -> Value:
        wide = f.b.sext(w, _V64I16)
        products = [f.b.mul(self._half(f, x, odd), self._half(f, wide, odd)) for odd in (0, 1)]
        return f.b.add(total, f.b.add(*products))

    def _half(self, f: Function, value: Value, odd: int) -> Value:
        """The even or the odd elements, as 32 bits."""
        return f.b.sext(f.shuffle(value, value, range(odd, 64, 2)), _V32I32)

    def finish(self, f: Function, total: Value) -> Value:
        return f.b.add(*(f.shuffle(total, total, range(odd, 32, 2)) for odd in (0, 1)))

    def offset(self, f: Function, bias: Value, w: Value) -> Value:
        return bias


DOTS: dict[str, type[Dot]] = {"vnni": Vnni, "plain": Plain}
"""How each path multiplies."""
