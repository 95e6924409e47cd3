"""Mutations of programs: of their records, of the bytes of their queues, and of where their text lies."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from tspc.dialects.errors import MalformedProgram, TspError
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import INSTRUCTION_BYTES, Loop, Record
from tspc.dialects.machine.limits import MOST_CYCLES
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.programs.records import ChipProgram, Program, check_program, configured, program_length

from .programs import noise, overlapping_program, plain_program, random_program, random_value
from .supplied import packed_chip, supplied_program

EDGES = (0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 65535, 65536, 1 << 20, MOST_CYCLES - 1, 1 << 33, 1 << 48, -1)
"""Numbers at which something ends."""


def mutated_program(seed: int) -> Program | None:
    """A program with up to four mutations; None where the result is refused before it could run."""
    rng = random.Random(seed)
    make = rng.choice([random_program, random_program, plain_program, overlapping_program, noise, supplied_program])
    program = make(rng.randrange(1 << 32))
    if program is None:
        return None
    change = _mutated_bytes if make is supplied_program and rng.random() < 0.8 else _mutated_records
    try:
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            program = change(rng, program)
        return check_program(program)
    except TspError:
        return None


def _with_chip(program: Program, index: int, chip: ChipProgram) -> Program:
    return replace(program, chips=(*program.chips[:index], chip, *program.chips[index + 1 :]))


# -- records -------------------------------------------------------------------------------------------------------


def _mutated_records(rng: random.Random, program: Program) -> Program:
    """One record in timed form is gone, another, or there twice; the chip's length follows, but not always."""
    index = rng.randrange(len(program.chips))
    chip = program.chips[index]
    records = [r._replace(tiles=0) for r in chip.records]
    if records:
        at = rng.randrange(len(records))
        record = records[at]
        kind = rng.randrange(8)
        if kind == 0:
            del records[at]
        elif kind == 1:
            records.append(_moved(rng, record))
        else:
            records[at] = rng.choice(_CHANGES)(rng, record, program.system)
    ordered = configured(sorted(records, key=lambda r: r[:2]))
    length = program_length(max((r.last for r in ordered), default=-1), program.system) + (rng.random() < 0.02)
    return _with_chip(program, index, ChipProgram(chip.chip, length, ordered, (), {}))


def _moved(rng: random.Random, record: Record, system: SystemSpec | None = None) -> Record:
    """In another cycle."""
    if rng.random() < 0.1:
        return record._replace(at=rng.choice(EDGES))
    return record._replace(at=max(0, record.at + rng.choice([-40, -7, -3, -2, -1, 1, 2, 3, 7, 40])))


def _other_value(rng: random.Random, record: Record, system: SystemSpec) -> Record:
    """With another value in a field, likely or not."""
    fields = record.instruction.fields
    if not fields:
        return _moved(rng, record)
    i = rng.randrange(len(fields))
    value = rng.choice(
        [
            random_value(rng, fields[i], system.chip),
            max(0, record.values[i] ^ 1 << rng.randrange(fields[i].bits)),
            max(0, record.values[i] + rng.choice([-1, 1])),
            max(0, rng.choice(EDGES)),
        ]
    )
    return record._replace(values=(*record.values[:i], value, *record.values[i + 1 :]))


def _other_loops(rng: random.Random, record: Record, system: SystemSpec) -> Record:
    """Repeated in another way."""
    loops = list(record.loops)
    if not loops or rng.random() < 0.3:
        last = record.last + 1 - record.at
        loops.append(Loop(rng.choice([2, 3, 9]), last + rng.choice([-1, 0, 0, 1, 5]), rng.choice([-1, 0, 0, 1])))
    elif rng.random() < 0.3:
        del loops[rng.randrange(len(loops))]
    else:
        i = rng.randrange(len(loops))
        name = rng.choice(Loop._fields)
        value = rng.choice([getattr(loops[i], name) + rng.choice([-1, 1]), rng.choice(EDGES)])
        loops[i] = loops[i]._replace(**{name: value})
    return record._replace(loops=tuple(loops))


def _other_queue(rng: random.Random, record: Record, system: SystemSpec) -> Record:
    """On another queue, mostly of the same kind."""
    queues = system.chip.queues
    kind = queues[record.queue].kind
    alike = [i for i, q in enumerate(queues) if q.kind == kind]
    return record._replace(queue=rng.choice(alike) if rng.random() < 0.9 else rng.randrange(len(queues)))


def _other_instruction(rng: random.Random, record: Record, system: SystemSpec) -> Record:
    """Another instruction of the same queue."""
    kind = system.chip.queues[record.queue].kind
    instruction = rng.choice([i for i in TABLE.by_name.values() if kind in i.kinds])
    values = tuple(random_value(rng, f, system.chip) for f in instruction.fields)
    return record._replace(instruction=instruction, values=values, loops=record.loops[:1])


_CHANGES: Sequence[Callable[[random.Random, Record, SystemSpec], Record]] = (
    _moved,
    _moved,
    _other_value,
    _other_value,
    _other_loops,
    _other_queue,
    _other_instruction,
)


# -- bytes ---------------------------------------------------------------------------------------------------------


def _mutated_bytes(rng: random.Random, program: Program) -> Program:
    """Other bytes in a packed queue, or a chunk of text in other words. Raises MalformedProgram."""
    index = rng.randrange(len(program.chips))
    chip = program.chips[index]
    packed, text = dict(chip.packed), dict(chip.text)
    fed = [name for name, chunks in text.items() if chunks]
    if fed and rng.random() < 0.2:
        name = rng.choice(fed)
        chunks = list(text[name])
        i = rng.randrange(len(chunks))
        words = list(chunks[i])
        side = rng.randrange(2)
        words[side] = words[side]._replace(address=max(0, words[side].address + rng.choice([-1, 1])))
        chunks[i] = (words[0], words[1])
        text[name] = tuple(chunks)
    else:
        name = rng.choice([*packed])
        packed[name] = mutated_queue(rng, packed[name], program.system)
    return _with_chip(program, index, packed_chip(chip.chip, packed, text, program.system))


def mutated_queue(rng: random.Random, data: bytes, system: SystemSpec) -> bytes:
    """A packed queue with another bit, number or instruction."""
    words = [data[i : i + INSTRUCTION_BYTES] for i in range(0, len(data), INSTRUCTION_BYTES)] or [bytes(16)]
    i, j = rng.randrange(len(words)), rng.randrange(len(words))
    match rng.randrange(7):
        case 0:
            words[i] = (int.from_bytes(words[i], "little") ^ 1 << rng.randrange(128)).to_bytes(16, "little")
        case 1:
            words[i], words[j] = words[j], words[i]
        case 2:
            words.insert(i, words[j])
        case 3:
            del words[i]
        case 4:
            instruction = rng.choice([*TABLE.by_name.values()])
            words.insert(i, instruction.encode([random_value(rng, f, system.chip) for f in instruction.fields]))
        case _:
            instruction = TABLE.by_opcode.get(words[i][0])
            if instruction is not None and instruction.fields:
                values = [f.low for f in instruction.fields]
                with suppress(MalformedProgram):
                    values = [*TABLE.decode(words[i])[1]]
                k = rng.randrange(len(instruction.fields))
                value = max(0, rng.choice([values[k] + 1, values[k] - 1, rng.choice(EDGES)]))
                words[i] = instruction.encode([*values[:k], value, *values[k + 1 :]])
    return b"".join(words)
