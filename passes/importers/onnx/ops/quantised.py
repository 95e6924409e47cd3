"""Quantised tensors: rounding to them, and products of them, exact in i32.

A scale or zero point is a single number, one for each place of an axis, or one for each block of an axis.
"""

from __future__ import annotations

import numpy as np

from ..elements import limits
from ..emit import Emitter
from ..functions import quotient
from ..products import F32
from ..registry import MICROSOFT, Node, dtype_of_code, lowers
from ..scalars import Scalar
from ..values import Refused, Value, known
from .products import bare
from .windows import Windows, bare_conv, images, unimages, windows_of

I8, U8, I32 = np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int32)


def along(node: Node, of: Value, x: Value) -> Value:
    """A scale or zero point in a shape that broadcasts to x."""
    emit = node.emit
    if of.size == 1:
        return emit.reshape(of, ())
    axis = node.axis(1, x.rank)
    block = node.int("block_size")
    if of.rank == 1:
        return emit.reshape(of, (of.size, *[1] * (x.rank - 1 - axis)))
    if not block:
        raise Refused(f"a scale of shape {[*of.shape]} for {[*x.shape]}", "give block_size")
    wide = emit.reshape(of, (*of.shape[: axis + 1], 1, *of.shape[axis + 1 :]))
    wide = emit.expand(wide, (*of.shape[: axis + 1], block, *of.shape[axis + 1 :]))
    wide = emit.reshape(wide, (*of.shape[:axis], of.shape[axis] * block, *of.shape[axis + 1 :]))
    return emit.slice(wide, axis, 0, x.shape[axis])


def rounded(emit: Emitter, x: Value, scale: Value, zero: Value | None, to: np.dtype[np.generic]) -> Value:
    """round(x / scale) + zero, held within the type. A quotient that is an f32 is that one, so ties are ties."""
    low, high = limits(to)

    def function(v: Scalar, s: Scalar, *z: Scalar) -> Scalar:
        single = scale.array is not None and scale.size == 1
        number = float(scale.array.reshape(-1)[0]) if single and scale.array is not None else 0.0
        exact = number and float(np.frexp(number)[0]) == 0.5
        ratio = v * (1 / number) if exact else quotient(v, s)
        whole = ratio.round()
        whole = whole + z[0].f32() if z else whole
        return whole.max(float(low)).min(float(high)).i32()

    return emit.map(function, emit.cast(x, F32), scale, *([zero] if zero is not None else []), to=to)


@lowers("QuantizeLinear")
@lowers("QuantizeLinear", domain=MICROSOFT)
def quantize(node: Node) -> Value:
    x, scale, zero = node.value(0), node.value(1), node.optional(2)
    code = node.int("output_dtype")
    to = zero.dtype if zero is not None else dtype_of_code(code) if code else U8
    if to.kind not in "iu" or to.itemsize > 2:
        raise Refused(f"it rounds to {to}", "quantise to int8, uint8, int16 or uint16")
    point = along(node, zero, x) if zero is not None else None
    return rounded(node.emit, x, along(node, scale, x), point, to)


@lowers("DequantizeLinear")
@lowers("DequantizeLinear", domain=MICROSOFT)
def dequantize(node: Node) -> Value:
    """(x - zero) scale."""
    x, scale, zero = node.value(0), node.value(1), node.optional(2)
    code = node.int("output_dtype")
    to = dtype_of_code(code) if code else scale.dtype
    points = [along(node, zero, x)] if zero is not None else []

    def function(v: Scalar, s: Scalar, *z: Scalar) -> Scalar:
        return (v - z[0] if z else v).f32() * s

    return node.emit.map(function, x, along(node, scale, x), *points, to=to)


@lowers("DynamicQuantizeLinear")
def dynamic_quantize(node: Node) -> tuple[Value, ...]:
    """To u8, by the least and greatest element, 0 among them."""
    emit, x = node.emit, node.value(0)
    axes = [*range(x.rank)]
    high = emit.reshape(emit.reduced("max", x, axes), ())
    low = emit.reshape(emit.reduced("min", x, axes), ())
    scale = emit.map(lambda h, w: (h.max(0.0) - w.min(0.0)) * float(np.float32(1) / np.float32(255)), high, low, to=F32)
    zero = emit.map(lambda w, s: (-quotient(w.min(0.0), s)).max(0.0).min(255.0).round().i32(), low, scale, to=U8)
    return rounded(emit, x, scale, zero, U8), scale, zero


# -- products of integers ------------------------------------------------------------------------------------------


def as_i8(emit: Emitter, x: Value) -> tuple[Value, int]:
    """Integers of 8 bits as i8, and what is to be added to those: u8 is held as i8 less 128."""
    if x.dtype == I8:
        return x, 0
    if x.dtype != U8:
        raise Refused(f"it multiplies {x.dtype}", "quantise to int8 or uint8")
    if x.array is not None:
        return known((x.array.astype(np.int16) - 128).astype(np.int8)), 128
    return Value(x.shape, I8, x.ssa, x.order), 128


def _point(emit: Emitter, zero: Value | None, offset: int) -> Value:
    """What is to be taken from the i8 that hold a tensor: its zero point less the offset."""
    if zero is None:
        return known(np.array(-offset, np.int32))
    if zero.array is not None:
        return known(zero.array.astype(np.int32) - offset)
    return emit.map(lambda z: z - offset, zero, to=I32)


def _nothing(point: Value) -> bool:
    return point.array is not None and not point.array.any()


def product(node: Node, a: Value, b: Value, a_zero: Value | None, b_zero: Value | None) -> Value:
    """(a - a_zero) (b - b_zero) as i32: a b - a_zero sums of b - b_zero sums of a + K a_zero b_zero, all exact."""
    emit = node.emit
    x = emit.reshape(a, (1, *a.shape)) if a.rank == 1 else a
    y = emit.reshape(b, (*b.shape, 1)) if b.rank == 1 else b
    depth = x.shape[-1]
    (x, dx), (y, dy) = as_i8(emit, x), as_i8(emit, y)
    p, q = _point(emit, a_zero, dx), _point(emit, b_zero, dy)
    if p.rank == 1:
        p = emit.reshape(p, (p.size, 1))
    total = bare(emit, x, y)
    terms: list[Value] = []
    if not _nothing(p):
        sums = _sums(emit, y, y.rank - 2)
        terms.append(emit.map(lambda s, z: s * z, sums, p, to=I32))
    if not _nothing(q):
        sums = _sums(emit, x, x.rank - 1)
        if not _nothing(p):
            sums = emit.map(lambda s, z: s - z * depth, sums, p, to=I32)
        terms.append(emit.map(lambda s, z: s * z, sums, q, to=I32))
    for term in terms:
        total = emit.map(lambda t, u: t - u, total, term, to=I32)
    rows = a.shape[-2:-1] if a.rank > 1 else ()
    return emit.reshape(total, (*total.shape[:-2], *rows, *(b.shape[-1:] if b.rank > 1 else ())))


def _sums(emit: Emitter, x: Value, axis: int) -> Value:
    """Sums of i8 as i32 along an axis, which stays."""
    if x.array is not None:
        return known(x.array.sum(axis, np.int32, keepdims=True))
    return emit.reduced("sum", emit.cast(x, I32), [axis])


@lowers("MatMulInteger")
def matmul_integer(node: Node) -> Value:
    return product(node, node.value(0), node.value(1), node.optional(2), node.optional(3))


@lowers("QLinearMatMul")
def qlinear_matmul(node: Node) -> Value:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.tensors()
    sums = product(node, a, b, a_zero, b_zero)
    a_scale = node.emit.reshape(a_scale, (a_scale.size, 1)) if a_scale.size > 1 else a_scale
    return requantised(node.emit, sums, a_scale, b_scale, y_scale, y_zero)


def requantised(emit: Emitter, sums: Value, a: Value, b: Value, y: Value, zero: Value) -> Value:
    """Sums of products as integers of 8 bits: times both scales, over that of the result."""

    def one(v: Value) -> Value:
        return emit.reshape(v, ()) if v.size == 1 else v

    a, b, y = one(a), one(b), one(y)
    if a.array is not None and b.array is not None and y.array is not None:
        factor = (a.array.astype(np.float64) * b.array / y.array).astype(np.float32)
        low, high = limits(zero.dtype)

        def scaled(s: Scalar, f: Scalar, z: Scalar) -> Scalar:
            return ((s.f32() * f).round() + z.f32()).max(float(low)).min(float(high)).i32()

        return emit.map(scaled, sums, known(factor), one(zero), to=zero.dtype)
    real = emit.map(lambda s, p, q: s.f32() * (p * q), sums, a, b, to=F32)
    return rounded(emit, real, y, one(zero), zero.dtype)


def convolved_integers(node: Node, x: Value, weights: Value, x_zero: Value | None, w_zero: Value | None) -> Value:
    """The convolution of integers of 8 bits as i32. Padding is the zero point, so it counts nothing."""
    emit, groups = node.emit, node.int("group", 1)
    windows = windows_of(node, x.shape[2:], node.ints("kernel_shape", weights.shape[2:]))
    if len(windows.kernel) > 2:
        raise Refused("a quantised convolution of three dimensions", "use one or two")
    (p, dx), (q, dw) = as_i8(emit, x), as_i8(emit, weights)
    zero, other = _point(emit, x_zero, dx), _point(emit, w_zero, dw)
    if not _nothing(zero):
        p, windows = _padded_by(node, p, windows, zero)
    plane, kernel = images(emit, p), images(emit, q)
    window = windows.flat()
    total = bare_conv(emit, plane, kernel, window, groups)
    each = int(np.prod(weights.shape[1:]))
    terms: list[Value] = []
    if not _nothing(zero):
        sums = q.array.reshape(q.shape[0], -1).sum(1, np.int32) if q.array is not None else None
        column = known(sums.reshape(-1, 1, 1)) if sums is not None else _kernel_sums(emit, kernel)
        terms.append(emit.map(lambda s, z: s * z, column, emit.reshape(zero, ()), to=I32))
    if not _nothing(other):
        ones = known(np.ones(kernel.shape, np.int8))
        sums = bare_conv(emit, plane, ones, window, groups)
        if not _nothing(zero):
            sums = emit.map(lambda s, z: s - z * each, sums, emit.reshape(zero, ()), to=I32)
        point = emit.reshape(other, (other.size, 1, 1) if other.size > 1 else ())
        terms.append(emit.map(lambda s, z: s * z, sums, point, to=I32))
    for term in terms:
        total = emit.map(lambda t, u: t - u, total, term, to=I32)
    return unimages(emit, total, x.rank)


def _kernel_sums(emit: Emitter, kernel: Value) -> Value:
    """Sums of the weights of every output, as a column of channels."""
    total = emit.reduced("sum", emit.cast(kernel, I32), [1, 2, 3])
    return emit.reshape(total, (kernel.shape[0], 1, 1))


def _padded_by(node: Node, x: Value, windows: Windows, zero: Value) -> tuple[Value, Windows]:
    """The image with its padding of the zero point."""
    from .movement import padded

    if not any(windows.low) and not any(windows.high):
        return x, windows
    if zero.array is None:
        raise Refused("the zero point of a padded image is computed", "give its value", [*zero.inputs])
    number = zero.array.reshape(-1)[0].astype(np.int8)
    wide = padded(node, x, [0, 0, *windows.low], [0, 0, *windows.high], number)
    none = [0] * len(windows.kernel)
    return wide, Windows(windows.kernel, windows.strides, none, none, windows.dilations)


@lowers("ConvInteger")
def conv_integer(node: Node) -> Value:
    return convolved_integers(node, node.value(0), node.value(1), node.optional(2), node.optional(3))


@lowers("QLinearConv")
def qlinear_conv(node: Node) -> Value:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (node.value(i) for i in range(8))
    emit, bias = node.emit, node.optional(8)
    sums = convolved_integers(node, x, w, x_zero, w_zero)
    column = (-1, *[1] * (sums.rank - 2))
    if bias is not None:
        sums = emit.map(lambda s, b: s + b, sums, emit.reshape(bias, (bias.size, *column[1:])), to=I32)
    if w_scale.size > 1:
        w_scale = emit.reshape(w_scale, (w_scale.size, *column[1:]))
    return requantised(emit, sums, x_scale, w_scale, y_scale, y_zero)
