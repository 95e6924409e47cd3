"""Dot products of four int8 pairs, 16 columns at once, as IR: with AVX512-VNNI, and portably."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .build import I16, I32, I64, V16I32, V32I16, V64I8, Function, Type, Value, splat, vector
from .layout import BLOCK

_V64I16 = vector(I16, 64)


class Dot(Protocol):
    """How a path multiplies. It takes 16 columns at once: a quarter of a block, which has `parts` accumulators."""

    input_bytes: int
    """Bytes of an activation, as `prepare` leaves it."""
    vectors: int
    """Vectors of a batch."""
    quarters: int
    """Quarters of a block that are summed at once: 1, 2 or 4."""
    unroll: int
    """Groups of rows at a time where only one vector is multiplied; a power of two."""
    parts: int
    """Accumulators of a quarter, each of which meets 64 bytes of weights."""
    weights: Type
    """The type of 64 bytes of weights."""
    half_vectors: int
    """Vectors of a batch of fp16."""
    half_columns: int
    """Eighths of a block that are summed at once there: an even number."""

    def prepare(self, f: Function, lanes: Value) -> Value:
        """64 activations as the plane keeps them."""
        ...

    def pack(self, f: Function, weights: Value) -> Value:
        """A quarter's weights as an array keeps them, from 16 columns of four bytes."""
        ...

    def unpack(self, f: Function, address: Value) -> Value:
        """The opposite: 16 columns of four bytes, from a quarter's weights at an address."""
        ...

    def offset(self, f: Function, bias: Value, weights: Value) -> Value:
        """What sums start from because of `prepare`: `bias` of the groups before, and what 16 columns of four add."""
        ...

    def load(self, f: Function, address: Value) -> Value:
        """Four activations, for every column."""
        ...

    def add(self, f: Function, total: Value, x: Value, w: Value) -> Value:
        """An accumulator plus its dot products."""
        ...

    def finish(self, f: Function, totals: Sequence[Value]) -> Value:
        """The sums of 16 columns from a quarter's accumulators."""
        ...


class Vnni:
    """AVX512-VNNI multiplies unsigned by signed bytes: activations are moved up by 128, sums down by 128 x weights."""

    input_bytes, vectors, quarters, unroll, parts = 1, 4, 4, 4, 1
    weights: Type = V16I32
    half_vectors, half_columns = 6, 4

    def prepare(self, f: Function, lanes: Value) -> Value:
        return f.b.xor(lanes, splat(-128, V64I8))

    def pack(self, f: Function, weights: Value) -> Value:
        return weights

    def unpack(self, f: Function, address: Value) -> Value:
        return f.load(address, V16I32, BLOCK)

    def offset(self, f: Function, bias: Value, weights: Value) -> Value:
        moved = f.as_type(splat(-128, V64I8), V16I32)
        return f.b.sub(bias, self.add(f, splat(0, V16I32), moved, weights))

    def load(self, f: Function, address: Value) -> Value:
        return f.broadcast(f.load(address, I32, 4), 16)

    def add(self, f: Function, total: Value, x: Value, w: Value) -> Value:
        # LLVM 22 takes x and w as 64 bytes and upgrades this older form, which all versions accept.
        dot = f.module.intrinsic("llvm.x86.avx512.vpdpbusd.512", V16I32, [V16I32] * 3)
        return f.call(dot, total, x, w)

    def finish(self, f: Function, totals: Sequence[Value]) -> Value:
        return totals[0]


class Plain:
    """Vector IR only: sums of two 16-bit products, which is an instruction of x86 (pmaddwd) and two of arm64."""

    input_bytes, vectors, quarters, unroll, parts = 2, 2, 1, 2, 2
    weights: Type = V32I16
    half_vectors, half_columns = 2, 2

    def prepare(self, f: Function, lanes: Value) -> Value:
        return f.b.sext(lanes, _V64I16)

    def pack(self, f: Function, weights: Value) -> Value:
        return f.b.sext(f.as_type(weights, V64I8), _V64I16)

    def unpack(self, f: Function, address: Value) -> Value:
        return f.as_type(f.b.trunc(f.load(address, _V64I16, BLOCK), V64I8), V16I32)

    def offset(self, f: Function, bias: Value, weights: Value) -> Value:
        return bias

    def load(self, f: Function, address: Value) -> Value:
        return f.as_type(f.broadcast(f.load(address, I64, 8), 8), V32I16)

    def add(self, f: Function, total: Value, x: Value, w: Value) -> Value:
        products = [f.b.mul(self._half(f, x, odd), self._half(f, w, odd)) for odd in (0, 1)]
        return f.b.add(total, f.b.add(*products))

    def _half(self, f: Function, value: Value, odd: int) -> Value:
        """The even or the odd 16-bit elements, as 32 bits."""
        return f.b.sext(f.shuffle(value, value, range(odd, 32, 2)), V16I32)

    def finish(self, f: Function, totals: Sequence[Value]) -> Value:
        return f.b.add(*(f.shuffle(totals[0], totals[1], range(odd, 32, 2)) for odd in (0, 1)))


DOTS: dict[str, type[Dot]] = {"vnni": Vnni, "plain": Plain, "avx2": Plain}
"""How each path multiplies."""
