"""What is known is computed while the model is imported: ONNX's own reference runs a node all of whose inputs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .registry import Node
from .values import Item, Refused, Value, known

if TYPE_CHECKING:
    import onnx

MOST = 1 << 28
"""Bytes of a result that is computed while the model is imported."""

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
"""What gives something else every time."""


def fold(proto: onnx.NodeProto, node: Node, opsets: dict[str, int]) -> list[Item] | None:
    """The results of a node that needs no chip, or None."""
    if node.op in ("Constant", "Shape", "Size") and not node.domain:
        return [_ALWAYS[node.op](node)]
    inputs = node.inputs
    if node.op in _RANDOM or not all(_is_known(item) for item in inputs) or _has_graph(proto):
        return None
    if not inputs or any(isinstance(item, list) for item in inputs) or (node.domain and node.domain != "ai.onnx.ml"):
        return None
    if node.op in ("ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Pad") and _huge(node):
        raise Refused(f"its result has more than {MOST} bytes", "compute it from smaller tensors")
    return _run(proto, node, opsets)


def _is_known(item: Item) -> bool:
    return item is None or (isinstance(item, Value) and item.array is not None)


def _has_graph(proto: onnx.NodeProto) -> bool:
    return any(a.HasField("g") or a.graphs for a in proto.attribute)


def _huge(node: Node) -> bool:
    """Whether the sizes that a node is given make something that does not fit."""
    sizes = node.inputs[0] if node.op == "ConstantOfShape" else node.inputs[1] if len(node.inputs) > 1 else None
    if not isinstance(sizes, Value) or sizes.array is None or sizes.array.dtype.kind not in "iu":
        return False
    if node.op == "Pad":
        return bool(np.abs(sizes.array).sum() > MOST)
    return node.op != "Range" and float(np.prod(np.maximum(sizes.array.astype(np.float64), 1))) > MOST


def _run(proto: onnx.NodeProto, node: Node, opsets: dict[str, int]) -> list[Item] | None:
    """The results by ONNX's reference evaluator; None where it has no such op, or refuses."""
    from onnx.reference import ReferenceEvaluator

    from .importer import resolved

    names = [f"i{k}" if item is not None else "" for k, item in enumerate(node.inputs)]
    single = resolved(proto, node)
    del single.input[:]
    single.input.extend(names)
    feeds = {n: v.array for n, v in zip(names, node.inputs, strict=True) if n and isinstance(v, Value)}
    try:
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(single, opsets={**opsets, node.domain: node.version})
            results = cast("list[Any]", evaluator.run(None, feeds))  # pyright: ignore[reportUnknownMemberType]
    except Exception:  # of an evaluator that has other limits than we: the op is lowered instead, or refused by name
        return None
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    return [known(r) for r in results]


def _constant(node: Node) -> Value:
    for name, dtype in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32)):
        if name in node.attributes:
            return known(np.array(node.attributes[name], dtype))
    if "value_floats" in node.attributes:
        return known(np.array(node.attributes["value_floats"], np.float32))
    if "value" in node.attributes:
        return known(node.attributes["value"])
    for name in ("value_string", "value_strings"):
        if name in node.attributes:
            return known(np.array(node.attributes[name], object))
    raise Refused(f"a constant with {', '.join(node.attributes) or 'no value'} has no lowering", "make it dense")


def _shape(node: Node) -> Value:
    shape = node.value(0).shape
    start, end = node.int("start", 0), node.int("end", len(shape)) if "end" in node.attributes else None
    return known(np.array(shape[start:end], np.int64))


def _size(node: Node) -> Value:
    return known(np.array(node.value(0).size, np.int64))


_ALWAYS = {
    "Constant": _constant,
    "Shape": _shape,
    "Size": _size,
}
"""What needs no values of tensors."""
