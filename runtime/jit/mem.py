"""The handlers of MEM as IR: words of a slice, and words that a map gives for every tile."""

from __future__ import annotations

from .build import Module, Value
from .lanes import Lanes
from .layout import Chip
from .moves import Moves
from .streams import Handler, Streams, vector_at


class Memory:
    """The handlers of MEM."""

    def __init__(self, module: Module, lanes: Lanes, moves: Moves, streams: Streams):
        self.module, self.lanes, self.moves, self.streams = module, lanes, moves, streams
        self.read = self._read()
        self.write = self._write()
        self.gather = self._gather()
        self.scatter = self._scatter()

    def _slice(self, f: Handler) -> Value:
        """The address of the unit's slice."""
        return f.at(f.table(Chip.SRAM), f.b.mul(f.unit, f.size(Chip.SLICE_BYTES)))

    def _read(self) -> Handler:
        f = Handler(self.module, "read")
        target = self.streams.start_drive(f)
        f.call(self.lanes.copy, target, vector_at(f, f.chip, self._slice(f), f.value), f.size(Chip.BLOCKS))
        f.give()
        return f

    def _write(self) -> Handler:
        f = Handler(self.module, "write")
        source = self.streams.sample_operand(f)
        target = vector_at(f, f.chip, self._slice(f), f.value)
        with f.either(f.compare("==", f.tiles, 0)) as (all_, some):
            with all_:
                f.call(self.lanes.copy, target, source, f.size(Chip.BLOCKS))
            with some:
                lanes = f.b.mul(f.tiles, f.size(Chip.TILE_LANES))
                f.call(self.lanes.blend, target, source, lanes, f.size(Chip.BLOCKS))
        f.give()
        return f

    def _gather(self) -> Handler:
        f = Handler(self.module, "gather")
        numbers = self.streams.sample_operand(f)
        f.call(self.moves.gather, f.chip, self.streams.start_drive(f), numbers, self._slice(f), f.value)
        f.give()
        return f

    def _scatter(self) -> Handler:
        f = Handler(self.module, "scatter")
        numbers, source = (self.streams.sample_operand(f, 0, i) for i in range(2))
        tiles = f.b.select(f.compare("==", f.tiles, 0), f.size(Chip.TILES), f.tiles)
        f.call(self.moves.scatter, f.chip, numbers, source, self._slice(f), f.value, tiles)
        f.give()
        return f
