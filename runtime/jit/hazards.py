"""From the kernel's numbers back to hazards as the errors name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...dialects.errors import FLIPPED, Actor, Hazard
from ...dialects.machine.instruction import Record
from ...dialects.machine.instruction_fetch import word_of
from ...dialects.machine.stream_code import StreamCode, register_text
from ...dialects.machine.target import ChipSpec
from ...dialects.machine.topology import Port
from ...dialects.programs.records import actor
from ..flips import Register
from ..secded import Secded
from .decode import Decoded
from .layout import Fault, Row
from .layout import Hazard as Kind


@dataclass(frozen=True)
class Issue:
    """What one instruction does in one cycle."""

    record: Record
    at: int
    """The cycle of its dispatch."""
    values: tuple[int, ...]

    def actor(self, chip: ChipSpec) -> Actor:
        return actor(self.record, self.at, chip.queues[self.record.queue].name, self.values)


def dispatch(record: Record, cycle: int) -> Issue:
    """The issue of a record that is at work in `cycle`: dispatched then, or before, for an `abc` of several vectors."""
    left, number = cycle - record.at, 0
    for loop in reversed(record.loops):
        done, left = divmod(left, loop.every)
        number = number * loop.count + done
    return Issue(record, *record.issue(number))


@dataclass(frozen=True)
class Site:
    """A chip of a run, and what it found in the cycle in which it stopped."""

    number: int
    decoded: Decoded
    cycle: int
    faults: npt.NDArray[np.int64]
    """[hazards, FAULT_WORDS]"""


class Report:
    """Makes hazards of faults."""

    def __init__(self, sites: Mapping[int, Site], peers: Mapping[Port, Port], chip: ChipSpec):
        self.sites, self.peers, self.chip = sites, peers, chip

    def hazards(self) -> Iterator[Hazard]:
        """All hazards of all chips."""
        for site in self.sites.values():
            collisions: dict[tuple[StreamCode, int], list[Issue]] = {}
            for fault in site.faults.tolist():
                if (kind := Kind(fault[Fault.KIND])) == Kind.STREAM_COLLISION:
                    code = site.decoded.stream(fault[Fault.RESOURCE], self.chip)
                    for record in (fault[Fault.FIRST], fault[Fault.SECOND]):
                        delay = int(site.decoded.rows[record, Row.DELAY])
                        issue = self._issue(site, record, site.cycle - delay)
                        collisions.setdefault((code, self._position(issue)), []).append(issue)
                else:
                    yield self._flipped(site, fault) if kind == Kind.BITS_FLIPPED else self._hazard(site, fault)
            for (code, position), issues in collisions.items():
                yield self._collision(site, code, position, issues)

    def _issue(self, site: Site, record: int, cycle: int) -> Issue:
        """The issue of a record, by the kernel's number, that acts in `cycle`."""
        return dispatch(site.decoded.records[record], cycle - int(site.decoded.skews[record]))

    def _position(self, issue: Issue) -> int:
        return self.chip.queues[issue.record.queue].position

    def _collision(self, site: Site, code: StreamCode, position: int, issues: list[Issue]) -> Hazard:
        first, second = sorted({(i.record.queue, i.at): i for i in issues}.items())[:2]
        return Hazard(
            "stream-collision",
            site.number,
            register_text(code, position),
            site.cycle,
            (code, position, first[1].record.queue),
            first[1].actor(self.chip),
            second[1].actor(self.chip),
        )

    def _flipped(self, site: Site, fault: list[int]) -> Hazard:
        code = Secded(self.chip)
        slot, word = divmod(fault[Fault.RESOURCE], code.words)
        driver, cycle = fault[Fault.FIRST], fault[Fault.FIRST_CYCLE]
        first = self._issue(site, driver, cycle - int(site.decoded.rows[driver, Row.DELAY]))
        second = self._issue(site, fault[Fault.SECOND], fault[Fault.SECOND_CYCLE])
        register = Register(site.decoded.stream(slot, self.chip), self._position(second))
        resource, order = f"{register}, {code.lanes_text(word)}", (*register, second.record.queue, word)
        actors = first.actor(self.chip), second.actor(self.chip)
        return Hazard(FLIPPED, site.number, resource, site.cycle, order, *actors)

    def _hazard(self, site: Site, fault: list[int]) -> Hazard:
        kind, number = Kind(fault[Fault.KIND]), fault[Fault.RESOURCE]
        actors = self._sender(site, fault) if kind == Kind.LINK_LOST else site
        first = self._issue(actors, fault[Fault.FIRST], fault[Fault.FIRST_CYCLE])
        queue, second = first.record.queue, None
        order: tuple[int, ...] = (number,)
        match kind:
            case Kind.STREAM_EMPTY:
                code, position = site.decoded.stream(number, self.chip), self._position(first)
                resource = register_text(code, position)
                order = (code, position, queue)
            case Kind.CHAIN_EMPTY:
                resource, order = f"chain of ALU {number}", (number, queue)
            case Kind.ACCUMULATOR_EMPTY:
                entry = first.values[first.record.instruction.index("entry")]
                resource, order = f"accumulator {entry} of plane {number}", (number, entry)
            case Kind.LINK_BUSY | Kind.LINK_EMPTY | Kind.LINK_LOST:
                resource = f"link {number}"
                if kind == Kind.LINK_BUSY:
                    second = self._issue(site, fault[Fault.SECOND], fault[Fault.SECOND_CYCLE]).actor(self.chip)
            case Kind.TEXT_WRONG:
                resource, order = f"queue {self.chip.queues[queue].name}", (queue,)
            case Kind.TEXT_OVERWRITTEN:
                order = divmod(number, self.chip.words)
                resource = f"word {word_of(*order, self.chip)}"
            case _:
                resource = f"plane {number}"
        name = kind.name.lower().replace("_", "-")
        return Hazard(name, site.number, resource, site.cycle, order, first.actor(self.chip), second)

    def _sender(self, site: Site, fault: list[int]) -> Site:
        """The chip that sent what was lost on a link."""
        return self.sites[self.peers[Port(site.number, fault[Fault.RESOURCE])].chip]
