"""The handlers of the SXM as IR: what moves bytes between lanes.

A vector whose lanes move is first staged between zeros, so that a lane from beyond either end is zero, and lanes moved
by a constant are an unaligned load.
"""

from __future__ import annotations

from .build import I8, I16, I64, PTR, V64I8, WORD, Function, Module, Value, number, splat, vector
from .lanes import Lanes, transpose
from .layout import BLOCK, RUNS, Chip, Row
from .streams import Handler, Streams

_V64I16 = vector(I16, BLOCK)
_UNROLL = 8
_TILE = 16
"""Lanes of a tile for which a transpose has a faster way."""


class Switch:
    """The handlers of the SXM."""

    def __init__(self, module: Module, lanes: Lanes, streams: Streams):
        self.module, self.lanes, self.streams = module, lanes, streams
        self.take = self._take()
        """take_lanes(chip, target): of the staged vector the lanes that the numbers name"""
        self.shift = self._shift()
        self.lane_select = self._lane_select()
        self.permute = self._permute()
        self.distribute = self._distribute()
        self.rotate = self._rotate()
        self.transpose = self._transpose()

    def _stage(self, f: Handler, vector_: Value) -> Value:
        """Puts a vector between zeros; gives its new address."""
        stage = f.table(Chip.STAGE)
        f.call(self.lanes.cut, stage, vector_, f.size(Chip.LANES), f.size(Chip.BLOCKS))
        return stage

    # -- lanes moved by a constant -----------------------------------------------------------------------------

    def _shift(self) -> Handler:
        f = Handler(self.module, "shift")
        source = f.at(self._stage(f, self.streams.sample_operand(f)), f.field(Row.MODE))
        target = self.streams.start_drive(f)
        with f.loop(f.size(Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            f.store(f.load(f.at(source, offset), V64I8, 1), f.at(target, offset), BLOCK)
        f.give()
        return f

    def _rotate(self) -> Handler:
        """Of a run of n lanes rotated by c, those that stay in the run come from c lanes above; the others wrap round,
        and come from n - c below."""
        f = Handler(self.module, "rotate")
        n = f.field(Row.MODE)
        stride, blocks = f.size(Chip.STRIDE), f.size(Chip.BLOCKS)
        tables = f.b.mul(f.b.sub(n, number(RUNS[0])), f.b.mul(stride, number(2 * RUNS[-1])))
        tables = f.at(f.table(Chip.ROTATIONS), tables)
        with f.loop(n) as r:
            above = self._stage(f, self.streams.sample_operand(f, r))
            below = f.at(above, f.b.neg(n))
            with f.loop(n) as c:
                target = self.streams.start_drive(f, f.b.add(f.b.mul(n, r), c))
                stay = f.at(tables, f.b.mul(c, f.b.mul(stride, number(2))))
                wrap = f.at(stay, stride)
                with f.loop(blocks) as i:
                    offset = f.b.mul(i, number(BLOCK))
                    moved = f.b.add(offset, c)
                    parts = [
                        f.b.and_(f.load(f.at(source, moved), V64I8, 1), f.load(f.at(mask, offset), V64I8, BLOCK))
                        for source, mask in ((above, stay), (below, wrap))
                    ]
                    f.store(f.b.or_(*parts), f.at(target, offset), BLOCK)
        f.give()
        return f

    # -- lanes that vectors name -------------------------------------------------------------------------------

    def _lane_select(self) -> Handler:
        f = Handler(self.module, "lane_select")
        sources = [self.streams.sample_operand(f, 0, i) for i in range(3)]
        target = self.streams.start_drive(f)
        with f.loop(f.size(Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            mask, a, b = (f.load(f.at(source, offset), V64I8, BLOCK) for source in sources)
            chosen = f.b.select(f.b.icmp_unsigned("!=", mask, splat(0, V64I8)), a, b)
            f.store(chosen, f.at(target, offset), BLOCK)
        f.give()
        return f

    def _permute(self) -> Handler:
        f = Handler(self.module, "permute")
        low, high = self.streams.sample_group(f, 2)
        self._stage(f, self.streams.sample_operand(f, 0, 1))
        end = f.broadcast(f.b.trunc(f.size(Chip.LANES), I16), BLOCK)
        umin = f.module.intrinsic("llvm.umin.v64i16", _V64I16, [_V64I16, _V64I16])
        with f.loop(f.size(Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            parts = [f.b.zext(f.load(f.at(v, offset), V64I8, BLOCK), _V64I16) for v in (low, high)]
            numbers = f.b.or_(parts[0], f.b.shl(parts[1], splat(8, _V64I16)))
            self._put_numbers(f, i, f.call(umin, numbers, end))
        f.call(self.take, f.chip, self.streams.start_drive(f))
        f.give()
        return f

    def _distribute(self) -> Handler:
        f = Handler(self.module, "distribute")
        wanted = self.streams.sample_operand(f)
        self._stage(f, self.streams.sample_operand(f, 0, 1))
        end, side = (f.broadcast(f.b.trunc(f.size(w), I16), BLOCK) for w in (Chip.LANES, Chip.TILE_LANES))
        with f.loop(f.size(Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            lanes = f.b.zext(f.load(f.at(wanted, offset), V64I8, BLOCK), _V64I16)
            first = f.load(f.at(f.table(Chip.TILE_STARTS), f.b.mul(offset, number(2))), _V64I16, BLOCK)
            inside = f.b.icmp_unsigned("<", lanes, side)
            self._put_numbers(f, i, f.b.select(inside, f.b.add(first, lanes), end))
        f.call(self.take, f.chip, self.streams.start_drive(f))
        f.give()
        return f

    def _put_numbers(self, f: Handler, block: Value, numbers: Value) -> None:
        f.store(numbers, f.at(f.table(Chip.NUMBERS), f.b.mul(block, number(2 * BLOCK))), BLOCK)

    def _take(self) -> Function:
        f = Function(self.module, "take_lanes", [PTR, PTR])
        chip, target = f.arguments
        stage, numbers = f.pointer(chip, Chip.STAGE), f.pointer(chip, Chip.NUMBERS)
        with f.loop(f.b.mul(f.word(chip, Chip.BLOCKS), number(BLOCK // _UNROLL))) as i:
            for j in range(_UNROLL):
                lane = f.b.add(f.b.mul(i, number(_UNROLL)), number(j))
                source = f.b.zext(f.load(f.at(numbers, f.b.mul(lane, number(2))), I16, 2), I64)
                f.store(f.load(f.at(stage, source), I8, 1), f.at(target, lane), 1)
        f.give()
        return f

    # -- transpose ---------------------------------------------------------------------------------------------

    def _transpose(self) -> Handler:
        f = Handler(self.module, "transpose")
        side = f.size(Chip.TILE_LANES)
        sources = f.table(Chip.SQUARE)
        targets = f.at(sources, f.b.mul(side, number(WORD)))
        with f.loop(side) as i:
            f.put(sources, i, f.b.ptrtoint(self.streams.sample_operand(f, i), I64))
        with f.loop(side) as i:
            f.put(targets, i, f.b.ptrtoint(self.streams.start_drive(f, i), I64))
        with f.either(f.compare("==", side, _TILE)) as (usual, other):
            with usual, f.loop(f.size(Chip.BLOCKS)) as i:
                offset = f.b.mul(i, number(BLOCK))
                rows = [f.load(f.at(f.pointer(sources, j), offset), V64I8, BLOCK) for j in range(_TILE)]
                for j, column in enumerate(transpose(f, rows)):
                    f.store(column, f.at(f.pointer(targets, j), offset), BLOCK)
            with other, f.loop(f.size(Chip.TILES)) as tile, f.loop(side) as i:
                first = f.b.mul(tile, side)
                target = f.pointer(targets, i)
                with f.loop(side) as j:
                    byte = f.load(f.at(f.pointer(sources, j), f.b.add(first, i)), I8, 1)
                    f.store(byte, f.at(target, f.b.add(first, j)), 1)
        f.give()
        return f
