"""The handlers of the SXM as IR: they sample, move lanes, and drive."""

from __future__ import annotations

from .build import I64, Module, Value
from .layout import Chip, Row
from .moves import Moves
from .streams import Handler, Streams


class Switch:
    """The handlers of the SXM."""

    def __init__(self, module: Module, moves: Moves, streams: Streams):
        self.module, self.moves, self.streams = module, moves, streams
        self.shift = self._shift()
        self.lane_select = self._lane_select()
        self.permute = self._permute()
        self.distribute = self._distribute()
        self.rotate = self._rotate()
        self.transpose = self._transpose()

    def _shift(self) -> Handler:
        f = Handler(self.module, "shift")
        source = self.streams.sample_operand(f)
        f.call(self.moves.shift, f.chip, self.streams.start_drive(f), source, f.field(Row.MODE))
        f.give()
        return f

    def _lane_select(self) -> Handler:
        f = Handler(self.module, "lane_select")
        sources = [self.streams.sample_operand(f, 0, i) for i in range(3)]
        f.call(self.moves.select, f.chip, self.streams.start_drive(f), *sources)
        f.give()
        return f

    def _permute(self) -> Handler:
        f = Handler(self.module, "permute")
        numbers, source = self.streams.sample_group(f, 2), self.streams.sample_operand(f, 0, 1)
        f.call(self.moves.permute, f.chip, self.streams.start_drive(f), *numbers, source)
        f.give()
        return f

    def _distribute(self) -> Handler:
        f = Handler(self.module, "distribute")
        numbers, source = (self.streams.sample_operand(f, 0, i) for i in range(2))
        f.call(self.moves.distribute, f.chip, self.streams.start_drive(f), numbers, source)
        f.give()
        return f

    def _rotate(self) -> Handler:
        f = Handler(self.module, "rotate")
        n = f.field(Row.MODE)
        self._put_vectors(f, n, f.b.mul(n, n))
        f.call(self.moves.rotate, f.chip, n)
        f.give()
        return f

    def _transpose(self) -> Handler:
        f = Handler(self.module, "transpose")
        side = f.size(Chip.TILE_LANES)
        self._put_vectors(f, side, side)
        f.call(self.moves.transpose, f.chip)
        f.give()
        return f

    def _put_vectors(self, f: Handler, sources: Value, targets: Value) -> None:
        """Samples so many streams of one group and drives so many of another: fills the table of vectors."""
        vectors = f.table(Chip.VECTORS)
        with f.loop(sources) as i:
            f.put(vectors, i, f.b.ptrtoint(self.streams.sample_operand(f, i), I64))
        with f.loop(targets) as i:
            f.put(vectors, f.b.add(sources, i), f.b.ptrtoint(self.streams.start_drive(f, i), I64))
