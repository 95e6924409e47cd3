"""Where a chip of the reference engine has vectors, with the check bits that they may carry: in memory, on streams."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from ..dialects.errors import FLIPPED, Hazard
from ..dialects.machine.stream_code import StreamCode, diagonal_of, group_of, register_text
from ..dialects.machine.target import ChipSpec, Queue
from ..dialects.semantics.arithmetic import Array
from .event_queue import EventQueue, Issue
from .flips import Flip, Register
from .secded import Secded

Vector = npt.NDArray[np.uint8]


class ChipVectors:
    """Memory and streams of a chip in a run, and the hazards that it finds."""

    def __init__(self, number: int, spec: ChipSpec, sram: Vector, code: Secded | None, agenda: EventQueue):
        """`sram` is [2 * slices, words, bytes]: the lanes, and with a code the bytes of their check bits. Vectors keep
        both wherever they go."""
        self.number, self.spec, self.sram, self.code, self.agenda = number, spec, sram, code, agenda
        self.queues = spec.queues
        tiles = np.arange(spec.tiles)
        self.tile_of = np.repeat(tiles, spec.lanes_per_tile)
        """The superlane of every byte of a vector."""
        if code is not None:
            self.tile_of = np.append(self.tile_of, np.repeat(tiles, 2 * code.tile_words))
        self.corrected = 0
        """Code words that units have corrected."""
        self.drives: dict[int, list[tuple[StreamCode, int, Vector, Issue]]] = defaultdict(list)
        """By the cycle in which they fall due: stream code, position, vector, driver."""
        self.streams: dict[tuple[StreamCode, int], tuple[int, Vector, Issue]] = {}
        """By stream code and diagonal: the position of the newest drive, its vector, its driver."""
        self.hazards: list[Hazard] = []

    def _drive(self, t: int) -> None:
        due = self.drives.pop(t, [])
        for code, position, vector, issue in sorted(due, key=lambda d: (d[3].record.queue, d[3].dispatched)):
            key = (code, diagonal_of(code, position, t))
            newest = self.streams.get(key)
            if newest is not None and newest[0] == position:
                first = newest[2]
                resource = register_text(code, position)
                self._hazard("stream-collision", resource, t, (code, position, first.record.queue), first, issue)
            else:
                self.streams[key] = (position, vector, issue)

    def _post(self, issue: Issue, queue: Queue, planes: Array) -> None:
        """Drives the byte planes of a result [bytes, lanes] onto the group of streams of an issue, when it is due."""
        self._pass_on(issue, queue, planes if self.code is None else self.code.join(planes))

    def _pass_on(self, issue: Issue, queue: Queue, vectors: Array) -> None:
        """The same for vectors that have their check bits with them."""
        (use,) = issue.drives
        t = issue.dispatched + use.offset
        self.agenda.wake(t)
        for code, vector in zip(use.codes, vectors, strict=True):
            driven = vector.copy()
            if issue.record.tiles:
                driven[~self._on(issue)] = 0
            self.drives[t].append((code, queue.position, driven, issue))

    def _on(self, issue: Issue) -> npt.NDArray[np.bool_]:
        """Which bytes of a vector are of superlanes that are on for an issue: the first so many."""
        return self.tile_of < (issue.record.tiles or self.spec.tiles)

    def _samples(self, t: int, issue: Issue, queue: Queue) -> list[Vector]:
        """The vectors [width, lanes] on each group of streams that an issue samples, in the order of its fields."""
        return [self._sample(t, issue, queue, use.code, use.width) for use in issue.reads]

    def _sample(self, t: int, issue: Issue, queue: Queue, code: StreamCode, width: int) -> Vector:
        """The vectors [width, lanes] on a group of streams at the unit's position, checked and corrected."""
        vectors = self._arrive(t, issue, queue, code, width)
        if self.code is None:
            return vectors
        places = [Register(stream, queue.position) for stream in group_of(code, width)]
        return np.stack([self._check(t, issue, place, v) for place, v in zip(places, vectors, strict=True)])

    def _arrive(self, t: int, issue: Issue, queue: Queue, code: StreamCode, width: int = 1) -> Vector:
        """The vectors on a group of streams at the unit's position as they are: [width, bytes]."""
        vectors = np.zeros((width, len(self.tile_of)), np.uint8)
        for i, stream in enumerate(group_of(code, width)):
            found = self.streams.get((stream, diagonal_of(stream, queue.position, t)))
            if found is None:
                resource = register_text(stream, queue.position)
                order = (stream, queue.position, issue.record.queue)
                self._hazard("stream-empty", resource, t, order, issue)
            else:
                vectors[i] = found[1]
        if issue.record.tiles:
            vectors[:, ~self._on(issue)] = 0
        return vectors

    # -- SECDED ------------------------------------------------------------------------------------------------

    def _check(self, t: int, issue: Issue, place: Register, vector: Vector) -> Vector:
        """The corrected lanes of a vector that a unit takes."""
        assert self.code is not None
        found = self.code.check(*self.code.split(vector, self.spec.lanes))
        self.corrected += found.corrected
        if found.broken:
            word = found.broken[0]
            driver = self.streams[place.code, diagonal_of(*place, t)][2]
            resource, order = f"{place}, {self.code.lanes_text(word)}", (*place, issue.record.queue, word)
            self._hazard(FLIPPED, resource, t, order, driver, issue)
        return found.data

    def _flip(self, t: int, flip: Flip) -> None:
        """Flips a bit of a word, or of the value that is in a register in cycle t."""
        assert self.code is not None
        if isinstance(flip.place, Register):
            found = self.streams.get((flip.place.code, diagonal_of(*flip.place, t)))
            vector = None if found is None else found[1]
        else:
            vector = self.sram[flip.place.unit(self.spec), flip.place.address]
        if vector is not None:
            self.code.flip(*self.code.split(vector, self.spec.lanes), flip.bit)

    # -- hazards -----------------------------------------------------------------------------------------------

    def _hazard(
        self, kind: str, resource: str, t: int, order: tuple[int, ...], first: Issue, second: Issue | None = None
    ) -> None:
        last = None if second is None else second.actor(self.queues)
        self.hazards.append(Hazard(kind, self.number, resource, t, order, first.actor(self.queues), last))
