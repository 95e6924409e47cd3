"""The proof that a program is free of hazards: set arithmetic on the cycles of all issues, without executing anything.

It rests on the instruction table and on the machine description alone, and shares no logic with the engines, which find
hazards by running, nor with the scheduler, which avoids them by reserving. It takes one resource after the other (a
stream of a chip, an ALU's chain, a plane, a link), so memory is bounded by the busiest resource, not by the program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ....dialects.errors import Actor, Hazard, HazardError, earliest
from ....dialects.machine.instruction import CHAIN, FieldKind, SourceKind, register_text, source_kind, source_payload
from ....dialects.machine.stream_code import StreamCode
from ....dialects.machine.topology import Port
from ....dialects.programs.records import ChipProgram, Program
from .fetch_proof import fetch_hazards, overwritten
from .issues import ChipIssues, Ints, Issues, issues_of
from .stream_registers import Matched, StreamUses, matched

Mask = npt.NDArray[np.bool_]


Follow = Callable[[ChipIssues, Matched], None]
"""Is shown every stream of every chip: whoever asks for more than hazards need not match them again."""


def first_hazard(
    program: Program, chips: Sequence[ChipIssues] | None = None, follow: Follow | None = None
) -> HazardError | None:
    """The earliest hazard of a program that `check_program` has accepted, or None, which proves that it has none.

    `chips` are the issues of its chips, if they are known already.
    """
    if chips is None:
        chips = issues_of(program)
    hazards = [h for chip, c in zip(chips, program.chips, strict=True) for h in _streams(chip, c, follow)]
    hazards += [h for chip in chips for check in (_chains, _planes) for h in check(chip)]
    hazards += _links(chips, program)
    hazards += [
        h for chip, c in zip(chips, program.chips, strict=True) for h in overwritten(chip, c.text_image(chip.spec))
    ]
    return earliest(hazards) if hazards else None


def _is_in(wanted: Ints, present: Ints) -> Mask:
    """Which of `wanted` are among `present`, which ascends."""
    if not len(present):
        return np.zeros(len(wanted), np.bool_)
    return present[np.minimum(np.searchsorted(present, wanted), len(present) - 1)] == wanted


def _first(bad: Mask, cycles: Ints, tie: Callable[[int], tuple[int, ...]] = lambda issue: ()) -> int | None:
    """The index of the bad issue with the least cycle, then the least `tie`, or None without a bad one."""
    return _soonest(np.flatnonzero(bad), cycles[bad], tie) if bad.any() else None


def _soonest(issues: Ints, cycles: Ints, tie: Callable[[int], tuple[int, ...]]) -> int:
    """The one of some issues with the least of their cycles, then the least `tie`."""
    return min((int(i) for i in issues[cycles == cycles.min()]), key=tie)


# -- streams -------------------------------------------------------------------------------------------------------


def _streams(chip: ChipIssues, program: ChipProgram, follow: Follow | None) -> Iterator[Hazard]:
    """The first collision and the first empty sample of every stream of a chip, and every wrong fetch."""
    image = program.text_image(chip.spec)
    texts = {(fetch.record.queue, fetch.record.at): fetch.text for fetch in program.fetches}
    for stream in matched(chip):
        if stream.drives is not None:
            ascending = stream.ascending
            if (twice := ascending[1:][ascending[1:] == ascending[:-1]]).size:
                yield _collision(chip, stream, stream.drives, twice)
        if stream.samples is not None and (empty := stream.empty).size:
            yield _empty_sample(chip, stream, stream.samples, empty)
        if texts:
            yield from fetch_hazards(chip, stream, texts, image)
        if follow is not None:
            follow(chip, stream)


def _register(code: StreamCode, position: int) -> str:
    return register_text(code, position)


def _collision(chip: ChipIssues, stream: Matched, drives: StreamUses, twice: Ints) -> Hazard:
    """The first of the collisions at the keys `twice`, with the two lowest of those who drive there."""
    cycles, positions = stream.stations.cycle(twice), stream.stations.position(twice)
    at = np.lexsort((positions, cycles))[0]
    issues = np.flatnonzero(stream.driven == twice[at]).tolist()
    drivers = [(drives.issues.queue(i), drives.issues.actor(i)) for i in issues]
    (queue, first), (_, second) = sorted(drivers, key=lambda d: (d[0], d[1].cycle))[:2]
    position = int(positions[at])
    order = (stream.code, position, queue)
    resource = _register(stream.code, position)
    return Hazard("stream-collision", chip.number, resource, int(cycles[at]), order, first, second)


def _empty_sample(chip: ChipIssues, stream: Matched, samples: StreamUses, empty: Ints) -> Hazard:
    """The first sample of a stream before which nothing drives its diagonal."""

    def order(issue: int) -> tuple[int, ...]:
        return stream.code, int(stream.stations.position(stream.sampled[issue])), samples.issues.queue(issue)

    cycles = stream.stations.cycle(stream.sampled[empty])
    issue = _soonest(empty, cycles, order)
    resource = _register(stream.code, order(issue)[1])
    return Hazard("stream-empty", chip.number, resource, int(cycles.min()), order(issue), samples.issues.actor(issue))


# -- chains --------------------------------------------------------------------------------------------------------


def _chains(chip: ChipIssues) -> Iterator[Hazard]:
    """For every ALU the first issue that reads its chain in a cycle in which it has no result."""
    writers: dict[int, list[Ints]] = defaultdict(list)
    readers: dict[int, list[Ints]] = defaultdict(list)
    for group in chip.groups:
        for field, value in zip(group.instruction.fields, group.values, strict=True):
            if field.kind is FieldKind.TARGET and value == CHAIN:
                writers[group.queue.unit].append(group.records)
            if field.kind is FieldKind.SOURCE and source_kind(value) is SourceKind.ALU:
                readers[source_payload(value)].append(group.records)
    for alu in readers:
        issues = chip.issues(readers[alu])
        cycles = issues.cycles()
        ready = chip.issues(writers[alu]).cycles() + chip.spec.latency_alu
        issue = _first(~_is_in(cycles, ready), cycles, lambda i, of=issues: (of.queue(i),))
        if issue is not None:
            order = (alu, issues.queue(issue))
            resource = f"chain of ALU {alu}"
            yield Hazard("chain-empty", chip.number, resource, int(cycles[issue]), order, issues.actor(issue))


# -- planes --------------------------------------------------------------------------------------------------------


def _planes(chip: ChipIssues) -> Iterator[Hazard]:
    """For every plane the first vector without weights, result without taker, taker without result, and addition to an
    entry without a value."""
    spec = chip.spec
    for plane in range(spec.planes):
        vectors = chip.dispatches("MXM.activations", plane, "abc", "abc_f16")
        takers = chip.dispatches("MXM.accumulators", plane, "acc", "acc_emit")
        entering, taken = vectors.cycles(), takers.cycles()
        leaving = entering + spec.latency_array
        weightless = entering < _installed(chip, plane)
        if (high := spec.paired_plane(plane)) is not None:
            paired = np.repeat(vectors.is_named("abc_f16"), vectors.sizes)
            weightless |= paired & (entering < _installed(chip, high))
        checks = (
            ("weights-empty", vectors, weightless, entering),
            ("result-missing", takers, ~_is_in(taken, leaving), taken),
            ("result-lost", vectors, ~_is_in(leaving, taken), leaving),
        )
        for kind, issues, bad, cycles in checks:
            if (issue := _first(bad, cycles)) is not None:
                actor = issues.actor(issue)
                yield Hazard(kind, chip.number, f"plane {plane}", int(cycles[issue]), (plane,), actor)
        yield from _accumulators(chip, plane, takers, taken)


def _installed(chip: ChipIssues, plane: int) -> int:
    """The first cycle in which a plane has weights."""
    installs = chip.dispatches("MXM.weights", plane, "iw").cycles()
    return int(installs[0]) + chip.spec.latency_install if len(installs) else np.iinfo(np.int64).max


def _accumulators(chip: ChipIssues, plane: int, takers: Issues, cycles: Ints) -> Iterator[Hazard]:
    """The first addition to an entry of a plane that was not set before."""
    entries = takers.moved("entry")
    adds = np.repeat(takers.field("mode"), takers.sizes) == 1
    first_set = np.full(chip.spec.accumulators, np.iinfo(np.int64).max)
    np.minimum.at(first_set, entries[~adds], cycles[~adds])
    if (issue := _first(adds & (cycles < first_set[entries]), cycles)) is not None:
        number = int(entries[issue])
        resource, order = f"accumulator {number} of plane {plane}", (plane, number)
        yield Hazard("accumulator-empty", chip.number, resource, int(cycles[issue]), order, takers.actor(issue))


# -- links ---------------------------------------------------------------------------------------------------------


def _links(chips: Sequence[ChipIssues], program: Program) -> Iterator[Hazard]:
    """For every link the first send too soon, vector without receive, and receive without vector."""
    system, by_number = program.system, {chip.number: chip for chip in chips}
    nothing = chips[0].issues(())

    def on_link(port: Port, name: str) -> Issues:
        return by_number[port.chip].dispatches("C2C", port.link, name) if port.chip in by_number else nothing

    for source, target in program.peers.items():
        sends, receives = on_link(source, "send"), on_link(target, "receive")
        sent, received = sends.cycles(), receives.cycles()
        arriving = sent + system.chip.latency_send + system.link_latency
        if (later := _first(np.diff(sent) < system.link_slot, sent[1:])) is not None:
            first, second = sends.actor(later), sends.actor(later + 1)
            yield _link_hazard("link-busy", source, sent[later + 1], first, second)
        if (issue := _first(~_is_in(arriving, received), arriving)) is not None:
            yield _link_hazard("link-lost", target, arriving[issue], sends.actor(issue))
        if (issue := _first(~_is_in(received, arriving), received)) is not None:
            yield _link_hazard("link-empty", target, received[issue], receives.actor(issue))


def _link_hazard(kind: str, port: Port, cycle: np.int64, first: Actor, second: Actor | None = None) -> Hazard:
    return Hazard(kind, port.chip, f"link {port.link}", int(cycle), (port.link,), first, second)
