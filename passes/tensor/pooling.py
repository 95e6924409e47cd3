"""Pooling: sums over windows on the MXM, maxima on the VXM."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith
from xdsl.dialects.builtin import Float16Type, Float32Type
from xdsl.ir import Attribute, Block, Region, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects import tsp_tensor
from .buffers import Buffers, Destination, Unsupported
from .demand import MOST_COPIES
from .elementwise import Taps, emit_window_max, scratch_like
from .views import Tensor

DestinationOf = Callable[[SSAValue, int], Destination]


def emit_pool(op: tsp_tensor.PoolOp, tensor: Tensor, to: Buffers, destination: DestinationOf, chip: int) -> Tensor:
    """Emits a window that slides over images. Raises Unsupported."""
    if op.kind.data != "max":
        raise Unsupported("sums over windows have no lowering yet")
    window = op.window
    n, height, width, channels = tensor.shape
    places = window.places((height, width))
    top, left, _, _ = window.pads

    def largest(count: int) -> Region:
        return max_region(tensor.element, count)

    along = Taps(window.kernel[1], window.strides[1], window.dilations[1], left, places[1])
    down = Taps(window.kernel[0], window.strides[0], window.dilations[0], top, places[0])
    copies = min(down.count, MOST_COPIES)
    between = scratch_like(tensor, (n, height, places[1], channels), to, chip, copies)
    rows = emit_window_max(largest, tensor, 2, along, to, between, chip)
    return emit_window_max(largest, rows, 1, down, to, destination(op.result, chip), chip)


def max_region(element: Attribute, count: int) -> Region:
    """The ALU region of the maximum of `count` operands, as a tree."""
    kind = arith.MaximumfOp if isinstance(element, Float16Type | Float32Type) else arith.MaxSIOp
    block = Block(arg_types=[element] * count)
    terms: list[SSAValue] = list(block.args)
    while len(terms) > 1:
        pairs = [kind(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        block.add_ops(pairs)
        terms = [*(p.result for p in pairs), *terms[len(pairs) * 2 :]]
    block.add_op(ts.YieldOp(terms[0]))
    return Region(block)
