"""Branches and loops. A branch that is known is taken, of others both are computed; loops are written out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..emit import Emitter
from ..registry import Node, axis_of, lowers
from ..scalars import where
from ..values import Item, Refused, Value, known

MOST_TURNS = 4096
"""Of a loop."""


@lowers("If")
def if_(node: Node) -> tuple[Item, ...]:
    condition = node.value(0)
    if condition.array is not None:
        return tuple(node.body("then_branch" if condition.array.reshape(-1)[0] else "else_branch"))
    return tuple(
        _either(node.emit, condition, a, b)
        for a, b in zip(node.body("then_branch"), node.body("else_branch"), strict=True)
    )


def _either(emit: Emitter, condition: Value, a: Item, b: Item) -> Item:
    """What both branches give, and the one that is taken selects."""
    if not isinstance(a, Value) or not isinstance(b, Value) or a.shape != b.shape or a.dtype != b.dtype:
        raise Refused(
            "its condition is computed and its branches give tensors of different shapes or no tensors",
            "give the value of the condition when the model is compiled",
            [*condition.inputs],
        )
    chosen = emit.map(where, condition, a, b, to=a.dtype)
    return emit.reshape(chosen, a.shape)


@lowers("Loop")
def loop(node: Node) -> tuple[Item, ...]:
    """As often as is known: the condition must be known in every turn."""
    trips, condition = node.optional(0), node.optional(1)
    if trips is not None and trips.array is None:
        node.array(0, "the number of turns")
    count = int(trips.array.reshape(-1)[0]) if trips is not None and trips.array is not None else None
    going = True if condition is None else bool(node.array(1, "the condition").reshape(-1)[0])
    state: list[Item] = node.inputs[2:]
    scanned: list[list[Value]] = []
    turn = 0
    while going and (count is None or turn < count):
        if turn >= MOST_TURNS:
            raise Refused(f"it takes more than {MOST_TURNS} turns", "make it shorter")
        again, *results = node.body("body", [known(np.array(turn)), known(np.array(True)), *state])
        state, rest = results[: len(state)], results[len(state) :]
        scanned = scanned or [[] for _ in rest]
        for row, item in zip(scanned, rest, strict=True):
            row.append(_tensor(item))
        if not isinstance(again, Value) or again.array is None:
            depends = [*again.inputs] if isinstance(again, Value) else []
            raise Refused("its condition is computed in the loop", "give the number of turns", depends)
        going = bool(again.array.reshape(-1)[0])
        turn += 1
    if not turn:
        scanned = [[] for _ in range(node.outputs - len(state))]
    return (*state, *(stacked(node.emit, row) for row in scanned))


def _tensor(item: Item) -> Value:
    if not isinstance(item, Value):
        raise Refused("it gives a sequence in every turn", "give tensors")
    return item


def stacked(emit: Emitter, rows: Sequence[Value], axis: int = 0) -> Value:
    """Tensors as the parts of one, along a dimension more."""
    if not rows:
        return known(np.zeros((0,), np.float32))
    return emit.concat([emit.reshape(r, (*r.shape[:axis], 1, *r.shape[axis:])) for r in rows], axis)


@lowers("Scan")
def scan(node: Node) -> tuple[Item, ...]:
    """Over the elements of a dimension, one after the other."""
    items = node.inputs if node.version >= 9 else node.inputs[1:]
    if node.version < 9:
        return _batched_scan(node, [_tensor(item) for item in items])
    count = node.int("num_scan_inputs")
    state, scanned = items[: len(items) - count], [_tensor(item) for item in items[len(items) - count :]]
    return tuple(_scan(node, state, scanned))


def _batched_scan(node: Node, items: Sequence[Value]) -> tuple[Item, ...]:
    """Before version 9: for each of a batch."""
    count, emit = node.int("num_scan_inputs"), node.emit
    results: list[list[Value]] = []
    for i in range(items[0].shape[0]):
        own = [emit.reshape(emit.slice(v, 0, i, 1), v.shape[1:]) for v in items]
        results.append([_tensor(r) for r in _scan(node, own[: len(own) - count], own[len(own) - count :])])
    return tuple(stacked(emit, row) for row in zip(*results, strict=True))


def _scan(node: Node, state: Sequence[Item], scanned: Sequence[Value]) -> list[Item]:
    emit, count, kept = node.emit, len(scanned), len(state)
    axes = [axis_of(a, v.rank) for a, v in zip(node.ints("scan_input_axes", [0] * count), scanned, strict=True)]
    backwards = node.ints("scan_input_directions" if node.version >= 9 else "directions", [0] * count)
    length = scanned[0].shape[axes[0]]
    rows: list[list[Value]] = []
    for turn in range(length):
        parts: list[Item] = []
        for v, axis, back in zip(scanned, axes, backwards, strict=True):
            one = emit.slice(v, axis, length - 1 - turn if back else turn, 1)
            parts.append(emit.reshape(one, (*v.shape[:axis], *v.shape[axis + 1 :])))
        results = node.body("body", [*state, *parts])
        state = results[:kept]
        rows = rows or [[] for _ in results[kept:]]
        for row, item in zip(rows, results[kept:], strict=True):
            row.append(_tensor(item))
    into = node.ints("scan_output_axes", [0] * len(rows))
    turned = node.ints("scan_output_directions", [0] * len(rows))
    outputs = [
        stacked(emit, row[::-1] if back else row, axis_of(axis, row[0].rank + 1))
        for row, axis, back in zip(rows, into, turned, strict=True)
    ]
    return [*state, *outputs]


# -- sequences, whose tensors are known by number --------------------------------------------------------------


def sequence(node: Node, i: int) -> list[Value]:
    item = node.inputs[i]
    if not isinstance(item, list):
        raise Refused(f"input {i} is no sequence")
    return item


@lowers("SequenceConstruct")
def construct(node: Node) -> tuple[Item, ...]:
    return (node.tensors(),)


@lowers("SequenceEmpty")
def empty(node: Node) -> tuple[Item, ...]:
    return ([],)


@lowers("SequenceAt")
def at(node: Node) -> Value:
    return sequence(node, 0)[int(node.array(1, "the place").reshape(-1)[0])]


@lowers("SequenceLength")
def length(node: Node) -> Value:
    return known(np.array(len(sequence(node, 0))))


@lowers("SequenceInsert")
def insert(node: Node) -> tuple[Item, ...]:
    items = [*sequence(node, 0)]
    place = int(node.array(2, "the place").reshape(-1)[0]) if node.has(2) else len(items)
    items.insert(place if place >= 0 else len(items) + place, node.value(1))
    return (items,)


@lowers("SequenceErase")
def erase(node: Node) -> tuple[Item, ...]:
    items = [*sequence(node, 0)]
    del items[int(node.array(1, "the place").reshape(-1)[0]) if node.has(1) else -1]
    return (items,)


@lowers("ConcatFromSequence")
def concat_from(node: Node) -> Value:
    items = sequence(node, 0)
    if node.int("new_axis"):
        return stacked(node.emit, items, axis_of(node.int("axis"), items[0].rank + 1))
    return node.emit.concat(items, node.axis(0, items[0].rank))


@lowers("SplitToSequence")
def split_to(node: Node) -> tuple[Item, ...]:
    from .movement import pieces

    x = node.value(0)
    axis = node.axis(0, x.rank)
    size = x.shape[axis]
    sizes = node.array(1, "the sizes") if node.has(1) else None
    if sizes is None:
        parts = pieces(node, x, axis, [1] * size)
        if not node.int("keepdims", 1):
            parts = [node.emit.reshape(p, (*x.shape[:axis], *x.shape[axis + 1 :])) for p in parts]
        return (parts,)
    if not sizes.ndim:
        each = int(sizes)
        return (pieces(node, x, axis, [min(each, size - i) for i in range(0, size, each)]),)
    return (pieces(node, x, axis, [int(n) for n in sizes]),)


@lowers("Optional")
def optional(node: Node) -> tuple[Item, ...]:
    return (node.inputs[0] if node.inputs else None,)


@lowers("OptionalHasElement")
def has_element(node: Node) -> Value:
    return known(np.array(bool(node.inputs) and node.inputs[0] is not None))


@lowers("OptionalGetElement")
def get_element(node: Node) -> tuple[Item, ...]:
    if node.inputs[0] is None:
        raise Refused("the optional is empty")
    return (node.inputs[0],)
