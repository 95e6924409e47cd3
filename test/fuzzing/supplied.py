"""Random programs in packed form, with small queues, so that their text is fetched from SRAM while they run."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tspc.dialects.errors import TspError
from tspc.dialects.machine.instruction import Record
from tspc.dialects.machine.instruction_fetch import Chunk
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.packed import IFETCH, decode_queues
from tspc.dialects.programs.records import ChipProgram, Program, check_program, chip_program, program_length
from tspc.passes.isa.assemble.isa_assemble import pack, starter_of, supply

from .programs import crowded_flows

QUEUES = ((64, 32), (64, 32), (96, 32), (96, 64), (128, 64), (160, 80), (1280, 640))
"""Bytes of a queue, and of a fetch."""

Text = Mapping[str, tuple[Chunk, ...]]


def supplied_program(seed: int) -> Program | None:
    """A program of several flows, assembled; None where it cannot be."""
    rng = random.Random(seed)
    flows = crowded_flows(rng)
    queue, fetch = rng.choice(QUEUES)
    chip = replace(flows.chip, queue_bytes=queue, fetch_bytes=fetch)
    system = replace(flows.system, chip=chip, hac_period=rng.choice([16, 50]))
    try:
        flows.program()
        chips = [_assembled(n, flows.records.get(n, []), system) for n in range(system.chips)]
        return check_program(Program(system, Topology.of(system), tuple(chips)))
    except TspError:
        return None


def _assembled(number: int, records: Sequence[Record], system: SystemSpec) -> ChipProgram:
    """The records of a chip, from its release on, in packed queues."""
    queues: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r[:2]):
        name = system.chip.queues[record.queue].name
        queues.setdefault(name, []).append(record._replace(at=record.at + system.release))
    starter = starter_of(queues, system)
    supplier = supply(queues, starter, (), system)
    texts = {name: text for name, text in supplier.texts.items() if text.records or name == starter}
    packed = {name: pack(text, system, starts=name == starter) for name, text in texts.items()}
    return packed_chip(number, packed, {name: tuple(chunks) for name, chunks in supplier.chunks.items()}, system)


def packed_chip(number: int, packed: Mapping[str, bytes], text: Text, system: SystemSpec) -> ChipProgram:
    """The program of packed queues, of the length that they have. Raises MalformedProgram."""
    records = decode_queues(packed, system)
    last = max((r.last for r in records if r.instruction.opcode != IFETCH), default=-1)
    return chip_program(number, program_length(last, system), records, (), packed, text, system.chip, {})
