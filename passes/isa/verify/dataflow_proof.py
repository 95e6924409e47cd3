"""The proof that a program does what it was compiled to do: from the cycles, streams and addresses of its records, what
every issue really takes; its digests must be those that the program carries (dialects/programs/dataflow.py).

The program has been found free of hazards before. As in proof.py, one resource comes after the other, and nothing of
the scheduler is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar, cast

import numpy as np

from ....dialects.errors import Actor, DataflowError
from ....dialects.machine.instruction import CHAIN, FieldKind, Record, SourceKind, source_kind, source_payload
from ....dialects.machine.instruction_fetch import Word, word_of
from ....dialects.machine.target import SystemSpec
from ....dialects.machine.topology import Port as LinkEnd
from ....dialects.programs.dataflow import (
    TEXT,
    Digests,
    Memory,
    Places,
    Port,
    Sources,
    Visit,
    bound_words,
    coefficient,
    issue_source,
    of_stream,
    operation_source,
    reach_of,
    stream_port,
    tiles_source,
    word_sources,
)
from ....dialects.programs.packed import IFETCH
from ....dialects.programs.records import ChipProgram, Program
from .issues import ChipIssues, Ints, Issues
from .stream_registers import Matched, matched

_MASK = (1 << 64) - 1


_Sums = Callable[[int, Mapping[int, tuple[int, int]]], Digests]
_ArrayT = TypeVar("_ArrayT", Ints, Sources)
"""Numbers or sources."""


class Dataflow:
    """What the issues of a program without hazards take."""

    def __init__(self, program: Program, chips: Sequence[ChipIssues], sums: _Sums = Digests):
        self.program, self.chips = program, chips
        pairs = zip(program.chips, chips, strict=True)
        self.flows = {chip.chip: _ChipFlow(chip, issues, program.system, sums) for chip, issues in pairs}

    def follow(self, chip: ChipIssues, stream: Matched) -> None:
        """Takes notice of one stream of a chip. All are to be shown."""
        self.flows[chip.number].add_stream(stream)

    def error(self) -> DataflowError | None:
        """The first issue, by cycle, that is not or does not take what it should; None where all do."""
        self.finish()
        faults = [fault for flow in self.flows.values() for fault in flow.faults()]
        return _Explanation(self, min(faults)).error if faults else None

    def finish(self) -> None:
        """Adds all that does not come from streams."""
        for flow in self.flows.values():
            flow.add_all()
        for source, target in self.program.peers.items():
            if source.chip in self.flows and target.chip in self.flows:
                self.flows[target.chip].add_link(target, self.flows[source.chip], source)


class _Fault(NamedTuple):
    """A block of issues whose digest is not what it should be. The least is the earliest."""

    cycle: int
    """That of its first issue."""
    chip: int
    queue: int
    first: int
    """The number of its first issue."""
    end: int
    """That of the issue after its last; `first` for words that are wrong at the end."""
    difference: int
    """By how much the digest is too small, modulo 2**64; 0 where there is none to compare."""


class _ChipFlow:
    """What the issues of one chip take."""

    def __init__(self, program: ChipProgram, issues: ChipIssues, system: SystemSpec, sums: _Sums):
        self.program, self.issues, self.system, self.spec = program, issues, system, system.chip
        records = issues.records
        self.queues = np.array([r.queue for r in records], np.int64)
        text = program.text_image(self.spec)
        self.text = np.array([self._is_text(r, text) for r in records] if text else np.zeros(len(records)), np.bool_)
        """Which records only feed queues with text. Their issues do not count."""
        counted = np.where(self.text, 0, issues.counts.prod(axis=1))
        counts = np.bincount(self.queues, counted, len(self.spec.queues)).astype(np.int64)
        self.place = np.cumsum(counted) - counted
        """By record, how many issues come before it, those of the queues before its own among them."""
        self.before = np.cumsum(counts) - counts
        """By queue, how many issues the queues before it have."""
        named = np.array([issue_source(program.chip, q) for q in range(len(counts))], np.uint64)
        self.named = named[self.queues] + self._first.astype(np.uint64) + of_stream(TEXT * self.text)
        """By record, its first issue as a source."""
        numbers = self.spec.queue_numbers
        blocks = {numbers[name]: flow.block for name, flow in program.dataflow.items()}
        self.counts = {q: n for q, n in enumerate(counts.tolist()) if n or q in blocks}
        """By queue, the number of its issues."""
        self.digests = sums(program.chip, {q: (n, blocks.get(q, n or 1)) for q, n in self.counts.items()})

    def _is_text(self, record: Record, text: Container[Word]) -> bool:
        instruction, unit = record.instruction, self.spec.queues[record.queue].unit
        return instruction.opcode == IFETCH or (
            instruction.name == "read" and word_of(unit, record.values[0], self.spec) in text
        )

    @property
    def _first(self) -> Ints:
        """By record, the number in its queue of its first issue."""
        return self.place - self.before[self.queues]

    # -- issues as consumers and as sources ------------------------------------------------------------------------

    def sources(self, issues: Issues) -> Sources:
        """Issues as sources: [issues]."""
        return _ascending(self.named[issues.records], issues.sizes)

    def _take(self, issues: Issues, port: int, sources: Sources) -> None:
        """Adds what issues, each once, take: [issues]."""
        first, sizes = self.place[issues.records], issues.sizes
        if (first[1:] == first[:-1] + sizes[:-1]).all():
            self.digests.add(slice(int(first[0]), int(first[0]) + len(sources)), port, sources)
        else:
            self.digests.add(_ascending(first, sizes), port, sources)

    def add_stream(self, stream: Matched) -> None:
        """Adds what comes over a stream."""
        if stream.drives is None or stream.samples is None:
            return
        driving, sampling = stream.drives.issues, stream.samples.issues
        driven = _ascending(self.named[driving.records] + of_stream(stream.drives.members), driving.sizes)
        taken, records = driven[stream.drivers], sampling.records
        places = _ascending(self.place[records], sampling.sizes)
        ports = np.repeat(stream_port(stream.samples.groups, stream.samples.members), sampling.sizes)
        if (uncounted := self.text[records]).any():
            mine = ~np.repeat(uncounted, sampling.sizes)
            places, ports, taken = places[mine], ports[mine], taken[mine]
        self.digests.add_each(places, ports, taken)

    def add_all(self) -> None:
        """Adds all else that comes from this chip."""
        self._operations()
        self._chains()
        for plane in range(self.spec.planes):
            self._plane(plane)
        for unit in range(2 * self.spec.slices):
            self._slice(unit)
        for b in self.program.bindings:
            for queue, number in bound_words(b.kind, b.name, b.place, b.layout.depth, self.spec):
                self.digests.add_final(queue, number)

    def _operations(self) -> None:
        records = self.issues.records
        operations = np.zeros(len(records), np.uint64)
        for group in self.issues.groups:
            operations[group.records] = operation_source(group.instruction, group.values)
        operations += tiles_source(np.array([r.tiles for r in records], np.int64))
        all_ = Issues(self.issues, np.flatnonzero(~self.text))
        self._take(all_, Port.OPERATION, np.repeat(operations[all_.records], all_.sizes))

    def _chains(self) -> None:
        writers: dict[int, list[Ints]] = defaultdict(list)
        readers: dict[int, list[tuple[Ints, int]]] = defaultdict(list)
        for group in self.issues.groups:
            for i, (field, value) in enumerate(zip(group.instruction.fields, group.values, strict=True)):
                if field.kind is FieldKind.TARGET and value == CHAIN:
                    writers[group.queue.unit].append(group.records)
                if field.kind is FieldKind.SOURCE and source_kind(value) is SourceKind.ALU:
                    readers[source_payload(value)].append((group.records, i))
        for alu, reading in readers.items():
            results = self.issues.issues(writers[alu])
            ready, sources = results.cycles() + self.spec.latency_alu, self.sources(results)
            for records, i in reading:
                taking = Issues(self.issues, records)
                self._take(taking, Port.CHAIN + i, sources[np.searchsorted(ready, taking.cycles())])

    def _plane(self, plane: int) -> None:
        chip, spec = self.issues, self.spec
        vectors = chip.dispatches("MXM.activations", plane, "abc", "abc_f16")
        takers = chip.dispatches("MXM.accumulators", plane, "acc", "acc_emit")
        if len(vectors.records):
            entering = vectors.cycles()
            self._take(vectors, Port.WEIGHTS, self._installed(plane, entering))
            if (high := spec.paired_plane(plane)) is not None:
                paired = np.repeat(vectors.is_named("abc_f16"), vectors.sizes)
                self._take(vectors, Port.WEIGHTS + 1, np.where(paired, self._installed(high, entering), np.uint64(0)))
            taken = takers.cycles()
            leaving = entering + spec.latency_array
            self._take(takers, Port.SUMS, self.sources(vectors)[np.searchsorted(leaving, taken)])
            self._take(takers, Port.ENTRY, self._entries(takers))
        loads = chip.dispatches("MXM.weights", plane, "lw")
        if len(loads.records):
            self._take(loads, Port.ROW, loads.moved("row").astype(np.uint64))
        installs = chip.dispatches("MXM.weights", plane, "iw")
        if len(installs.records):
            total = np.cumsum(np.append(np.uint64(0), self.sources(loads)), dtype=np.uint64)
            upto = total[np.searchsorted(loads.cycles(), installs.cycles())]
            self._take(installs, Port.LOADED, np.diff(upto, prepend=np.uint64(0)))

    def _installed(self, plane: int, cycles: Ints) -> Sources:
        """The installs of the weights that a plane has in some cycles."""
        installs = self.issues.dispatches("MXM.weights", plane, "iw")
        ready = installs.cycles() + self.spec.latency_install
        found = np.searchsorted(ready, cycles, "right") - 1
        sources = np.append(self.sources(installs), np.uint64(0))
        return sources[np.where(found >= 0, found, -1)]

    def _entries(self, takers: Issues) -> Sources:
        """What was in the accumulator entries to which issues of a plane add; 0 where they do not."""
        entries, sources = takers.moved("entry"), self.sources(takers)
        adds = np.repeat(takers.field("mode"), takers.sizes) == 1
        order = np.argsort(entries.astype(np.uint16), kind="stable")
        before = np.empty(len(order), np.uint64)
        before[order] = np.roll(sources[order], 1)
        return np.where(adds, before, np.uint64(0))

    def _slice(self, unit: int) -> None:
        issues = self.issues.dispatches("MEM", unit, "read", "write", "gather", "scatter")
        issues = Issues(self.issues, issues.records[~self.text[issues.records]])
        if not len(issues.records):
            return
        queue = int(self.queues[issues.records[0]])
        memory = Memory(unit, self.spec)
        names = [self.issues.records[int(i)].instruction for i in issues.records]
        kinds = np.repeat(np.array([Visit[n.name.upper()] for n in names], np.int64), issues.sizes)
        addresses = issues.moved("address")
        if not kinds.any():
            self._take(issues, Port.MEMORY, memory.words[addresses])
            return
        late = np.repeat(np.array([n.d_skew(self.spec) for n in names], np.int64), issues.sizes)
        writes = (kinds == Visit.WRITE) | (kinds == Visit.SCATTER)
        order = np.argsort(2 * (issues.cycles() + late) + writes, kind="stable")  # words are written after all reads
        flow = self.program.dataflow.get(self.spec.queues[queue].name)
        numbers = _ascending(self._first[issues.records], issues.sizes)
        lows, highs = reach_of(flow.reaches if flow else (), numbers, self.spec.words)
        taken = np.empty(len(order), np.uint64)
        sources = self.sources(issues)
        taken[order] = memory.visit(kinds[order], addresses[order], sources[order], lows[order], highs[order])
        self._take(issues, Port.MEMORY, taken)
        if writes.any():
            self.digests.add_final(queue, memory.state)

    def add_link(self, end: LinkEnd, sender: _ChipFlow, source: LinkEnd) -> None:
        """Adds what the receives of a link take from the sends at its other end."""
        receives = self.issues.dispatches("C2C", end.link, "receive")
        if not len(receives.records):
            return
        sends = sender.issues.dispatches("C2C", source.link, "send")
        arriving = sends.cycles() + self.spec.latency_send + self.system.link_latency
        self._take(receives, Port.LINK, sender.sources(sends)[np.searchsorted(arriving, receives.cycles())])

    # -- comparison ------------------------------------------------------------------------------------------------

    def faults(self) -> Iterator[_Fault]:
        """The first wrong block of every queue."""
        for queue, count in self.counts.items():
            flow = self.program.dataflow.get(self.spec.queues[queue].name)
            if flow is None:
                yield self._fault(queue, 0, count, 0)
                continue
            pairs = zip(self.digests.of(queue), flow.digests, strict=False)
            wrong = next((i for i, (found, meant) in enumerate(pairs) if found != meant), None)
            if wrong is not None:
                first = wrong * flow.block
                end = min(first + flow.block, count, flow.issues)
                same = end == first + flow.block or count == flow.issues
                difference = flow.digests[wrong] - self.digests.of(queue)[wrong] & _MASK
                yield self._fault(queue, first, end, difference if same else 0)
            elif count != flow.issues:
                yield self._fault(queue, min(count, flow.issues), max(count, flow.issues), 0)
            elif flow.final != self.digests.final(queue):
                yield self._fault(queue, count, count, 0)

    def _fault(self, queue: int, first: int, end: int, difference: int) -> _Fault:
        issue = self.issue(queue, first)
        cycle = self.program.cycles if issue is None else issue.cycle
        return _Fault(cycle, self.program.chip, queue, first, end, difference)

    def issue(self, queue: int, number: int) -> Actor | None:
        """The issue of a queue with this number, if there is one: a vector of an `abc` is its whole dispatch."""
        if not 0 <= number < self.counts[queue]:
            return None
        record = self.record_of(queue, number)
        return Issues(self.issues, np.array([record])).actor(number - int(self._first[record]))

    def record_of(self, queue: int, number: int) -> int:
        """The record of an issue of a queue, as its place in the chip's program."""
        mine = np.flatnonzero((self.queues == queue) & ~self.text)
        return int(mine[np.searchsorted(self._first[mine], number, "right") - 1])


def _ascending(first: _ArrayT, lengths: Ints) -> _ArrayT:
    """first[i], first[i] + 1, ...: lengths[i] terms for each i, one after the other."""
    ends = np.cumsum(lengths)
    terms = first[:0] if not len(ends) else np.arange(ends[-1], dtype=first.dtype)
    if (shifts := first - (ends - lengths).astype(first.dtype)).size:
        terms += shifts[0] if (shifts == shifts[0]).all() else np.repeat(shifts, lengths)
    return cast(_ArrayT, terms)


# -- explanation ---------------------------------------------------------------------------------------------------


class _Taken(NamedTuple):
    """What an issue takes."""

    issue: int
    port: int
    source: int


class _Watched(Digests):
    """Keeps what is added for the issues of one block."""

    def __init__(self, chip: int, sizes: Mapping[int, tuple[int, int]], fault: _Fault):
        super().__init__(chip, sizes)
        self.fault, self.taken = fault, list[_Taken]()

    def add(self, places: Places, port: int, sources: Sources) -> None:
        each = np.arange(len(self._taken))[places]
        self.add_each(each, np.full(len(each), port), sources)

    def add_each(self, places: Ints, ports: Ints, sources: Sources) -> None:
        if self.chip == self.fault.chip:
            numbers = places - self.first[self.fault.queue]
            for i in np.flatnonzero((numbers >= self.fault.first) & (numbers < self.fault.end)).tolist():
                self.taken.append(_Taken(int(numbers[i]), int(ports[i]), int(sources[i])))


class _Explanation:
    """What is known of a wrong block. Where one operand alone is wrong, the difference of the digests tells which, and
    what it should be: for each there is one number, and few numbers are sources. Where one operand of all issues of an
    instruction is, it is mostly from as many issues, or words, before or after what it should be."""

    def __init__(self, found: Dataflow, fault: _Fault):
        self.fault = fault
        watched = Dataflow(found.program, found.chips, lambda chip, sizes: _Watched(chip, sizes, fault))
        for chip in found.chips:
            for stream in matched(chip):
                watched.follow(chip, stream)
        watched.finish()
        self.flows, self.flow = watched.flows, watched.flows[fault.chip]
        self.queue = self.flow.spec.queues[fault.queue].name

    @property
    def error(self) -> DataflowError:
        fault = self.fault
        meant = self.flow.program.dataflow.get(self.queue)
        issue, what = self._exact() or (fault.first, self._rough(meant.issues if meant else None))
        actor = self.flow.issue(fault.queue, issue)
        cycle = fault.cycle if actor is None else actor.cycle
        return DataflowError(fault.chip, self.queue, cycle, actor, what)

    def _rough(self, meant: int | None) -> str:
        fault, count = self.fault, self.flow.counts[self.fault.queue]
        if meant is None:
            return f"the program says nothing of what the {count} issues of this queue are meant to take"
        if fault.first == count == meant:
            return "words of this slice hold something else at the end, or an input or output lies elsewhere in it"
        which = f"of issues {fault.first} to {fault.end - 1} of the queue, from this one on, one"
        if fault.end - fault.first == 1:
            which = f"issue {fault.first} of the queue"
        number = "" if meant == count else f"; it has {count} issues, and had {meant}"
        return f"{which} is not the instruction that was compiled, or takes what another one gives{number}"

    def _exact(self) -> tuple[int, str] | None:
        """The first issue of which an operand is wrong, what it takes and what it is meant to take."""
        fault, watched = self.fault, self.flow.digests
        assert isinstance(watched, _Watched)
        alike: dict[tuple[int, int], list[_Taken]] = defaultdict(list)
        for taken in watched.taken if fault.difference else ():
            alike[self.flow.record_of(fault.queue, taken.issue), taken.port].append(taken)
        for (_, port), some in alike.items():
            named = _PORTS.get(port, "a stream" if port < Port.CHAIN else "a chain")
            factors = [coefficient(fault.chip, fault.queue, port, taken.issue) for taken in some]
            for i in range(len(some) if named else 0):
                text = self._source(some[i].source + _quotient(fault.difference, factors[i]) & _MASK)
                if text is not None:
                    return some[i].issue, self._instead(named, some[i].source, text)
            shift = _quotient(fault.difference, sum(factors) & _MASK)
            if named and min(shift, -shift & _MASK) < _FAR and (text := self._source(some[0].source + shift & _MASK)):
                rest = f", and so on for {len(some)} issues"
                return some[0].issue, self._instead(named, some[0].source, text) + rest
        return None

    def _instead(self, named: str, source: int, meant: str) -> str:
        taken = self._source(source) or "elsewhere"
        return f"takes {named} from {taken}, but was compiled to take that from {meant}"

    def _source(self, source: int) -> str | None:
        """A source in words, or None for a number that is none."""
        streams = of_stream(np.arange(self.flow.spec.streams))
        for chip, flow in self.flows.items():
            for queue, count in flow.counts.items():
                numbers = np.uint64(source - issue_source(chip, queue) & _MASK) - streams
                for number in numbers[numbers < count].tolist():
                    return str(flow.issue(queue, number))
        spec = self.flow.spec
        for unit in range(2 * spec.slices):
            address = source - int(word_sources(unit, np.zeros(1, np.int64))[0]) & _MASK
            if address < spec.words:
                return f"word {word_of(unit, address, spec)} as it is before the first run"
        return None


_FAR = 1 << 20
"""Issues or words by which nothing is mistaken."""


def _quotient(number: int, factor: int) -> int:
    """The least q with q * factor = number modulo 2**64, or 2**63 where there is none."""
    twos = (factor & -factor).bit_length() - 1
    if not factor or number & ((1 << twos) - 1):
        return 1 << 63
    rest = 1 << (64 - twos)
    quotient = (number >> twos) * pow(factor >> twos, -1, rest) % rest
    return quotient if quotient <= rest // 2 else quotient - rest & _MASK


_PORTS = {
    Port.OPERATION: "",
    Port.ROW: "",
    Port.MEMORY: "a word",
    Port.WEIGHTS: "weights",
    Port.WEIGHTS + 1: "weights",
    Port.LOADED: "",
    Port.SUMS: "sums",
    Port.ENTRY: "an accumulator",
    Port.LINK: "a vector",
}
"""What is taken, where its source is that of an issue or of a word."""
