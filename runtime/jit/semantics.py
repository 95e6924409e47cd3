"""The semantics functions of the JIT engine: Python functions that build the code of an instruction.

What such a function is called with depends on the effect of its instruction. Where bulk mode executes the instruction
by itself, the function is written for both modes, since it sees addresses only:

* MOVE: `function(moves, f, chip, vectors, fields)` appends to `f` what moves the lanes. The addresses of what is
  sampled, in the order of the fields, and then of what is driven are in the table at `vectors`.
* GATHER, SCATTER: `function(moves, f, chip, numbers, added, tile)` gives the number of the word of a tile; `numbers` is
  the address of the vector of the first operand, and `added` the value of the stepping field.

Elsewhere it is `function(unit)` and gives the handler of an issue in cycle mode, `unit` being the part of the kernel
for the kind of queue that executes the instruction; bulk mode goes by the effect alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

from ...dialects.instructions import TABLE
from ...dialects.machine.effects import Effect
from ...dialects.machine.instruction import Field, Instruction
from ..semantics import Semantics

EXECUTES: Semantics[Callable[..., Any]] = Semantics("JIT")
"""The functions."""


def kept_fields(instruction: Instruction) -> Iterator[tuple[Field, int]]:
    """The fields that are neither streams nor moved by `repeat`, each with its lowest bit in the record's mode."""
    bit = 0
    for field in instruction.fields:
        if not (field.role or field.steps):
            yield field, bit
            bit += field.bits


def pack_fields(instruction: Instruction, values: Sequence[int]) -> int:
    """The mode of a record: the values of its other fields, one after the other."""
    return sum(values[instruction.index(field.name)] << bit for field, bit in kept_fields(instruction))


def opcodes_of(*effects: Effect) -> list[int]:
    """The opcodes of the instructions of some effects."""
    return [instruction.opcode for instruction in TABLE.with_effect(*effects)]


def table_key() -> bytes:
    """What kernels depend on beside the sources of this package: the instructions, and the functions for them that are
    registered elsewhere."""
    rows = [repr(TABLE.by_opcode[opcode]) for opcode in sorted(TABLE.by_opcode)]
    others = [f.__code__ for f in EXECUTES if not f.__module__.startswith(__package__ or "")]
    return "\n".join([*rows, *map(_code_text, others)]).encode()


def _code_text(code: CodeType) -> str:
    """What a function does, the same in every process."""
    constants = [_code_text(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {constants}"
