"""The patterns by which `canonicalize` simplifies windows and padding. None changes a bit of what a function computes.

What a window meets follows from its numbers (window.py), so padding that no tap meets is removed, and so are places and
taps that meet nothing else; a window with a single place is a reduction; a pad that only slices use is cut to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, TensorType, i8, i32
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from ..elements import numpy_of
from .compute import ConvOp, MapOp, PoolOp, ReduceOp, YieldOp
from .expansion import Expansion
from .movement import ConcatOp, ConstantOp, PadOp, SliceOp
from .types import MOST_PIXELS, Shape, dense, is_float, lowest, numbers, scalar_attr, shape_of, tensor_of
from .window import Slide, Window, inside

MOST_PIECES = 1 << 10
"""Taps of a dimension that are put one after the other: each takes some ops."""


def outside(op: ConvOp | PoolOp) -> IntegerAttr | FloatAttr:
    """What padding counts as: zero, or of maxima the lowest value, of the type of the result."""
    element = tensor_of(op.result).element_type
    if isinstance(op, ConvOp) or op.kind.data == "sum":
        return scalar_attr(0, element)
    return lowest(element)


# -- windows -----------------------------------------------------------------------------------------------------------


class MeetNothing(RewritePattern):
    """A convolution or a pool without what meets padding alone: places, taps, and padding that nothing meets.

    In a convolution of f16 zeros meet weights that may be infinite, so its taps stay, and what lies in the padding
    alone is the value of one such place.
    """

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ConvOp | PoolOp) or not any(op.window.pads):
            return
        images = shape_of(op.input)
        along = op.window.along((images[1], images[2]))
        zeros_matter = isinstance(op, ConvOp) and is_float(tensor_of(op.input).element_type)
        cut = [_Cut.of(slide, not zeros_matter) for slide in along]
        if all(c.nothing for c in cut):
            return
        to = Expansion(op)
        rest = self._rest(op, to, cut) if all(c.places for c in cut) else None
        rewriter.replace(op, to.ops, [self._padded(op, to, cut, rest)])

    @staticmethod
    def _rest(op: ConvOp | PoolOp, to: Expansion, cut: Sequence[_Cut]) -> SSAValue:
        """The places that meet elements."""
        images = _part(op.input, to, {1 + d: c.elements for d, c in enumerate(cut)})
        window = _window([c.slide for c in cut])
        if isinstance(op, PoolOp):
            taps = prod(window.kernel)
            fewer = taps < prod(op.window.kernel)
            return _pool(op, to, images, window, fewer and (op.kind.data == "sum" or taps == 1))
        weights = _part(op.weights, to, {d: c.taps for d, c in enumerate(cut)})
        return _conv(op, to, images, weights, window)

    @staticmethod
    def _padded(op: ConvOp | PoolOp, to: Expansion, cut: Sequence[_Cut], rest: SSAValue | None) -> SSAValue:
        """All places: what lies in the padding alone around the others, if there are any."""
        shape, value = shape_of(op.result), outside(op)
        if isinstance(op, ConvOp) and is_float(tensor_of(op.input).element_type):
            return _around_with_zeros(op, to, cut, rest)
        if rest is None:
            return _splat(value, shape, to)
        low, high = [0] * 4, [0] * 4
        for d, c in enumerate(cut):
            low[1 + d], high[1 + d] = c.places.start, shape[1 + d] - c.places.stop
        return to.add(PadOp(rest, low, high, value)) if any(low) or any(high) else rest


@dataclass(frozen=True)
class _Cut:
    """What of a window along a dimension meets elements."""

    places: range
    taps: range
    elements: range
    """The elements that it meets, and those between them."""
    slide: Slide
    """The window of these taps on these elements, with these places."""
    nothing: bool
    """Whether there is nothing to cut off."""

    @staticmethod
    def of(slide: Slide, taps_go: bool) -> _Cut:
        places = slide.met_places
        if not places:
            return _Cut(places, range(0), range(0), slide, False)
        taps = slide.met_taps if taps_go else range(slide.taps)
        first, end = slide.element(places.start, taps.start), slide.element(places[-1], taps[-1]) + 1
        same = len(places) == slide.places and len(taps) == slide.taps
        elements = range(slide.size) if same else range(max(0, first), min(end, slide.size))
        before, after = max(0, -first), max(0, end - slide.size)
        rest = Slide(len(elements), len(taps), slide.stride, slide.dilation, before, after)
        return _Cut(places, taps, elements, rest, rest == slide)


def _of_zeros(op: ConvOp, to: Expansion) -> SSAValue:
    """A place of a convolution that lies in the padding alone: [1, 1, 1, O]."""
    rows, columns = op.window.kernel
    zeros = _splat(scalar_attr(0, tensor_of(op.input).element_type), (1, rows, columns, shape_of(op.input)[3]), to)
    window = Window((rows, columns), (1, 1), (0, 0, 0, 0), (1, 1))
    return _conv(op, to, zeros, op.weights, window)


def _around_with_zeros(op: ConvOp, to: Expansion, cut: Sequence[_Cut], rest: SSAValue | None) -> SSAValue:
    """All places of a convolution: around those that meet elements, if there are any, the value of zeros."""
    shape = shape_of(op.result)
    if rest is None:
        return _repeated(_of_zeros(op, to), shape, to)
    if shape_of(rest) == shape:
        return rest
    value = _of_zeros(op, to)
    for d, c in ((2, cut[1]), (1, cut[0])):
        here = shape_of(rest)
        counts = c.places.start, shape[d] - c.places.stop
        low, high = ([_repeated(value, (*here[:d], n, *here[d + 1 :]), to)] if n else [] for n in counts)
        if low or high:
            rest = to.add(ConcatOp(d, [*low, rest, *high]))
    return rest


class OneTap(RewritePattern):
    """A pool of one tap along a dimension is a slice there, and of one tap at all the image."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PoolOp, rewriter: PatternRewriter) -> None:
        images = shape_of(op.input)
        along = op.window.along((images[1], images[2]))
        one = [slide.taps == 1 and not slide.padded for slide in along]
        if not any(n and s.stride > 1 for n, s in zip(one, along, strict=True)) and not all(one):
            return
        to = Expansion(op)
        parts = {1 + d: range(0, (s.places - 1) * s.stride + 1, s.stride) for d, s in enumerate(along) if one[d]}
        value = _part(op.input, to, parts)
        if not all(one):
            idle = [replace(s, size=s.places, stride=1) if n else s for n, s in zip(one, along, strict=True)]
            value = _pool(op, to, value, _window(idle))
        elif tensor_of(value).element_type != tensor_of(op.result).element_type:
            value = _widened(value, op.result, to)
        rewriter.replace(op, to.ops, [value])


class OnePlace(RewritePattern):
    """A pool with a single place along a dimension is a reduction of what its taps meet there.

    Floating-point sums have an order, in which the dimensions do not come apart: where one has several taps, the other
    has one place too. And a window of i8 that slides in the other dimension sums on the MXM at once.
    """

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PoolOp, rewriter: PatternRewriter) -> None:
        images, kind = shape_of(op.input), op.kind.data
        of, element = tensor_of(op.input).element_type, tensor_of(op.result).element_type
        along = op.window.along((images[1], images[2]))
        single = [s.places == 1 and not s.idle for s in along]
        apart = not (kind == "sum" and (is_float(element) or (of, element) == (i8, i32)))
        if not any(single) or not (apart or all(n or s.idle for n, s in zip(single, along, strict=True))):
            return
        to = Expansion(op)
        taps = [s.taps_at(0) for s in along]
        if not all(t for t, n in zip(taps, single, strict=True) if n):
            return  # the place meets nothing: see MeetNothing
        parts: dict[int, range] = {}
        for d, (slide, met) in enumerate(zip(along, taps, strict=True)):
            if single[d]:
                parts[1 + d] = range(slide.element(0, met[0]), slide.element(0, met[-1]) + 1, slide.dilation)
        value = to.add(ReduceOp(kind, _part(op.input, to, parts), [*parts], keep=True, to=element))
        padded = any(n and len(t) < s.taps for t, s, n in zip(taps, along, single, strict=True))
        if not all(n or s.idle for n, s in zip(single, along, strict=True)):
            rest = [Slide(1, 1, 1, 1, 0, 0) if n else s for n, s in zip(single, along, strict=True)]
            value = to.add(PoolOp(kind, value, _window(rest), element))
        joined = prod(len(t) for t, n in zip(taps, single, strict=True) if n)
        if padded and (kind == "sum" or joined == 1):
            value = _met_padding(kind, value, to)
        rewriter.replace(op, to.ops, [value])


def _met_padding(kind: str, value: SSAValue, to: Expansion) -> SSAValue:
    """A sum or a maximum of floats with a number of padding more: a sum is no -0 then, and a NaN the canonical one, as
    that of a maximum of several numbers is anyway."""
    element = tensor_of(value).element_type
    if not is_float(element):
        return value
    block = Block(arg_types=[element])
    x = block.args[0]
    if kind == "sum":
        zero = arith.ConstantOp(scalar_attr(0, element))
        block.add_ops([zero, step := arith.AddfOp(x, zero.result)])
    else:
        block.add_op(step := arith.MaximumfOp(x, x))
    block.add_op(YieldOp(step.result))
    return to.add(MapOp([value], Region(block), tensor_of(value)))


class CompactPadding(RewritePattern):
    """Where there is more padding than anything meets, the pixels that each tap meets are put one after the other."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ConvOp | PoolOp) or (isinstance(op, PoolOp) and op.kind.data == "max"):
            return
        images = shape_of(op.input)
        along = op.window.along((images[1], images[2]))
        much = [s.before + s.after > s.size + s.taps * s.places and s.taps <= MOST_PIECES for s in along]
        if not any(much):
            return
        to = Expansion(op)
        value, window = op.input, list(along)
        for d, slide in enumerate(along):
            if much[d]:
                value = self._compact(value, 1 + d, slide, to)
                window[d] = Slide(slide.taps * slide.places, slide.taps, 1, slide.places, 0, 0)
        if isinstance(op, PoolOp):
            rewriter.replace(op, to.ops, [_pool(op, to, value, _window(window))])
        else:
            rewriter.replace(op, to.ops, [_conv(op, to, value, op.weights, _window(window))])

    @staticmethod
    def _compact(value: SSAValue, dim: int, slide: Slide, to: Expansion) -> SSAValue:
        """What each tap meets at all places, tap after tap."""
        zero, shape = scalar_attr(0, tensor_of(value).element_type), shape_of(value)
        pieces: list[SSAValue] = []
        for tap in range(slide.taps):
            places = slide.places_of(tap)
            if not places:
                pieces.append(_splat(zero, (*shape[:dim], slide.places, *shape[dim + 1 :]), to))
                continue
            first, last = slide.element(places[0], tap), slide.element(places[-1], tap)
            met = _part(value, to, {dim: range(first, last + 1, slide.stride)})
            low, high = [0] * 4, [0] * 4
            low[dim], high[dim] = places.start, slide.places - places.stop
            pieces.append(to.add(PadOp(met, low, high, zero)) if any(low) or any(high) else met)
        return to.add(ConcatOp(dim, pieces))


class AbsorbPad(RewritePattern):
    """A window on images with the padding that it has anyway takes them as they are."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if not isinstance(op, ConvOp | PoolOp) or not isinstance(pad := op.input.owner, PadOp):
            return
        low, high = pad.low.get_values(), pad.high.get_values()
        around = outside(op) if isinstance(op, PoolOp) else scalar_attr(0, tensor_of(pad.input).element_type)
        if any((low[0], high[0], low[3], high[3])) or not _same_number(pad.value, around):
            return
        top, left, bottom, right = op.window.pads
        pads = (top + low[1], left + low[2], bottom + high[1], right + high[2])
        if max(pads) > MOST_PIXELS:
            return
        window = replace(op.window, pads=pads)
        to = Expansion(op)
        if isinstance(op, PoolOp):
            rewriter.replace(op, to.ops, [_pool(op, to, pad.input, window)])
        else:
            rewriter.replace(op, to.ops, [_conv(op, to, pad.input, op.weights, window)])


def _same_number(a: IntegerAttr | FloatAttr, b: IntegerAttr | FloatAttr) -> bool:
    """Whether two numbers have the same value, and zeros the same sign."""
    one, other = np.float64(a.value.data), np.float64(b.value.data)
    return bool(one == other and np.signbit(one) == np.signbit(other))


# -- padding -----------------------------------------------------------------------------------------------------------


class SliceOfPad(RewritePattern):
    """Padding that slices alone look at, and not at all of it, becomes padding of what each of them shows."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PadOp, rewriter: PatternRewriter) -> None:
        slices = [use.operation for use in op.result.uses]
        shown = [prod(shape_of(s.result)) for s in slices if isinstance(s, SliceOp)]
        if not slices or len(shown) < len(slices) or sum(shown) >= prod(shape_of(op.result)):
            return
        for part in slices:
            assert isinstance(part, SliceOp)
            to = Expansion(part)
            rewriter.replace(part, to.ops, [self._shown(op, part, to)])

    @staticmethod
    def _shown(op: PadOp, part: SliceOp, to: Expansion) -> SSAValue:
        """What a slice shows: of each dimension the elements of the tensor, with padding around them."""
        shape, low, high, elements = shape_of(part.result), list[int](), list[int](), dict[int, range]()
        offsets, strides = part.offsets.get_values(), part.strides.get_values()
        for d, (offset, stride, before) in enumerate(zip(offsets, strides, op.low.get_values(), strict=True)):
            first = offset - before
            met = inside(shape_of(op.input)[d], first, stride, shape[d])
            if not met:
                return _splat(op.value, shape, to)
            elements[d] = range(first + met[0] * stride, first + met[-1] * stride + 1, stride)
            low.append(met.start)
            high.append(shape[d] - met.stop)
        value = _part(op.input, to, elements)
        return to.add(PadOp(value, low, high, op.value)) if any(low) or any(high) else value


# -- what they are made of ---------------------------------------------------------------------------------------------


def _window(along: Sequence[Slide]) -> Window:
    rows, columns = along
    return Window(
        (rows.taps, columns.taps),
        (rows.stride, columns.stride),
        (rows.before, columns.before, rows.after, columns.after),
        (rows.dilation, columns.dilation),
    )


def _pool(op: PoolOp, to: Expansion, images: SSAValue, window: Window, met_padding: bool = False) -> SSAValue:
    """The same of other images; `met_padding` says that every place met padding which `window` omits."""
    value = to.add(PoolOp(op.kind.data, images, window, tensor_of(op.result).element_type))
    return _met_padding(op.kind.data, value, to) if met_padding else value


def _conv(op: ConvOp, to: Expansion, images: SSAValue, weights: SSAValue, window: Window) -> SSAValue:
    """The same of other images and weights."""
    n, height, width, _ = shape_of(images)
    shape = (n, *window.places((height, width)), shape_of(weights)[3])
    properties = {
        **op.properties,
        "strides": numbers(window.strides),
        "pads": numbers(window.pads),
        "dilations": numbers(window.dilations),
    }
    type_ = TensorType(tensor_of(op.result).element_type, shape)
    return to.add(ConvOp(operands=[images, weights], result_types=[type_], properties=properties))


def _part(value: SSAValue, to: Expansion, parts: dict[int, range]) -> SSAValue:
    """The elements of some dimensions that ranges name."""
    ranges = [parts.get(d, range(n)) for d, n in enumerate(shape_of(value))]
    if all(r == range(n) for r, n in zip(ranges, shape_of(value), strict=True)):
        return value
    return to.add(SliceOp(value, [r.start for r in ranges], [len(r) for r in ranges], [r.step for r in ranges]))


def _splat(value: IntegerAttr | FloatAttr, shape: Shape, to: Expansion) -> SSAValue:
    """A tensor of one number."""
    type_ = TensorType(value.type, [1] * len(shape))
    one = np.full([1] * len(shape), value.value.data, numpy_of(value.type))
    return _repeated(to.add(ConstantOp(dense(type_, one))), shape, to)


def _repeated(value: SSAValue, shape: Shape, to: Expansion) -> SSAValue:
    """A tensor with size 1 where it is not of `shape`, as often as it takes to be."""
    if shape_of(value) == shape:
        return value
    block = Block(arg_types=[tensor_of(value).element_type])
    block.add_op(YieldOp(block.args[0]))
    return to.add(MapOp([value], Region(block), TensorType(tensor_of(value).element_type, shape)))


def _widened(value: SSAValue, like: SSAValue, to: Expansion) -> SSAValue:
    """Integers in the wider type of another tensor."""
    block = Block(arg_types=[tensor_of(value).element_type])
    wide = arith.ExtSIOp(block.args[0], tensor_of(like).element_type)  # pyright: ignore[reportArgumentType]
    block.add_ops([wide, YieldOp(wide.result)])
    return to.add(MapOp([value], Region(block), TensorType(tensor_of(like).element_type, shape_of(value))))


PATTERNS: tuple[RewritePattern, ...] = (
    MeetNothing(),
    OneTap(),
    OnePlace(),
    AbsorbPad(),
    CompactPadding(),
    SliceOfPad(),
)
"""All patterns; each looks at the ops that it is for."""
