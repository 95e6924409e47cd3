"""cut-runs: runs of vectors that are cut where they go from one group of slices to another.

Streams flow one way, so a run of visits joins the groups of slices that it meets to one hemisphere (buffer_places.py).
Where these are more than a hemisphere has, or than it has words for, this pass makes of every rigid body several, each
with some of its vectors, none of which meets two groups of a buffer. That takes time, since each of them starts by
itself, so tsp-compile does it only where there was no room for the runs as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ....dialects import tsp_stream as ts
from ....dialects.locations import located
from ....dialects.machine.layout import AccessPattern
from ....dialects.target_attr import target_of
from ..analysis.clusters import clusters, with_parts
from ..analysis.timing import writes

MOST_PIECES = 256
"""Of a rigid body. One with more goes to and fro between groups, and stays whole."""


@dataclass(frozen=True)
class CutRunsPass(ModulePass):
    """Cuts every rigid body so that no run of its visits meets two groups of slices."""

    name = "cut-runs"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for cluster in clusters(op):
            if is_divisible(cluster):
                pieces = _pieces(cluster)
                if 1 < len(pieces) <= MOST_PIECES:
                    _divide(cluster, pieces)


def is_divisible(cluster: Sequence[ts.TimedOp]) -> bool:
    """Whether each vector of a rigid body has nothing to do with the others: not so where sums are made of several, or
    weights meet many, where chips keep time by them, and where words are read that the body itself writes."""
    kinds = ts.ReadOp | ts.WriteOp | ts.GatherOp | ts.ScatterOp | ts.VxmOp | ts.LaneOp
    if not all(isinstance(op, kinds) and op.at is None for op in cluster):
        return False
    visits = [op for op in cluster if isinstance(op, ts.AccessOp)]
    counts = {cast(ts.StreamType, op.stream.type).vectors for op in visits}
    written = {op.buffer for op in visits if writes(op)}
    return len(counts) == 1 and not any(op.buffer in written for op in visits if not writes(op))


def _pieces(cluster: Sequence[ts.TimedOp]) -> list[tuple[int, int]]:
    """The vectors [first, end) of each piece: no visits of a piece meet two groups, and all are patterns."""
    patterns: list[AccessPattern] = []
    edges: set[int] = set()
    for op in cluster:
        if isinstance(op, ts.AccessOp):
            patterns.append(op.words.data)
            edges |= {*_edges(op)}
        if isinstance(op, ts.ReadOp) and op.cycles is not None:
            patterns.append(op.cycles.data)
    if not 0 < len(edges) < MOST_PIECES:
        return []
    return [*regular_pieces(patterns, sorted(edges))]


def _edges(op: ts.AccessOp) -> list[int]:
    """The numbers of the visits that meet another group than those before them."""
    buffer = op.buffer.owner
    if not isinstance(buffer, ts.BufferOp):
        return []
    place = buffer.place.data if buffer.place is not None else buffer.wanted
    place = place if place.slices else place.cut(buffer.type.layout.depth, target_of(op).chip.words)
    if place.groups == 1:
        return []
    parts = np.searchsorted(place.starts, op.words.data.words(), side="right") - 1
    groups = np.array([place.owner(part) for part in range(len(place.starts))])[parts]
    return [int(at) + 1 for at in np.flatnonzero(groups[1:] != groups[:-1])]


def regular_pieces(patterns: Sequence[AccessPattern], edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Patterns of as many visits each, cut at some of these, and further so that each piece is a pattern in all."""
    for at, end in pairwise((0, *edges, patterns[0].count)):
        while at < end:
            size, before = end - at, 0
            while size != before:
                before = size
                size = min(pattern.regular(at, size) for pattern in patterns)
            yield at, at + size
            at += size


def _divide(cluster: Sequence[ts.TimedOp], pieces: Sequence[tuple[int, int]]) -> None:
    """Puts the pieces of every op in its place."""
    values: list[dict[SSAValue, SSAValue]] = [{} for _ in pieces]
    ops = [*with_parts(cluster)]
    for op in ops:
        for piece, known in zip(pieces, values, strict=True):
            made = located(_piece_of(op, piece, known), op)
            Rewriter.insert_op(made, InsertPoint.before(op))
            known |= dict(zip(op.results, made.results, strict=True))
    for op in reversed(ops):
        op.detach()
        op.erase()


def _piece_of(op: Operation, piece: tuple[int, int], values: dict[SSAValue, SSAValue]) -> Operation:
    """An op for some of its vectors, which takes these values in place of others."""
    first, end = piece
    properties = dict(op.properties)
    if isinstance(op, ts.AccessOp):
        properties["words"] = ts.PatternAttr(op.words.data.part(first, end - first))
    if isinstance(op, ts.ReadOp) and op.cycles is not None:
        cycles = op.cycles.data.part(first, end - first)
        properties["cycles"] = ts.PatternAttr(AccessPattern(0, cycles.levels))
    types = [
        ts.StreamType.of((end - first, *type_.shape[1:]), type_.element_type)
        for type_ in (cast(ts.StreamType, result.type) for result in op.results)
    ]
    return type(op).create(
        operands=[values.get(value, value) for value in op.operands],
        result_types=types,
        properties=properties,
        attributes=op.attributes,
        regions=[region.clone() for region in op.regions],
    )
