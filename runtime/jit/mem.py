"""The handlers of MEM as IR: words of a slice, and words that a map gives for every tile."""

from __future__ import annotations

from .build import I8, I32, I64, PTR, Function, Module, Value, number
from .lanes import Lanes
from .layout import Chip
from .streams import Handler, Streams, vector_at


class Memory:
    """The handlers of MEM."""

    def __init__(self, module: Module, lanes: Lanes, streams: Streams):
        self.module, self.lanes, self.streams = module, lanes, streams
        self.copy_tile = self._copy_tile()
        """copy_tile(target, source, bytes)"""
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
        target = self.streams.start_drive(f)
        with f.loop(f.size(Chip.TILES)) as tile:
            lane, word = self._tile(f, numbers, tile)
            f.call(self.copy_tile, f.at(target, lane), f.at(word, lane), f.size(Chip.TILE_LANES))
        f.give()
        return f

    def _scatter(self) -> Handler:
        f = Handler(self.module, "scatter")
        numbers, source = (self.streams.sample_operand(f, 0, i) for i in range(2))
        with f.loop(self.tiles_on(f)) as tile:
            lane, word = self._tile(f, numbers, tile)
            f.call(self.copy_tile, f.at(word, lane), f.at(source, lane), f.size(Chip.TILE_LANES))
        f.give()
        return f

    def tiles_on(self, f: Handler) -> Value:
        """The superlanes that are on."""
        return f.b.select(f.compare("==", f.tiles, 0), f.size(Chip.TILES), f.tiles)

    def _tile(self, f: Handler, numbers: Value, tile: Value) -> tuple[Value, Value]:
        """The first lane of a tile, and the address of the word that the map gives for it."""
        lane, word = self.tile_word(f, numbers, tile)
        return lane, vector_at(f, f.chip, self._slice(f), word)

    def tile_word(self, f: Handler, numbers: Value, tile: Value) -> tuple[Value, Value]:
        """The first lane of a tile, and the number of the word that the map gives for it."""
        lane = f.b.mul(tile, f.size(Chip.TILE_LANES))
        low, high = (f.b.zext(f.load(f.at(numbers, f.b.add(lane, number(i))), I8, 1), I32) for i in range(2))
        moved = f.b.add(low, f.b.shl(high, number(8, I32)))
        word = f.b.urem(f.b.add(f.b.trunc(f.value, I32), moved), f.b.trunc(f.size(Chip.SRAM_WORDS), I32))
        return lane, f.b.zext(word, I64)

    def _copy_tile(self) -> Function:
        f = Function(self.module, "copy_tile", [PTR, PTR, I64], inline=True)
        target, source, size = f.arguments
        with f.loop(f.b.lshr(size, number(3))) as i:
            offset = f.b.shl(i, number(3))
            f.store(f.load(f.at(source, offset), I64, 1), f.at(target, offset), 1)
        whole = f.b.and_(size, number(-8))
        with f.loop(f.b.and_(size, number(7))) as i:
            offset = f.b.add(whole, i)
            f.store(f.load(f.at(source, offset), I8, 1), f.at(target, offset), 1)
        f.give()
        return f
