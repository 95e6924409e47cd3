"""What becomes of packets in which bits flip. When vectors cross a link is known before a program runs, and whether a
receiver repairs what came depends on the flipped bits alone; so a run without flips takes no longer for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..dialects.errors import Actor, FlipError, InputError
from ..dialects.machine.effects import Effect
from ..dialects.machine.topology import Port
from ..dialects.programs.records import Program, actor
from .flips import Flip, Packet, program_of
from .link_code import REPAIRED, LinkCode


@dataclass(frozen=True)
class LinkErrors:
    """The packets of a program in which bits flip."""

    repaired: Mapping[Port, int] = field(default_factory=dict[Port, int])
    """By receiving port the packets in which one bit was flipped back."""
    damaged: tuple[FlipError, ...] = ()
    """The packets with more, in the order of their arrival."""

    def check(self, cycle: int | None = None) -> None:
        """Raises FlipError for the first damaged packet that arrives up to a cycle, or at all."""
        for error in self.damaged:
            if cycle is None or error.cycle <= cycle:
                raise error


def link_errors(flips: Sequence[Flip], program: Program) -> LinkErrors:
    """What the receivers make of the packets in which bits flip.

    Raises InputError for a bit that a packet does not have, a cycle in which no packet leaves, and for so many flipped
    bits in one packet that its receiver would take it for another one; LinkError for a chip without a program.
    """
    code = LinkCode(program.system.chip.lanes)
    bits: dict[tuple[Port, int], set[int]] = defaultdict(set)
    for flip in flips:
        if isinstance(flip.place, Packet):
            if not 0 <= flip.bit < 8 * code.packet_bytes:
                raise InputError(f"flip of bit {flip.bit} of a packet, which has 0..{8 * code.packet_bytes - 1}")
            bits[Port(flip.chip, flip.place.link), flip.cycle] ^= {flip.bit}
    repaired: Counter[Port] = Counter()
    damaged: list[FlipError] = []
    system = program.system
    for (port, cycle), flipped in bits.items():
        sender = _send(port, cycle, program)
        arrives, arrival = program.peers[port], cycle + system.chip.latency_send + system.link_latency
        syndrome = np.bitwise_xor.reduce(code.syndromes[sorted(flipped)], initial=0)
        (state,), (bit,) = code.judge(np.array([syndrome], np.uint64))
        if flipped and (syndrome == 0 or (state == REPAIRED and flipped != {int(bit)})):
            raise InputError(
                f"flips of {len(flipped)} bits of one packet: its receiver would take it for another; flip others"
            )
        if state == REPAIRED:
            repaired[arrives] += 1
        elif flipped:
            damaged.append(FlipError(arrives.chip, f"link {arrives.link}", arrival, sender))
    return LinkErrors(repaired, tuple(sorted(damaged, key=lambda e: (e.cycle, e.chip, e.resource))))


def _send(port: Port, cycle: int, program: Program) -> Actor:
    """The `send` that a link's queue dispatches in a cycle."""
    number = program.system.chip.queue_numbers.get(f"C2C.{port.link}")
    for record in program_of(port.chip, program).records:
        if record.queue == number and record.instruction.effect is Effect.SEND:
            for at, values in record.issues():
                if at == cycle:
                    return actor(record, at, f"C2C.{port.link}", values)
    raise InputError(f"flip in a packet on link {port.link} of chip {port.chip}: none leaves in cycle {cycle}")
