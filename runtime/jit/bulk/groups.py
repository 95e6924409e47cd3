"""Groups: issues whose vectors flow into each other one to one, so that a loop over them can do all at once.

Records are cut into segments until every edge between two of them joins whole segments: wherever a consumer's source
changes, an entry does not go on as before, or a vector meets other weights, and at the same place in all that is joined
to it. Segments that are joined are a group; every vector of a group is one round of its loop. Words of SRAM cut
nothing: those of a segment may lie anywhere, and come from several reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....dialects.machine.effects import Effect
from ....dialects.machine.intervals import Ints, distinct, join, ranges
from ....dialects.programs.def_use import Edges
from ....dialects.programs.issues import Issues
from .irregular import RESULTS, Irregular, limit_number
from .match import Flow

MOST_SEGMENTS = 200_000
"""Beyond it, planning takes longer than cycle mode does."""

_ROUNDS = 100
"""Rounds in which cuts are carried from segment to segment; only ALUs that feed each other in a circle need more."""


@dataclass(frozen=True)
class Segments:
    """Cut issues."""

    issues: Issues
    flow: Flow
    """Its edges and entries cut so that each has its ends in one segment; edges by consuming segment, then by slot."""
    first: Ints
    """The first issue of each segment."""
    count: Ints
    group: Ints
    """The group of each segment, by the number of one of its segments."""

    def of(self, issue: Ints) -> Ints:
        """The segments of issues."""
        return np.searchsorted(self.first, issue, "right") - 1

    @cached_property
    def kind(self) -> Ints:
        return self.issues.kind_of(self.first)

    @cached_property
    def time(self) -> Ints:
        """The cycle of each segment's first dispatch."""
        return self.issues.time_of(self.first)

    def chunks(self, groups: Ints, size: int) -> Ints:
        """Where to cut so that these groups have at most `size` vectors."""
        inside = np.isin(self.group, groups)
        number = np.maximum(self.count[inside] - 1, 0) // size
        limit_number(number, MOST_SEGMENTS)
        return np.repeat(self.first[inside], number) + size * (1 + ranges(0 * number, number))


_JOINED = (Effect.COMPUTE, Effect.WRITE, Effect.ENTER, Effect.ENTER_PAIR, Effect.GATHER, Effect.SCATTER, Effect.MOVE)
"""What takes results one by one. Rows of weights do not: an array takes them all."""

_MOVED = (Effect.READ, Effect.LOAD, Effect.ACCUMULATE, Effect.GATHER, Effect.SCATTER)
"""Whose segments have one progression of values."""


class Cutter:
    """Cuts a flow into segments."""

    def __init__(self, issues: Issues, flow: Flow):
        self.issues, self.flow, edges = issues, flow, flow.edges
        active = np.isin(issues.kind_of(edges.p), RESULTS)
        self.joints = Edges.concatenate([edges.take(active & np.isin(issues.kind_of(edges.c), _JOINED)), flow.sums])
        """The edges between segments of one group."""
        masked = edges.tiles < issues.spec.tiles
        ends = [x for e in (edges.take(active | masked), flow.sums, flow.entries) for x in (e.c, e.c + e.count)]
        ends += [x for e in (edges.take(active), flow.sums) for x in (e.p, e.p + e.count)]
        moved = issues.moves.first[np.isin(issues.kind[issues.moves.record], _MOVED)]
        self.cuts = distinct(join([issues.offsets, moved, self._same_entry(), self._fed_back(), *ends]))

    def _same_entry(self) -> Ints:
        """Cuts in runs of `acc` that stay on one entry: between all additions, and before the last sums that are set,
        where additions may follow."""
        issues, runs = self.issues, self.issues.moves
        cuts: list[Ints] = []
        added = {(s.chip, s.queue.unit) for s in issues.shapes if s.kind == Effect.ACCUMULATE and s.value("mode")}
        still = (runs.step == 0) & (runs.count > 1) & (issues.kind[runs.record] == Effect.ACCUMULATE)
        for i in np.flatnonzero(still).tolist():
            shape, first = issues.shape_of(int(runs.record[i])), int(runs.first[i])
            end = first + int(runs.count[i])
            if (shape.chip, shape.queue.unit) in added:
                limit_number(runs.count[[i]], MOST_SEGMENTS)
                cuts.append(np.arange(first if shape.value("mode") else end - 1, end))
        return join(cuts)

    def _fed_back(self) -> Ints:
        """Cuts in records that take their own results, as running sums do: as far apart as a result goes back, from the
        first that is taken on, and back from the last."""
        joints, record_of = self.joints, self.issues.record_of
        back = joints.take(record_of(joints.p) == record_of(joints.c))
        step = back.c - back.p
        number = -(-back.count // step)
        limit_number(number, MOST_SEGMENTS)
        moved = ranges(0 * number, number) * np.repeat(step, number)
        return np.append(np.repeat(back.c, number) + moved, np.repeat(back.p + back.count, number) - moved)

    def cut(self, more: Ints) -> Segments:
        """The segments, with some cuts added for good. Raises Irregular where there would be too many."""
        self.cuts = distinct(np.append(self.cuts, more))
        for _ in range(_ROUNDS):
            if len(self.cuts) > MOST_SEGMENTS:
                raise Irregular("too many segments")
            to_p, to_c = self.joints.split(self.cuts), self.joints.split(self.cuts, by_producer=True)
            cuts = distinct(join([self.cuts, to_p.p, to_p.p + to_p.count, to_c.c, to_c.c + to_c.count]))
            if len(cuts) == len(self.cuts):
                return self._segments()
            self.cuts = cuts
        raise Irregular("a result that goes back to where it came from")

    def _segments(self) -> Segments:
        cuts, flow = self.cuts, self.flow
        first, count = cuts[:-1], np.diff(cuts)
        edges = flow.edges.split(cuts).split(cuts, by_producer=True)
        edges = edges.take(np.lexsort((edges.c, edges.slot, np.searchsorted(cuts, edges.c, "right"))))
        flow = Flow(edges, flow.sums.split(cuts), flow.installs, flow.entries.split(cuts), flow.loads)
        joints = self.joints.split(cuts)
        a, b = (np.searchsorted(cuts, x, "right") - 1 for x in (joints.p, joints.c))
        return Segments(self.issues, flow, first, count, _components(len(first), a, b))


def _components(nodes: int, a: Ints, b: Ints) -> Ints:
    """For every node of a graph with edges a-b the least node that it is joined to."""
    label = np.arange(nodes)
    while True:
        least = np.minimum(label[a], label[b])
        following = label.copy()
        for side in (a, b):
            np.minimum.at(following, label[side], least)
        following = following[following]
        if (following == label).all():
            return label
        label = following
