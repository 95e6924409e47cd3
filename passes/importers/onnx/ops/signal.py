"""Fourier transforms as products with known matrices, and sums of patches."""

from __future__ import annotations

import numpy as np

from ..emit import Emitter
from ..products import F32
from ..registry import Node, axis_of, lowers
from ..scalars import Scalar
from ..values import Refused, Value, known
from .movement import padded, part
from .products import matmul
from .windows import spread


@lowers("DFT")
def dft(node: Node) -> Value:
    """Of real or complex signals, whose last dimension has one number or two."""
    x = node.value(0)
    axis = node.int("axis", 1 if node.version < 20 else -2)
    if node.version >= 20 and node.has(2):
        axis = int(node.array(2, "the axis").reshape(-1)[0])
    axis = axis_of(axis, x.rank)
    size = int(node.array(1, "the length").reshape(-1)[0]) if node.has(1) else None
    inverse, onesided = bool(node.int("inverse")), bool(node.int("onesided"))
    if inverse and onesided:
        return _inverse_real(node, x, axis, size)
    return transformed(node, x, axis, size or x.shape[axis], inverse, onesided)


def transformed(node: Node, x: Value, axis: int, size: int, inverse: bool, onesided: bool) -> Value:
    """The transform of `size` elements of an axis; of as many as that has, or cut or filled up with zeros."""
    emit = node.emit
    x = _sized(node, x, axis, size)
    count = size // 2 + 1 if onesided else size
    angles = 2 * np.pi * np.outer(np.arange(size), np.arange(count)) / size * (1 if inverse else -1)
    share = 1 / size if inverse else 1.0
    cos, sin = (known((f(angles) * share).astype(np.float32)) for f in (np.cos, np.sin))
    last = x.rank - 1
    moved = [*(i for i in range(last) if i != axis), axis]
    back = np.argsort([*moved, last])
    parts = [
        emit.reshape(emit.transpose(emit.slice(x, last, i, 1), [*moved, last]), [x.shape[a] for a in moved])
        for i in range(x.shape[last])
    ]
    if len(parts) == 1:
        real, imaginary = (matmul(emit, parts[0], m) for m in (cos, sin))
    else:
        real = _joined(emit, matmul(emit, parts[0], cos), matmul(emit, parts[1], sin), -1)
        imaginary = _joined(emit, matmul(emit, parts[0], sin), matmul(emit, parts[1], cos), 1)
    columns = [emit.reshape(v, (*v.shape, 1)) for v in (real, imaginary)]
    return emit.cast(emit.transpose(emit.concat(columns, last), [int(i) for i in back]), node.value(0).dtype)


def _joined(emit: Emitter, a: Value, b: Value, sign: int) -> Value:
    def function(x: Scalar, y: Scalar) -> Scalar:
        return x + y if sign > 0 else x - y

    return emit.map(function, a, b, to=a.dtype)


def _sized(node: Node, x: Value, axis: int, size: int) -> Value:
    """Cut, or filled up with zeros."""
    if size <= x.shape[axis]:
        return part(node, x, axis, 0, size)
    high = [size - x.shape[axis] if i == axis else 0 for i in range(x.rank)]
    return padded(node, x, [0] * x.rank, high, np.zeros((), x.dtype))


def _inverse_real(node: Node, x: Value, axis: int, size: int | None) -> Value:
    """The real signal of half a spectrum: the other half is its mirror image."""
    emit, last = node.emit, x.rank - 1
    size = size or 2 * (x.shape[axis] - 1)
    half = _sized(node, x, axis, size // 2 + 1)
    count = (size - 1) // 2
    mirrored = part(node, half, axis, count, count, -1)
    signs = known(np.array([1, -1], np.float32))
    mirrored = emit.map(lambda v, s: v * s, mirrored, signs, to=x.dtype) if count else mirrored
    whole = transformed(node, emit.concat([half, mirrored], axis), axis, size, True, False)
    return emit.slice(whole, last, 0, 1)


@lowers("STFT")
def stft(node: Node) -> Value:
    """The transforms of frames of a signal [batch, length, 1 or 2], each times a window."""
    emit, x = node.emit, node.value(0)
    step = int(node.array(1, "the step").reshape(-1)[0])
    window = node.optional(2)
    size = int(node.array(3, "the length").reshape(-1)[0]) if node.has(3) else window.shape[0] if window else x.shape[1]
    count = (x.shape[1] - size) // step + 1
    frames = [emit.reshape(emit.slice(x, 1, i * step, size), (x.shape[0], 1, size, x.shape[2])) for i in range(count)]
    stack = emit.concat(frames, 1)
    if window is not None:
        stack = emit.map(lambda v, w: v * w, stack, emit.reshape(window, (size, 1)), to=x.dtype)
    return transformed(node, stack, 2, size, False, bool(node.int("onesided", 1)))


@lowers("Col2Im")
def col2im(node: Node) -> Value:
    """The sum of patches, each tap of all places put where it belongs."""
    emit, x = node.emit, node.value(0)
    image, block = node.numbers(1, "the size of the image"), node.numbers(2, "the size of a block")
    rank = len(image)
    strides, dilations = node.ints("strides", [1] * rank), node.ints("dilations", [1] * rank)
    pads = node.ints("pads", [0] * (2 * rank))
    channels = x.shape[1] // int(np.prod(block))
    sizes = [n + pads[i] + pads[rank + i] for i, n in enumerate(image)]
    places = [(n - d * (b - 1) - 1) // s + 1 for n, d, b, s in zip(sizes, dilations, block, strides, strict=True)]
    split = emit.reshape(x, (x.shape[0], channels, int(np.prod(block)), *places))
    total: Value | None = None
    for number, tap in enumerate(np.ndindex(*block)):
        one = emit.reshape(emit.slice(split, 2, number, 1), (x.shape[0], channels, *places))
        low, high = [0, 0], [0, 0]
        for i in range(rank):
            one = spread(emit, one, 2 + i, strides[i])
            low.append(tap[i] * dilations[i])
            high.append(sizes[i] - low[-1] - one.shape[2 + i])
        wide = padded(node, one, low, high, np.zeros((), x.dtype))
        total = wide if total is None else emit.map(lambda a, b: a + b, total, wide, to=F32)
    if total is None:
        raise Refused("a block of no size")
    for i in range(rank):
        total = emit.slice(total, 2 + i, pads[i], image[i])
    return emit.cast(total, x.dtype)
