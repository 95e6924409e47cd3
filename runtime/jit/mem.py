"""The handlers of MEM as IR: words of a slice, and words that a map gives for every tile."""

from __future__ import annotations

from collections.abc import Callable

from ...dialects.instructions import ReadOp, WriteOp
from ...dialects.machine.instruction import Instruction
from .build import Module, Value
from .lanes import Lanes
from .layout import Chip
from .moves import Moves
from .semantics import EXECUTES
from .streams import Handler, Streams, vector_at


class Memory:
    """The handlers of MEM."""

    def __init__(self, module: Module, lanes: Lanes, moves: Moves, streams: Streams):
        self.module, self.lanes, self.moves, self.streams = module, lanes, moves, streams

    def _slice(self, f: Handler) -> Value:
        """The address of the unit's slice."""
        return f.at(f.table(Chip.SRAM), f.b.mul(f.unit, f.size(Chip.SLICE_BYTES)))

    @EXECUTES.executes(ReadOp)
    def read(self) -> Handler:
        f = Handler(self.module, "read")
        target = self.streams.start_drive(f)
        self.streams.move(f, target, vector_at(f, f.chip, self._slice(f), f.value))
        f.give()
        return f

    @EXECUTES.executes(WriteOp)
    def write(self) -> Handler:
        f = Handler(self.module, "write")
        source = self.streams.carry_operand(f)
        target = vector_at(f, f.chip, self._slice(f), f.value)
        with f.either(f.compare("==", f.tiles, 0)) as (all_, some):
            with all_:
                self.streams.move(f, target, source)
            with some:
                self.streams.move_some(f, target, source)
        f.give()
        return f

    def gather(self, instruction: Instruction) -> Handler:
        """The handler of an instruction that gathers words."""
        f = Handler(self.module, instruction.name)
        numbers = self.streams.sample_operand(f)
        f.call(
            self.moves.gathers[instruction.name], f.chip, self.streams.start_drive(f), numbers, self._slice(f), f.value
        )
        f.give()
        return f

    def scatter(
        self, instruction: Instruction, name: str, look: Callable[[Handler, Value], None] | None = None
    ) -> Handler:
        """The handler of an instruction that scatters words; `look` sees the number of each before it is written."""
        f = Handler(self.module, name)
        numbers, source = self.streams.sample_operand(f), self.streams.carry_operand(f, 1)
        tiles = f.b.select(f.compare("==", f.tiles, 0), f.size(Chip.TILES), f.tiles)
        if look is not None:
            with f.loop(tiles) as tile:
                look(f, EXECUTES[instruction](self.moves, f, f.chip, numbers, f.value, tile))
        f.call(self.moves.scatters[instruction.name], f.chip, numbers, source, self._slice(f), f.value, tiles)
        f.give()
        return f
