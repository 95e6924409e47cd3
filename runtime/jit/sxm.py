"""The handlers of the SXM as IR, and of all that only moves lanes: they sample, move, and drive."""

from __future__ import annotations

from ...dialects.machine.instruction import Instruction
from .build import I64, Module, Value, number
from .layout import Chip, Row
from .moves import Moves, width_of
from .streams import Handler, Streams


class Switch:
    """The handlers of the instructions that move lanes."""

    def __init__(self, module: Module, moves: Moves, streams: Streams):
        self.module, self.moves, self.streams = module, moves, streams

    def handler(self, instruction: Instruction) -> Handler:
        """Fills the table of vectors with what is sampled and what is driven, and has the lanes moved."""
        f = Handler(self.module, instruction.name)
        done: Value = number(0)
        for role in ("read", "drive"):
            groups = [field.group for field in instruction.fields if field.role == role]
            for operand, group in enumerate(groups):
                width = width_of(f, f.chip, group)
                if isinstance(group, int):
                    numbers = range(group)
                    vectors = self._vectors(f, role, group, operand)
                    for i, vector in zip(numbers, vectors, strict=True):
                        f.put(f.table(Chip.VECTORS), f.b.add(done, number(i)), f.b.ptrtoint(vector, I64))
                else:
                    with f.loop(width) as i:
                        (vector,) = self._vectors(f, role, 1, operand, i)
                        f.put(f.table(Chip.VECTORS), f.b.add(done, i), f.b.ptrtoint(vector, I64))
                done = f.b.add(done, width)
        f.call(self.moves.moves[instruction.name], f.chip, f.field(Row.MODE))
        f.give()
        return f

    def _vectors(self, f: Handler, role: str, width: int, operand: int, first: Value | int = 0) -> list[Value]:
        """The addresses of so many vectors of a group, from number `first` on."""
        if role == "read":
            return self.streams.sample_group(f, width, first, operand)
        start = number(first) if isinstance(first, int) else first
        return [self.streams.start_drive(f, f.b.add(start, number(i))) for i in range(width)]
