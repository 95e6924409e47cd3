"""Convolutions and pooling. Images of ONNX are [N, C, rows, columns]; here the channels lie last.

Images with one dimension have one row. Of three dimensions, a convolution is the sum of those of the slices of its
kernel, and a maximum or sum is taken over two dimensions and then over the third.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects.builtin import TensorType, f32, i32

from .....dialects import tsp_tensor as tt
from .....dialects.tsp_tensor.compute import slide
from .....dialects.tsp_tensor.types import number, numbers, tensor_of
from .....dialects.tsp_tensor.window import Slide, Window
from ..elements import Shape
from ..emit import Emitter
from ..products import F32, multiplied
from ..registry import Node, lowers
from ..scalars import Scalar
from ..values import Refused, Value, known


@dataclass(frozen=True)
class Windows:
    """A window over any number of dimensions, each with its own numbers."""

    kernel: list[int]
    strides: list[int]
    low: list[int]
    high: list[int]
    dilations: list[int]

    def along(self, sizes: Sequence[int]) -> list[Slide]:
        rows = zip(sizes, self.kernel, self.strides, self.dilations, self.low, self.high, strict=True)
        return [Slide(*row) for row in rows]

    def last(self, count: int = 2) -> Windows:
        """Over the last dimensions alone."""
        return Windows(*(part[-count:] for part in self.parts))

    def first(self) -> Windows:
        return Windows(*(part[:1] for part in self.parts))

    @property
    def parts(self) -> tuple[list[int], ...]:
        return self.kernel, self.strides, self.low, self.high, self.dilations

    def flat(self) -> Window:
        """Of one or two dimensions as a window of images."""
        kernel, strides, low, high, dilations = (
            [neutral, *part] if len(part) == 1 else part
            for part, neutral in zip(self.parts, (1, 1, 0, 0, 1), strict=True)
        )
        return Window(
            (kernel[0], kernel[1]), (strides[0], strides[1]), (low[0], low[1], high[0], high[1]),
            (dilations[0], dilations[1]),
        )  # fmt: skip


def windows_of(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Windows:
    """The window of a node's attributes, its padding worked out."""
    rank = len(sizes)
    strides = node.ints("strides", [1] * rank)
    dilations = node.ints("dilations", [1] * rank)
    pads = node.ints("pads", [0] * (2 * rank))
    low, high = pads[:rank], pads[rank:]
    auto = node.text("auto_pad", "NOTSET")
    if auto == "VALID":
        low, high = [0] * rank, [0] * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        low, high = list[int](), list[int]()
        for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
            need = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            less, more = need // 2, need - need // 2
            low.append(less if auto == "SAME_UPPER" else more)
            high.append(more if auto == "SAME_UPPER" else less)
    if node.int("ceil_mode"):
        high = [
            h + _more(Slide(n, k, s, d, b, h))
            for n, k, s, d, b, h in zip(sizes, kernel, strides, dilations, low, high, strict=True)
        ]
    return Windows([*kernel], strides, low, high, dilations)


def _more(along: Slide) -> int:
    """The padding behind the last element that gives a place more, if that begins in the image or before it."""
    rest = (along.size + along.before + along.after - along.extent) % along.stride
    if not rest:
        return 0
    start = along.places * along.stride
    return along.stride - rest if start < along.size + along.before else 0


# -- images --------------------------------------------------------------------------------------------------------


def images(emit: Emitter, x: Value) -> Value:
    """Tensors [N, C, ...] as [N, C, rows, columns]: one row where there is one dimension."""
    if x.rank == 3:
        if x.array is not None:
            return known(x.array[:, :, None, :])
        ssa = emit.operand(x, (0, 2, 1))
        n, c, w = x.shape
        return emit.computed(emit.reshaped(ssa, (n, 1, w, c)), x.dtype, NHWC)
    return x


NHWC = (0, 2, 3, 1)


def unimages(emit: Emitter, x: Value, rank: int) -> Value:
    """The images with as many dimensions as they had."""
    if rank == 4:
        return x
    n, c, _, w = x.shape
    ssa = emit.operand(x, NHWC)
    return emit.computed(emit.reshaped(ssa, (n, w, c)), x.dtype, (0, 2, 1))


def bare_conv(emit: Emitter, x: Value, weights: Value, window: Window, groups: int) -> Value:
    """The convolution of what the MXM multiplies: images [N, C, H, W] with weights [O, C / groups, KH, KW]."""
    images_, kernel = emit.operand(x, NHWC), emit.operand(weights, (2, 3, 1, 0))
    n, rows, columns, _ = slide(window, tensor_of(images_))
    sums = f32 if x.kind == "f" else i32
    op = tt.ConvOp.build(
        operands=[images_, kernel],
        properties={
            "strides": numbers(window.strides),
            "pads": numbers(window.pads),
            "dilations": numbers(window.dilations),
            "groups": number(groups),
        },
        result_types=[TensorType(sums, (n, rows, columns, weights.shape[0]))],
    )
    return emit.computed(emit.add(op), F32 if x.kind == "f" else np.dtype(np.int32), NHWC)


def convolved(emit: Emitter, x: Value, weights: Value, windows: Windows, groups: int) -> Value:
    """The convolution of floats, as f32; images of one to three dimensions."""
    if len(windows.kernel) == 3:
        return _deep(emit, x, weights, windows, groups)
    window = windows.flat()
    if min(window.places((1, x.shape[2]) if x.rank == 3 else (x.shape[2], x.shape[3]))) < 1:
        raise Refused("the window is larger than the padded image", "pad more")
    a, b = images(emit, x), images(emit, weights)

    def product(p: Value, q: Value) -> Value:
        return bare_conv(emit, p, q, window, groups)

    def of_weights(scale: Value) -> Value:
        return emit.transpose(scale, (1, 0, 2, 3)) if scale.rank == 4 else scale

    result = multiplied(emit, a, b, [0, 1, 2, 3], [1, 2, 3], product, (lambda s: s, of_weights), F32)
    return unimages(emit, result, x.rank)


def _deep(emit: Emitter, x: Value, weights: Value, windows: Windows, groups: int) -> Value:
    """The sum over the slices of a kernel of three dimensions."""
    along = windows.first().along(x.shape[2:3])[0]
    if along.before or along.after:
        x = _zero_padded(emit, x, 2, along.before, along.after)
    n, c, _, h, w = x.shape
    total: Value | None = None
    for tap in range(along.taps):
        layers = emit.slice(x, 2, tap * along.dilation, along.places, along.stride)
        flat = emit.reshape(emit.transpose(layers, (0, 2, 1, 3, 4)), (n * along.places, c, h, w))
        kernel = emit.slice(weights, 2, tap, 1)
        kernel = emit.reshape(kernel, (*weights.shape[:2], *weights.shape[3:]))
        part = convolved(emit, flat, kernel, windows.last(), groups)
        total = part if total is None else emit.map(lambda a, b: a + b, total, part, to=F32)
    assert total is not None
    split = emit.reshape(total, (n, along.places, *total.shape[1:]))
    return emit.transpose(split, (0, 2, 1, 3, 4))


def _zero_padded(emit: Emitter, x: Value, axis: int, low: int, high: int) -> Value:
    shape = [*x.shape]

    def zeros(count: int) -> Value:
        return known(np.zeros([*shape[:axis], count, *shape[axis + 1 :]], x.dtype))

    return emit.concat([v for n, v in ((low, zeros(low)), (0, x), (high, zeros(high))) if n or v is x], axis)


@lowers("Conv")
def conv(node: Node) -> Value:
    x, weights, bias = node.value(0), node.value(1), node.optional(2)
    windows = windows_of(node, x.shape[2:], node.ints("kernel_shape", weights.shape[2:]))
    result = convolved(node.emit, x, weights, windows, node.int("group", 1))
    return biased(node.emit, result, bias, x.dtype)


def biased(emit: Emitter, sums: Value, bias: Value | None, to: np.dtype[np.generic]) -> Value:
    """A number more for every channel."""
    if bias is None:
        return emit.cast(sums, to)
    column = emit.reshape(bias, (-1 if bias.array is not None else bias.size, *[1] * (sums.rank - 2)))
    return emit.map(lambda x, b: x + b, sums, column, to=to)


@lowers("ConvTranspose")
def conv_transpose(node: Node) -> Value:
    """The convolution, with the kernel turned round, of the image whose pixels lie `strides` apart."""
    emit, x, weights, bias = node.emit, node.value(0), node.value(1), node.optional(2)
    rank, groups = x.rank - 2, node.int("group", 1)
    kernel = node.ints("kernel_shape", weights.shape[2:])
    strides, dilations = node.ints("strides", [1] * rank), node.ints("dilations", [1] * rank)
    extra = node.ints("output_padding", [0] * rank)
    low, high = _transposed_pads(node, x.shape[2:], kernel, strides, dilations, extra)
    for i in range(rank):
        x = spread(emit, x, 2 + i, strides[i])
        edge = dilations[i] * (kernel[i] - 1)
        before, after = edge - low[i], edge - high[i] + extra[i]
        if min(before, after) < 0:
            cut = [max(0, -before), max(0, -after)]
            x = emit.slice(x, 2 + i, cut[0], x.shape[2 + i] - sum(cut))
        low[i], high[i] = max(before, 0), max(after, 0)
        weights = emit.slice(weights, 2 + i, weights.shape[2 + i] - 1, weights.shape[2 + i], -1)
    inputs, each = weights.shape[:2]
    split = emit.reshape(weights, (groups, inputs // groups, *weights.shape[1:]))
    turned = emit.transpose(split, (0, 2, 1, *range(3, rank + 3)))
    weights = emit.reshape(turned, (groups * each, inputs // groups, *weights.shape[2:]))
    windows = Windows(kernel, [1] * rank, low, high, dilations)
    return biased(emit, convolved(emit, x, weights, windows, groups), bias, node.value(0).dtype)


def _transposed_pads(
    node: Node, sizes: Shape, kernel: list[int], strides: list[int], dilations: list[int], extra: list[int]
) -> tuple[list[int], list[int]]:
    """The padding at both ends that is taken off the result."""
    rank = len(sizes)
    pads = node.ints("pads", [0] * (2 * rank))
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(sizes, kernel, strides, dilations, extra, strict=True)
    ]
    auto = node.text("auto_pad", "NOTSET")
    wanted = node.ints("output_shape") or None
    if auto.startswith("SAME") and wanted is None:
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is None:
        return pads[:rank], pads[rank:]
    low: list[int] = []
    high: list[int] = []
    for have, want in zip(full, wanted[-rank:], strict=True):
        total = have - want
        half = total // 2
        low.append(half if auto == "SAME_UPPER" else total - half)
        high.append(total - low[-1])
    return low, high


def spread(emit: Emitter, x: Value, axis: int, stride: int) -> Value:
    """A dimension whose elements lie `stride` apart, with zeros between."""
    if stride == 1 or x.shape[axis] == 1:
        return x
    split = emit.reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
    zeros = known(np.zeros((*x.shape[: axis + 1], stride - 1, *x.shape[axis + 1 :]), x.dtype))
    wide = emit.concat([split, zeros], axis + 1)
    size = x.shape[axis] * stride
    flat = emit.reshape(wide, (*x.shape[:axis], size, *x.shape[axis + 1 :]))
    return emit.slice(flat, axis, 0, size - stride + 1)


# -- pooling -------------------------------------------------------------------------------------------------------


def pooled(emit: Emitter, kind: str, x: Value, windows: Windows) -> Value:
    """The sum or maximum over windows of one to three dimensions."""
    if len(windows.kernel) == 3:
        n, c, d, h, w = x.shape
        flat = emit.reshape(emit.transpose(x, (0, 2, 1, 3, 4)), (n * d, c, h, w))
        layers = pooled(emit, kind, flat, windows.last())
        _, _, rows, columns = layers.shape
        stack = emit.reshape(layers, (n, d, c, rows * columns))
        first = windows.first()
        deep = Windows(*([*part, neutral] for part, neutral in zip(first.parts, (1, 1, 0, 0, 1), strict=True)))
        result = pooled(emit, kind, emit.transpose(stack, (0, 2, 1, 3)), deep)
        return emit.reshape(result, (n, c, result.shape[2], rows, columns))
    window, plane = windows.flat(), images(emit, x)
    if min(window.places((plane.shape[2], plane.shape[3]))) < 1:
        raise Refused("the window is larger than the padded image", "pad more")
    ssa = emit.add(tt.PoolOp(kind, emit.operand(plane, NHWC), window))
    return unimages(emit, emit.computed(ssa, x.dtype, NHWC), x.rank)


@lowers("MaxPool")
def max_pool(node: Node) -> Value:
    x = node.value(0)
    if node.outputs > 1:
        raise Refused("the places of the maxima have no lowering", "leave out the output Indices")
    return pooled(node.emit, "max", x, windows_of(node, x.shape[2:], node.ints("kernel_shape")))


@lowers("AveragePool")
def average_pool(node: Node) -> Value:
    """Of the taps inside the image, or of all that lie in it or its padding."""
    x = node.value(0)
    sizes, kernel = x.shape[2:], node.ints("kernel_shape")
    windows = windows_of(node, sizes, kernel)
    taps = [_counts(node, s, n) for s, n in zip(windows.along(sizes), sizes, strict=True)]
    total = np.ones((), np.float32)
    for count in taps:
        total = np.multiply.outer(total, count)
    sums = pooled(node.emit, "sum", node.emit.cast(x, F32), windows)
    shares = known((1 / total).astype(np.float32)[None, None])
    if (total == total.reshape(-1)[0]).all():
        shares = known(np.float32(1 / total.reshape(-1)[0]))
    return node.emit.map(lambda v, share: v * share, sums, shares, to=x.dtype)


def _counts(node: Node, along: Slide, size: int) -> np.ndarray:
    """How many taps count at each place of a dimension: padding that only rounding up has added never does."""
    if not node.int("count_include_pad"):
        return along.counts().astype(np.float32)
    auto = node.text("auto_pad", "NOTSET")
    after = along.after
    if node.int("ceil_mode") and auto == "NOTSET":
        rank = node.value(0).rank - 2
        pads = node.ints("pads", [0] * (2 * rank))
        after = min(after, max(pads[rank:]) if len(set(pads[rank:])) == 1 else after)
    full = replace(along, size=size + along.before + after, before=0, after=along.after - after)
    return full.counts().astype(np.float32)


@lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Value:
    x = node.value(0)
    axes = [*range(2, x.rank)]
    if node.op == "GlobalMaxPool":
        return node.emit.reduced("max", x, axes)
    return mean(node.emit, x, axes)


def mean(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """The mean over axes, which stay with size 1; summed in f32."""
    count = int(np.prod([x.shape[axis] for axis in axes]))

    def share(total: Scalar) -> Scalar:
        return total * (1 / count)

    return emit.map(share, emit.reduced("sum", emit.cast(x, F32), axes), to=x.dtype)


@lowers("LpPool", "GlobalLpPool")
def lp_pool(node: Node) -> Value:
    """The p-norm over a window."""
    from ..functions import absolute, power, square_root, whole_power

    emit, x, p = node.emit, node.value(0), node.int("p", 2)
    powers = emit.map(lambda v: whole_power(absolute(v), p), x, to=F32)
    if node.op == "GlobalLpPool":
        sums = emit.reduced("sum", powers, range(2, x.rank))
    else:
        sums = pooled(emit, "sum", powers, windows_of(node, x.shape[2:], node.ints("kernel_shape")))
    if p == 1:
        return emit.cast(sums, x.dtype)
    return emit.map(square_root if p == 2 else lambda v: power(v, v.like(1 / p)), sums, to=x.dtype)
