"""Supplies long queues with text: places every `ifetch`, the two reads that feed it, and the words that it brings.

The machine's rules are in dialects/supply.py, the streams in flow.py, a queue's text in queue_text.py. Queues are
served one fetch at a time, the queue that can fetch first going first. A fetch is placed as early as its queue has room
for it: what is left of its window is the slack by which reads for other queues may still lengthen the text before it.
So what is placed stays valid, and nothing is ever taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...dialects.errors import CapacityError, ScheduleError
from ...dialects.instruction import Record, stream_code
from ...dialects.instructions import TABLE
from ...dialects.program import Binding
from ...dialects.supply import Chunk, Word, word_of
from ...dialects.target import Queue, SystemSpec
from .flow import Flow, stepped
from .queue_text import QueueText

_IFETCH, _READ = TABLE.by_name["ifetch"], TABLE.by_name["read"]


class Feeder(NamedTuple):
    """A slice that can feed a fetch, as it is compared with others: the less the better."""

    dry: bool
    """Whether its queue would need one more fetch for the read."""
    growth: int
    """Instructions by which the read lengthens its queue's text."""
    crowded: int
    """The less text it has room for before it needs one more fetch, the greater."""
    unit: int
    """The number of the slice on the chip."""


class Feed(NamedTuple):
    """How a fetch is fed: the pair of streams, and the slice that drives each of them."""

    cost: tuple[int, int]
    stream: int
    feeders: tuple[Feeder, Feeder]


class Supplier:
    """The queues of one chip and all that a fetch needs: streams, free cycles of MEM queues, free words."""

    def __init__(
        self, queues: Mapping[str, Sequence[Record]], starter: str, bindings: Iterable[Binding], system: SystemSpec
    ):
        self.chip, self.release = system.chip, system.release
        self._starter, self._system = starter, system
        self.texts = {name: self._text(name, records) for name, records in queues.items()}
        self.chunks: dict[str, list[Chunk]] = {}
        """By queue, where the chunks of its text lie."""
        self.stuck = ""
        """The queue that has no place for a fetch."""
        self._bindings = tuple(bindings)
        self._streams: Flow | None = None
        self._free: dict[int, npt.NDArray[np.int64]] = {}
        self._mem = [q for q in self.chip.queues if q.kind == "MEM"]

    def _text(self, name: str, records: Sequence[Record] = ()) -> QueueText:
        queue = self.chip.queues[self.chip.queue_numbers[name]]
        prologue = prologue_of(name == self._starter, self._system)
        return QueueText(queue, records, len(prologue), self.release, self.chip)

    def run(self) -> None:
        """Places fetches until every queue is supplied.

        Raises CapacityError when fetches bring less than they cost or SRAM has no room, ScheduleError when a queue or
        the streams leave no cycle for one.
        """
        placed, most = 0, 0
        while waiting := [text for text in self.texts.values() if text.spare < 0]:
            if not placed:
                self._check_sizes(waiting)
                most = 1000 + 100 * sum(-text.spare for text in waiting)
            first = min(waiting, key=lambda t: (t.opening, self.chip.queue_numbers[t.queue.name]))
            self._place(first)
            placed += 1
            if placed > most:
                raise CapacityError(
                    f"queue {first.queue.name}: after {most} fetches the text that fetches take themselves still grows "
                    "as fast as they bring it; raise chip.queue_bytes or chip.fetch_bytes"
                )

    def _check_sizes(self, waiting: Sequence[QueueText]) -> None:
        name, size = max(((t.queue.name, t.size) for t in waiting), key=lambda n: n[1])
        chip, needs = self.chip, f"queue {name} has a text of {size} instructions and holds {self.chip.queue_slots}"
        if chip.fetch_slots > chip.queue_slots:
            raise CapacityError(
                f"{needs}; a fetch brings {chip.fetch_slots}, for which there is never room: raise chip.queue_bytes or "
                "lower chip.fetch_bytes"
            )
        if chip.fetch_slots < 2:
            raise CapacityError(
                f"{needs}; a fetch brings {chip.fetch_slots}, no more than the ifetch itself takes: raise "
                "chip.fetch_bytes or the lanes, of which two vectors hold what a fetch brings"
            )

    # -- one fetch ---------------------------------------------------------------------------------------------

    def _place(self, text: QueueText) -> None:
        """Places the next fetch of a queue, in the first free cycle in which it can be fed."""
        tried = ((*opening, self._feed(text.queue, opening[0])) for opening in text.openings())
        cycle, wait, feed = next((t for t in tried if t[2] is not None), (0, 0, None))
        if feed is None:
            self.stuck = text.queue.name
            raise self._no_place(text)
        number = self.chip.queue_numbers
        text.insert(Record(number[text.queue.name], cycle, _IFETCH, (feed.stream,)), wait)
        words: list[Word] = []
        for i, feeder in enumerate(feed.feeders):
            queue, code = self._mem[feeder.unit], feed.stream + i
            address = self._take_word(feeder.unit)
            words.append(word_of(feeder.unit, address, self.chip))
            at = self._dispatch(queue, text.queue, cycle)
            self.texts[queue.name].insert(Record(number[queue.name], at, _READ, (address, code)))
            self._flow.add(code, queue.position, text.queue.position, cycle)
        self.chunks.setdefault(text.queue.name, []).append((words[0], words[1]))

    def _feed(self, queue: Queue, cycle: int) -> Feed | None:
        """The best way to feed a queue in a cycle, or None."""
        found: list[Feed] = []
        for direction in "EW":
            feeders = sorted(self._feeders(queue, cycle, direction))
            if len(feeders) < 2:
                continue
            for number in reversed(range(0, self.chip.streams - 1, 2)):
                code = stream_code(direction, number)
                if (pair := self._pair(feeders, code, queue.position, cycle)) is None:
                    continue
                cost = (sum(f.dry for f in pair), sum(f.growth for f in pair))
                found.append(Feed(cost, code, pair))
                if not cost[0]:
                    break
        return min(found, default=None, key=lambda f: f.cost)

    def _pair(self, feeders: Sequence[Feeder], code: int, position: int, cycle: int) -> tuple[Feeder, Feeder] | None:
        """The best two different slices for the streams `code` and `code + 1`, or None."""
        able: list[list[Feeder]] = []
        for stream in (code, code + 1):
            least = self._flow.farthest(stream, position, cycle)
            if least is None:
                return None
            places = (f for f in feeders if self._flow.place(stream, self._mem[f.unit].position) >= least)
            able.append([f for f, _ in zip(places, range(2), strict=False)])
        pairs = [(a, b) for a in able[0] for b in able[1] if a.unit != b.unit]
        return min(pairs, default=None, key=lambda p: (p[0].dry + p[1].dry, p[0].growth + p[1].growth))

    def _feeders(self, queue: Queue, cycle: int, direction: str) -> Iterator[Feeder]:
        """The slices whose word, read in time, comes by at a queue in a cycle."""
        sign = 1 if direction == "E" else -1
        for mem in self._mem:
            at = self._dispatch(mem, queue, cycle)
            if mem is queue or sign * (queue.position - mem.position) < 0 or at < self.release:
                continue
            if mem.name not in self.texts:
                self.texts[mem.name] = self._text(mem.name)
            text = self.texts[mem.name]
            growth = text.growth(at)
            if growth is not None and len(self._free_words(mem.unit)):
                yield Feeder(text.spare < growth, growth, growth - text.spare, mem.unit)

    def _dispatch(self, mem: Queue, queue: Queue, cycle: int) -> int:
        """The cycle in which a slice reads what a queue takes in `cycle`."""
        return cycle - abs(queue.position - mem.position) - _READ.d_func(self.chip)

    def _no_place(self, text: QueueText) -> CapacityError | ScheduleError:
        """The error for a queue that would run dry."""
        name, window = text.queue.name, text.window
        begin, end = text.cycle_of(window.start), text.cycle_of(window.stop)
        if not any(len(self._free_words(mem.unit)) for mem in self._mem):
            return CapacityError(
                f"queue {name}: no slice has a word free for its text; raise chip.words or chip.slices"
            )
        why = "none of its free cycles has a pair of streams that two idle slices can feed"
        if not text.opening:
            why = "it has no free cycle to fetch in"
        return ScheduleError(
            f"queue {name} runs dry in cycle {end}: between cycles {begin} and {end}, when it has room for its fetch "
            f"number {text.fetches}, {why}; raise chip.queue_bytes, which makes that time longer, or leave gaps in its "
            "schedule"
        )

    # -- what the program has taken ----------------------------------------------------------------------------

    @property
    def _flow(self) -> Flow:
        if self._streams is None:
            self._streams = Flow((r for text in self.texts.values() for r in text.records), self.chip)
        return self._streams

    def _free_words(self, unit: int) -> npt.NDArray[np.int64]:
        """The addresses of a slice that nothing of the program touches, ascending. None of a slice that gathers or
        scatters, which may touch any, or whose superlanes are switched off, which cuts what it reads."""
        if unit not in self._free:
            queue = self._mem[unit]
            free = np.ones(self.chip.words, np.bool_)
            for b in self._bindings:
                if queue.name in {s.queue for s in b.place.slices}:
                    free[b.words.start : b.words.stop] = False
            text = self.texts.get(queue.name)
            for record in text.records if text is not None else ():
                if record.instruction.name in ("read", "write"):
                    free[stepped(record)] = False
                else:
                    free[:] = False
            self._free[unit] = np.flatnonzero(free)
        return self._free[unit]

    def _take_word(self, unit: int) -> int:
        """The highest free word of a slice, which is then taken."""
        free = self._free_words(unit)
        self._free[unit] = free[:-1]
        return int(free[-1])


def prologue_of(starts: bool, system: SystemSpec) -> list[str]:
    """The instructions with which a queue begins: all wait in `sync`, and the one that `starts` them notifies, several
    chips at a common epoch."""
    notify = ["notify"] if system.chips == 1 else ["deskew", "notify"]
    return [*(notify if starts else []), "sync"]
