"""Supplies long queues with instructions: places every `ifetch`, the two reads that feed it, and the words that it
brings.

The machine's rules are in dialects/machine/instruction_fetch.py, the streams in stream_occupancy.py, the instructions
of a queue in queue_instructions.py. Queues are served one fetch at a time, the queue that can fetch first going first.
A fetch is placed as early as its queue has room for it: the rest of its window is the slack by which reads for
other queues may still lengthen the queue before it. So earlier placements stay valid. Where a queue has no place for
its next fetch, the placements that took its free cycles are undone, and made again with some care for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ....dialects.errors import CapacityError, ScheduleError
from ....dialects.instructions import TABLE
from ....dialects.machine.effects import Effect
from ....dialects.machine.instruction import Record
from ....dialects.machine.instruction_fetch import Chunk, Word, word_of
from ....dialects.machine.stream_code import StreamCode, group_of, stream_code
from ....dialects.machine.target import Queue, SystemSpec
from ....dialects.programs.records import Binding
from ...policy import Policy
from ..analysis.stream_occupancy import StreamOccupancy, stepped
from .queue_instructions import QueueInstructions

_IFETCH, _READ = TABLE.by_name["ifetch"], TABLE.by_name["read"]


class Feeder(NamedTuple):
    """A slice that can feed a fetch, as it is compared with others: the less the better."""

    spared: bool
    """Whether its queue has been found to need its free cycles for itself."""
    dry: bool
    """Whether its queue would need one more fetch for the read."""
    growth: int
    """Instructions that the read adds to its queue, with the nops around it."""
    crowded: int
    """The fewer instructions it has room for before it needs one more fetch, the greater."""
    unit: int
    """The number of the slice on the chip."""


def _cost(feeders: tuple[Feeder, Feeder]) -> tuple[int, int, int]:
    """What a pair of slices costs: queues that need their cycles, further fetches, and instructions added."""
    first, second = feeders
    return first.spared + second.spared, first.dry + second.dry, first.growth + second.growth


@dataclass
class Care:
    """The queues that need some care because they have had no place for a fetch before."""

    eager: set[str] = field(default_factory=set[str])
    """Those that fetch in the first free cycle of a gap, which leaves more of them for the next fetch."""
    spared: dict[str, list[range]] = field(default_factory=dict[str, list[range]])
    """Cycles in which they feed no other queue where another slice can."""
    first: set[str] = field(default_factory=set[str])
    """Those whose fetches are placed before those of the others."""

    def take(self, queue: str, cycles: range) -> str | None:
        """Takes more care of a queue that had no place for a fetch in some cycles; gives which, or None for no more."""
        spared = self.spared.setdefault(queue, [])
        if cycles not in spared:
            spared.append(cycles)
            return "spared"
        for name, queues in (("eager", self.eager), ("first", self.first)):
            if queue not in queues:
                queues.add(queue)
                return name
        return None


class Placement(NamedTuple):
    """A fetch with the reads that feed it."""

    fetch: Record
    reads: tuple[Record, Record]


class Feed(NamedTuple):
    """How a fetch is fed: the pair of streams, and the slice that drives each of them."""

    cost: tuple[int, int, int]
    stream: StreamCode
    feeders: tuple[Feeder, Feeder]

    @property
    def is_cheap(self) -> bool:
        """Whether it costs no more than a few instructions."""
        return self.cost[:2] == (0, 0)


class Supplier:
    """The queues of one chip and all that a fetch needs: streams, free cycles of MEM queues, free words."""

    def __init__(
        self,
        queues: Mapping[str, Sequence[Record]],
        starter: str,
        bindings: Iterable[Binding],
        system: SystemSpec,
    ):
        self.chip, self.release = system.chip, system.release
        self._care = Care()
        self._starter, self._system = starter, system
        self.queues = {name: self._instructions(name, records) for name, records in queues.items()}
        self.chunks: dict[str, list[Chunk]] = {}
        """By queue, where the chunks of its instructions lie."""
        self.stuck = ""
        """The queue that has no place for a fetch."""
        self.gave_up = False
        """Whether it was given up after as many fetches as are tried."""
        self._placed: list[Placement] = []
        self._left = 0
        """Fetches that are still tried before this is given up; set when the first is."""
        self._bound: dict[str, list[range]] = defaultdict(list)
        """What lies in each slice, by its queue."""
        for binding in bindings:
            for slice_, words in binding.words:
                self._bound[slice_.queue].append(words)
        self._streams: StreamOccupancy | None = None
        self._free: dict[int, npt.NDArray[np.int64]] = {}
        self._lead = _READ.d_func(self.chip)
        self._mem = [q for q in self.chip.queues if q.kind == "MEM"]

    def _instructions(self, name: str, records: Sequence[Record] = ()) -> QueueInstructions:
        queue = self.chip.queues[self.chip.queue_numbers[name]]
        prologue = prologue_of(name == self._starter, self._system)
        return QueueInstructions(queue, records, len(prologue), self.release, self.chip)

    def run(self) -> None:
        """Places fetches until every queue is supplied.

        Raises CapacityError when fetches bring less than they cost or SRAM has no room, ScheduleError when a queue or
        the streams leave no cycle for one.
        """
        while waiting := [queue for queue in self.queues.values() if queue.spare < 0]:
            if not self._left:
                self._check_sizes(waiting)
                self._left = 100 + 8 * sum(-(queue.spare // self.chip.fetch_slots) for queue in waiting)
            first = min(waiting, key=self._turn)
            self._left -= 1
            if (placement := self._place(first)) is None:
                self._make_room(first)
            else:
                self._placed.append(placement)
            if not self._left:
                self.gave_up = True
                raise CapacityError(
                    f"queue {first.queue.name}: after {len(self._placed)} fetches the instructions that fetches take "
                    "grow as fast as they are brought; raise chip.queue_bytes or chip.fetch_bytes"
                )

    def _turn(self, instructions: QueueInstructions) -> tuple[bool, int, int]:
        name = instructions.queue.name
        return name not in self._care.first, instructions.opening, instructions.number

    def _check_sizes(self, waiting: Sequence[QueueInstructions]) -> None:
        name, size = max(((t.queue.name, t.size) for t in waiting), key=lambda n: n[1])
        chip, needs = self.chip, f"queue {name} has {size} instructions and holds {self.chip.queue_slots}"
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

    def _place(self, instructions: QueueInstructions) -> Placement | None:
        """Places the next fetch of a queue, in the first free cycle in which it can be fed, or not at all."""
        found: list[tuple[Feed, int, int]] = []
        eager = instructions.queue.name in self._care.eager
        most = Policy.fetch_feeds if eager else 1
        for cycle, wait in instructions.openings(eager):
            if (feed := self._feed(instructions.queue, cycle)) is not None:
                found.append((feed, cycle, wait))
                if feed.is_cheap or len(found) == most:
                    break
        if not found:
            return None
        feed, cycle, wait = min(found, key=lambda f: f[0].cost)
        number = self.chip.queue_numbers
        fetch = Record(number[instructions.queue.name], cycle, _IFETCH, (feed.stream,))
        instructions.insert(fetch, wait)
        words: list[Word] = []
        reads: list[Record] = []
        for feeder, code in zip(feed.feeders, group_of(feed.stream, 2), strict=True):
            queue = self._mem[feeder.unit]
            address = self._take_word(feeder.unit)
            words.append(word_of(feeder.unit, address, self.chip))
            at = self._dispatch(queue, instructions.queue, cycle)
            reads.append(Record(number[queue.name], at, _READ, (address, code)))
            self.queues[queue.name].insert(reads[-1])
            self._flow.add(code, queue.position, instructions.queue.position, cycle)
        self.chunks.setdefault(instructions.queue.name, []).append((words[0], words[1]))
        return Placement(fetch, (reads[0], reads[1]))

    # -- taking back -------------------------------------------------------------------------------------------

    def _make_room(self, instructions: QueueInstructions) -> None:
        """Takes back the placements that leave a queue no place for its next fetch, so that they are made otherwise.
        Raises what _no_place gives where there are none, or where that has not helped."""
        queue, window = self.chip.queue_numbers[instructions.queue.name], instructions.window
        cycles = range(instructions.cycle_of(window.start), instructions.cycle_of(window.stop) + 1)
        care = self._care.take(instructions.queue.name, cycles) if self._left else None
        lead = 2 * self.chip.mxm_distance
        blamed: dict[str, Callable[[Placement], bool]] = {
            "spared": lambda p: any(read.queue == queue and read.at in cycles for read in p.reads),
            "eager": lambda p: p.fetch.queue == queue and p.fetch.at >= cycles.start - 1,
            "first": lambda p: p.fetch.at in range(cycles.start - lead, cycles.stop + lead),
        }
        first = None
        while care is not None and first is None:
            first = next((i for i, p in enumerate(self._placed) if blamed[care](p)), None)
            care = self._care.take(instructions.queue.name, cycles) if first is None else care
        if first is None:
            self.stuck = instructions.queue.name
            raise self._no_place(instructions)
        while len(self._placed) > first:
            self._take_back(self._placed.pop())

    def _take_back(self, placement: Placement) -> None:
        """Undoes the last placement."""
        fetch, queues = placement.fetch, self.chip.queues
        self._instructions_of(fetch).remove(fetch)
        chunks = self.chunks[queues[fetch.queue].name]
        chunks.pop()
        if not chunks:
            del self.chunks[queues[fetch.queue].name]
        for read in reversed(placement.reads):
            mem, (address, code) = queues[read.queue], read.values
            self._instructions_of(read).remove(read)
            self._flow.remove(StreamCode(code), mem.position, queues[fetch.queue].position, fetch.at)
            self._free[mem.unit] = np.append(self._free[mem.unit], address)

    def _instructions_of(self, record: Record) -> QueueInstructions:
        return self.queues[self.chip.queues[record.queue].name]

    # -- how to feed it ----------------------------------------------------------------------------------------

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
                found.append(Feed(_cost(pair), code, pair))
                if found[-1].is_cheap:
                    break
        return min(found, default=None, key=lambda f: f.cost)

    def _pair(
        self, feeders: Sequence[Feeder], code: StreamCode, position: int, cycle: int
    ) -> tuple[Feeder, Feeder] | None:
        """The best two different slices for the streams `code` and `code + 1`, or None."""
        able: list[list[Feeder]] = []
        for stream in group_of(code, 2):
            least = self._flow.farthest(stream, position, cycle)
            if least is None:
                return None
            places = (f for f in feeders if self._flow.place(stream, self._mem[f.unit].position) >= least)
            able.append([f for f, _ in zip(places, range(2), strict=False)])
        pairs = [(a, b) for a in able[0] for b in able[1] if a.unit != b.unit]
        return min(pairs, default=None, key=_cost)

    def _feeders(self, queue: Queue, cycle: int, direction: str) -> Iterator[Feeder]:
        """The slices whose word, read in time, comes by at a queue in a cycle."""
        sign, release = 1 if direction == "E" else -1, self.release
        for mem in self._mem:
            hops = sign * (queue.position - mem.position)
            at = cycle - hops - self._lead
            if hops < 0 or at < release or mem is queue:
                continue
            instructions = self.queues.get(mem.name)
            if instructions is None:
                instructions = self.queues[mem.name] = self._instructions(mem.name)
            growth = instructions.growth(at)
            if growth is not None and len(self._free_words(mem.unit)):
                spared = any(at in cycles for cycles in self._care.spared.get(mem.name, ()))
                spare = instructions.spare
                yield Feeder(spared, spare < growth, growth, growth - spare, mem.unit)

    def _dispatch(self, mem: Queue, queue: Queue, cycle: int) -> int:
        """The cycle in which a slice reads what a queue takes in `cycle`."""
        return cycle - abs(queue.position - mem.position) - self._lead

    def _no_place(self, instructions: QueueInstructions) -> CapacityError | ScheduleError:
        """The error for a queue that would run dry."""
        name, window = instructions.queue.name, instructions.window
        begin, end = instructions.cycle_of(window.start), instructions.cycle_of(window.stop)
        if not any(len(self._free_words(mem.unit)) for mem in self._mem):
            return CapacityError(
                f"queue {name}: no slice has a word free for its instructions; raise chip.words or chip.slices"
            )
        why = "none of its free cycles has a pair of streams that two idle slices can feed"
        if not instructions.opening:
            why = "it has no free cycle to fetch in"
        return ScheduleError(
            f"queue {name} runs dry in cycle {end}: between cycles {begin} and {end}, when it has room for its fetch "
            f"number {instructions.fetches}, {why}; raise chip.queue_bytes, which makes that time "
            "longer, or leave gaps in its schedule"
        )

    # -- what the program has taken ----------------------------------------------------------------------------

    @property
    def _flow(self) -> StreamOccupancy:
        if self._streams is None:
            self._streams = StreamOccupancy((r for queue in self.queues.values() for r in queue.records), self.chip)
        return self._streams

    def _free_words(self, unit: int) -> npt.NDArray[np.int64]:
        """The addresses of a slice that nothing of the program touches, ascending. None of a slice that gathers or
        scatters, which may touch any, or whose superlanes are switched off, which cuts what it reads."""
        if unit not in self._free:
            queue = self._mem[unit]
            free = np.ones(self.chip.words, np.bool_)
            for words in self._bound[queue.name]:
                free[words.start : words.stop] = False
            instructions = self.queues.get(queue.name)
            for record in instructions.records if instructions is not None else ():
                if record.instruction.effect in (Effect.READ, Effect.WRITE):
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
