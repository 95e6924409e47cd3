"""The handlers of MEM as IR: words of a slice, and words that a map gives for every tile."""

from __future__ import annotations

from collections.abc import Callable

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
        self.scatter = self.scatter_handler("scatter")

    def _slice(self, f: Handler) -> Value:
        """The address of the unit's slice."""
        return f.at(f.table(Chip.SRAM), f.b.mul(f.unit, f.size(Chip.SLICE_BYTES)))

    def _read(self) -> Handler:
        f = Handler(self.module, "read")
        target = self.streams.start_drive(f)
        self.streams.move(f, target, vector_at(f, f.chip, self._slice(f), f.value))
        f.give()
        return f

    def _write(self) -> Handler:
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

    def _gather(self) -> Handler:
        f = Handler(self.module, "gather")
        numbers = self.streams.sample_operand(f)
        target = self.streams.start_drive(f)
        with f.loop(f.size(Chip.TILES)) as tile:
            lane, word = self._tile(f, numbers, tile)
            self._move_tile(f, target, word, tile, lane)
        f.give()
        return f

    def scatter_handler(self, name: str, look: Callable[[Handler, Value], None] | None = None) -> Handler:
        """The handler of scatter; `look` sees the number of every word before it is written."""
        f = Handler(self.module, name)
        numbers, source = self.streams.sample_operand(f), self.streams.carry_operand(f, 1)
        tiles = f.b.select(f.compare("==", f.tiles, 0), f.size(Chip.TILES), f.tiles)
        with f.loop(tiles) as tile:
            lane, word = self._tile(f, numbers, tile, look)
            self._move_tile(f, word, source, tile, lane)
        f.give()
        return f

    def _tile(
        self, f: Handler, numbers: Value, tile: Value, look: Callable[[Handler, Value], None] | None = None
    ) -> tuple[Value, Value]:
        """The first lane of a tile, and the address of the word that the map gives for it."""
        lane = f.b.mul(tile, f.size(Chip.TILE_LANES))
        low, high = (f.b.zext(f.load(f.at(numbers, f.b.add(lane, number(i))), I8, 1), I32) for i in range(2))
        moved = f.b.add(low, f.b.shl(high, number(8, I32)))
        word = f.b.urem(f.b.add(f.b.trunc(f.value, I32), moved), f.b.trunc(f.size(Chip.SRAM_WORDS), I32))
        word = f.b.zext(word, I64)
        if look is not None:
            look(f, word)
        return lane, vector_at(f, f.chip, self._slice(f), word)

    def _move_tile(self, f: Handler, target: Value, source: Value, tile: Value, lane: Value) -> None:
        """Copies a superlane of a vector, whose first lane is given, with all that it carries."""
        for offset, size in [(lane, Chip.TILE_LANES), *self.streams.carried(f, tile)]:
            f.call(self.copy_tile, f.at(target, offset), f.at(source, offset), f.size(size))

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
