"""Resizing: along one dimension after the other, each a known matrix with few numbers in a row.

Which element meets which, and with what weight, is asked of ONNX's reference, which resizes the rows of an identity
matrix; so every mode, rounding and coordinate rule is its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..elements import Array
from ..emit import Emitter
from ..products import F32
from ..registry import Node, axis_of, lowers
from ..scalars import Scalar
from ..values import Refused, Value, known
from .movement import chosen

MOST_TAPS = 64
"""Elements that meet in one of the result, along a dimension."""

_ATTRIBUTES = (
    "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value", "mode", "nearest_mode",
    "antialias",
)  # fmt: skip


@lowers("Resize", "Upsample")
def resize(node: Node) -> Value:
    x = node.value(0)
    axes = [axis_of(a, x.rank) for a in node.ints("axes", range(x.rank))]
    scales, sizes = _goal(node, x, axes)
    crops = node.text("coordinate_transformation_mode") == "tf_crop_and_resize"
    roi = [float(r) for r in node.array(1, "the region")] if crops and node.has(1) else []
    if crops and node.float("extrapolation_value"):
        raise Refused("a region with an extrapolation value has no lowering", "set it to 0")
    for i, axis in enumerate(axes):
        region = [roi[i], roi[len(axes) + i]] if roi else None
        matrix = _matrix(node, x.shape[axis], scales[i], sizes[i], region)
        x = along(node, x, axis, matrix)
    return x


def _goal(node: Node, x: Value, axes: list[int]) -> tuple[list[float], list[int | None]]:
    """The scale of every axis, and its size where that is given."""
    if node.op == "Upsample":
        given = node.attributes["scales"] if "scales" in node.attributes else node.array(1, "the scales")
        return [float(s) for s in given], [None] * len(axes)
    place = 1 if node.version < 11 else 2
    if node.has(place) and node.value(place).size:
        return [float(s) for s in node.array(place, "the scales")], [None] * len(axes)
    sizes = node.numbers(3, "the sizes")
    have = [x.shape[a] for a in axes]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    scales = [s / h for s, h in zip(sizes, have, strict=True)]
    if policy == "stretch":
        return scales, [*sizes]
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [scale] * len(axes), [int(scale * h + 0.5) for h in have]


def _matrix(node: Node, size: int, scale: float, goal: int | None, roi: list[float] | None) -> Array:
    """What each element of the result takes of each that there is: [result, size]."""
    if goal is None and scale == 1 and roi is None:
        return np.eye(size)
    import onnx
    from onnx.reference import ReferenceEvaluator

    attributes: dict[str, Any] = {k: node.attributes[k] for k in _ATTRIBUTES if k in node.attributes}
    if node.version < 11:
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    names = ["x", "roi" if roi else "", "" if goal is not None else "scales", "sizes" if goal is not None else ""]
    single = onnx.helper.make_node("Resize", names, ["y"], axes=[1], **attributes)
    feeds: dict[str, Any] = {"x": np.eye(size, dtype=np.float32)}
    if roi:
        feeds["roi"] = np.array(roi, np.float32)
    if goal is not None:
        feeds["sizes"] = np.array([goal], np.int64)
    else:
        feeds["scales"] = np.array([scale], np.float32)
    evaluator = ReferenceEvaluator(single, opsets={"": 19})
    (result,) = evaluator.run(None, feeds)  # pyright: ignore
    return np.asarray(result).T


def along(node: Node, x: Value, axis: int, matrix: Array) -> Value:
    """A dimension times a known matrix [result, size] with few numbers in a row."""
    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
        return x
    taps = int((matrix != 0).sum(1).max())
    if taps > MOST_TAPS:
        raise Refused(f"{taps} elements meet in one of the result", f"resize by less at once, {MOST_TAPS} at most")
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, : max(taps, 1)]
    weights = np.take_along_axis(matrix, order, 1)
    if taps == 1 and (weights == 1).all():
        return chosen(node, x, axis, order[:, 0])
    return _weighted(node.emit, node, x, axis, order, weights)


def _weighted(emit: Emitter, node: Node, x: Value, axis: int, order: Array, weights: Array) -> Value:
    """The sum of a few elements, each with its weight."""
    shape = [len(order) if i == axis else 1 for i in range(x.rank)]
    total: Value | None = None
    for tap in range(order.shape[1]):
        part = chosen(node, x, axis, order[:, tap])
        weight = known(weights[:, tap].astype(np.float32).reshape(shape))

        def times(v: Scalar, w: Scalar) -> Scalar:
            return v.f32() * w

        if total is None:
            total = emit.map(times, part, weight, to=F32)
        else:
            total = emit.map(lambda t, v, w: t + v.f32() * w, total, part, weight, to=F32)
    assert total is not None
    return emit.cast(total, x.dtype)
