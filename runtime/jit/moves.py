"""What moves bytes between lanes and words as IR: the functions behind the handlers of the SXM, and behind those of MEM
that take a map. Each works on vectors at given addresses, and takes the words of the chip first.

A vector whose lanes move is first staged between zeros, so that a lane from beyond either end is zero, and lanes moved
by a constant are an unaligned load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...dialects.instructions import (
    TABLE,
    DistributeOp,
    GatherOp,
    LaneSelectOp,
    PermuteOp,
    RotateFourOp,
    RotateThreeOp,
    ScatterOp,
    ShiftOp,
    TransposeOp,
)
from ...dialects.machine.effects import Effect
from ...dialects.machine.instruction import Instruction
from .build import I8, I16, I32, I64, PTR, V64I8, WORD, Function, Module, Value, number, splat, vector
from .lanes import Lanes, transpose
from .layout import BLOCK, RUNS, Chip
from .semantics import EXECUTES, kept_fields

_V64I16 = vector(I16, BLOCK)
_UNROLL = 8
_TILE = 16
"""Lanes of a tile for which there are faster ways."""


Fields = Mapping[str, Value]
"""The fields of an issue that are neither streams nor moved by `repeat`."""

Carried = Callable[[Function, Value, Value], list[tuple[Value, Chip]]]
"""By function, chip and superlane: what vectors carry beside their lanes, as `Streams.carried` says it."""


class Moves:
    """The functions."""

    def __init__(self, module: Module, lanes: Lanes, carried: Carried = lambda f, chip, tile: []):
        self.module, self.lanes, self.carried = module, lanes, carried
        self._take = self._take_lanes()
        """take_lanes(chip, target): of the staged vector the lanes that the numbers name"""
        self.moves = {i.name: self._move(i) for i in TABLE.with_effect(Effect.MOVE)}
        """By mnemonic move(chip, mode): of the vectors in the table of vectors to those that follow there"""
        self.gathers = {i.name: self._gather(i) for i in TABLE.with_effect(Effect.GATHER)}
        """By mnemonic gather(chip, target, map, slice, number): `number` is added to the map's"""
        self.scatters = {i.name: self._scatter(i) for i in TABLE.with_effect(Effect.SCATTER)}
        """By mnemonic scatter(chip, map, source, slice, number, superlanes)"""

    def _function(self, name: str, arguments: list[Value]) -> Function:
        return Function(self.module, name, [PTR, *arguments])

    def _move(self, instruction: Instruction) -> Function:
        f = self._function(f"{instruction.name}_lanes", [I64])
        chip, mode = f.arguments
        fields = unpack_fields(f, instruction, mode)
        EXECUTES[instruction](self, f, chip, f.pointer(chip, Chip.VECTORS), fields)
        f.give()
        return f

    def _stage(self, f: Function, chip: Value, source: Value) -> Value:
        """Puts a vector between zeros; gives its new address."""
        stage = f.pointer(chip, Chip.STAGE)
        f.call(self.lanes.cut, stage, source, f.word(chip, Chip.LANES), f.word(chip, Chip.BLOCKS))
        return stage

    # -- lanes moved by a constant -----------------------------------------------------------------------------

    @EXECUTES.executes(ShiftOp)
    def shift(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        source, target = (f.pointer(vectors, i) for i in range(2))
        lanes = f.word(chip, Chip.LANES)
        count = f.b.select(f.compare("<", fields["count"], lanes), fields["count"], lanes)
        down = f.b.select(f.compare("!=", fields["way"], 0), count, f.b.neg(count))
        moved = f.at(self._stage(f, chip, source), down)
        with f.loop(f.word(chip, Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            f.store(f.load(f.at(moved, offset), V64I8, 1), f.at(target, offset), BLOCK)

    @EXECUTES.executes(RotateThreeOp)
    def rotate3(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        self._rotate(f, chip, vectors, 3)

    @EXECUTES.executes(RotateFourOp)
    def rotate4(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        self._rotate(f, chip, vectors, 4)

    def _rotate(self, f: Function, chip: Value, vectors: Value, length: int) -> None:
        """Of a run of n lanes rotated by c, those that stay in the run come from c lanes above; the others wrap round,
        and come from n - c below."""
        stride, n = f.word(chip, Chip.STRIDE), number(length)
        tables = f.b.mul(f.b.sub(n, number(RUNS[0])), f.b.mul(stride, number(2 * RUNS[-1])))
        tables = f.at(f.pointer(chip, Chip.ROTATIONS), tables)
        with f.loop(n) as r:
            above = self._stage(f, chip, f.pointer(vectors, r))
            below = f.at(above, f.b.neg(n))
            with f.loop(n) as c:
                target = f.pointer(vectors, f.b.add(n, f.b.add(f.b.mul(n, r), c)))
                stay = f.at(tables, f.b.mul(c, f.b.mul(stride, number(2))))
                wrap = f.at(stay, stride)
                with f.loop(f.word(chip, Chip.BLOCKS)) as i:
                    offset = f.b.mul(i, number(BLOCK))
                    moved = f.b.add(offset, c)
                    parts = [
                        f.b.and_(f.load(f.at(source, moved), V64I8, 1), f.load(f.at(mask, offset), V64I8, BLOCK))
                        for source, mask in ((above, stay), (below, wrap))
                    ]
                    f.store(f.b.or_(*parts), f.at(target, offset), BLOCK)

    # -- lanes that vectors name -------------------------------------------------------------------------------

    @EXECUTES.executes(LaneSelectOp)
    def lane_select(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        *sources, target = (f.pointer(vectors, i) for i in range(4))
        with f.loop(f.word(chip, Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            mask, a, b = (f.load(f.at(source, offset), V64I8, BLOCK) for source in sources)
            chosen = f.b.select(f.b.icmp_unsigned("!=", mask, splat(0, V64I8)), a, b)
            f.store(chosen, f.at(target, offset), BLOCK)

    @EXECUTES.executes(PermuteOp)
    def permute(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        low, high, source, target = (f.pointer(vectors, i) for i in range(4))
        self._stage(f, chip, source)
        end = f.broadcast(f.b.trunc(f.word(chip, Chip.LANES), I16), BLOCK)
        umin = f.module.intrinsic("llvm.umin.v64i16", _V64I16, [_V64I16, _V64I16])
        with f.loop(f.word(chip, Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            parts = [f.b.zext(f.load(f.at(v, offset), V64I8, BLOCK), _V64I16) for v in (low, high)]
            numbers = f.b.or_(parts[0], f.b.shl(parts[1], splat(8, _V64I16)))
            self._put_numbers(f, chip, i, f.call(umin, numbers, end))
        f.call(self._take, chip, target)

    @EXECUTES.executes(DistributeOp)
    def distribute(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        wanted, source, target = (f.pointer(vectors, i) for i in range(3))
        self._stage(f, chip, source)
        end, side = (f.broadcast(f.b.trunc(f.word(chip, w), I16), BLOCK) for w in (Chip.LANES, Chip.TILE_LANES))
        with f.loop(f.word(chip, Chip.BLOCKS)) as i:
            offset = f.b.mul(i, number(BLOCK))
            lanes = f.b.zext(f.load(f.at(wanted, offset), V64I8, BLOCK), _V64I16)
            first = f.load(f.at(f.pointer(chip, Chip.TILE_STARTS), f.b.mul(offset, number(2))), _V64I16, BLOCK)
            inside = f.b.icmp_unsigned("<", lanes, side)
            self._put_numbers(f, chip, i, f.b.select(inside, f.b.add(first, lanes), end))
        f.call(self._take, chip, target)

    def _put_numbers(self, f: Function, chip: Value, block: Value, numbers: Value) -> None:
        f.store(numbers, f.at(f.pointer(chip, Chip.NUMBERS), f.b.mul(block, number(2 * BLOCK))), BLOCK)

    def _take_lanes(self) -> Function:
        f = self._function("take_lanes", [PTR])
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

    @EXECUTES.executes(TransposeOp)
    def transpose(self, f: Function, chip: Value, vectors: Value, fields: Fields) -> None:
        side, sources = f.word(chip, Chip.TILE_LANES), vectors
        targets = f.at(sources, f.b.mul(side, number(WORD)))
        with f.either(f.compare("==", side, _TILE)) as (usual, other):
            with usual, f.loop(f.word(chip, Chip.BLOCKS)) as i:
                offset = f.b.mul(i, number(BLOCK))
                rows = [f.load(f.at(f.pointer(sources, j), offset), V64I8, BLOCK) for j in range(_TILE)]
                for j, column in enumerate(transpose(f, rows)):
                    f.store(column, f.at(f.pointer(targets, j), offset), BLOCK)
            with other, f.loop(f.word(chip, Chip.TILES)) as tile, f.loop(side) as i:
                first = f.b.mul(tile, side)
                target = f.pointer(targets, i)
                with f.loop(side) as j:
                    byte = f.load(f.at(f.pointer(sources, j), f.b.add(first, i)), I8, 1)
                    f.store(byte, f.at(target, f.b.add(first, j)), 1)

    # -- words that maps name ----------------------------------------------------------------------------------

    def _gather(self, instruction: Instruction) -> Function:
        f = self._function(f"{instruction.name}_words", [PTR, PTR, PTR, I64])
        chip, target, numbers, slice_, added = f.arguments
        with f.loop(f.word(chip, Chip.TILES)) as tile:
            word = EXECUTES[instruction](self, f, chip, numbers, added, tile)
            self._move_tile(f, chip, target, _word_at(f, chip, slice_, word), tile)
        f.give()
        return f

    def _scatter(self, instruction: Instruction) -> Function:
        f = self._function(f"{instruction.name}_words", [PTR, PTR, PTR, I64, I64])
        chip, numbers, source, slice_, added, tiles = f.arguments
        with f.loop(tiles) as tile:
            word = EXECUTES[instruction](self, f, chip, numbers, added, tile)
            self._move_tile(f, chip, _word_at(f, chip, slice_, word), source, tile)
        f.give()
        return f

    @EXECUTES.executes(GatherOp, ScatterOp)
    def word(self, f: Function, chip: Value, numbers: Value, added: Value, tile: Value) -> Value:
        """The number of the word that a map gives for a tile."""
        lane = f.b.mul(tile, f.word(chip, Chip.TILE_LANES))
        low, high = (f.b.zext(f.load(f.at(numbers, f.b.add(lane, number(i))), I8, 1), I32) for i in range(2))
        moved = f.b.add(f.b.trunc(added, I32), f.b.add(low, f.b.shl(high, number(8, I32))))
        words = f.b.trunc(f.word(chip, Chip.SRAM_WORDS), I32)
        word = f.variable(moved)
        with f.when(f.b.icmp_unsigned(">=", moved, words)):
            word.set(f.b.urem(moved, words))
        return f.b.zext(word.get(), I64)

    def _move_tile(self, f: Function, chip: Value, target: Value, source: Value, tile: Value) -> None:
        """Copies a superlane of a vector with all that it carries."""
        lane = f.b.mul(tile, f.word(chip, Chip.TILE_LANES))
        for offset, size in [(lane, Chip.TILE_LANES), *self.carried(f, chip, tile)]:
            _copy_tile(f, f.at(target, offset), f.at(source, offset), f.word(chip, size))


def _word_at(f: Function, chip: Value, slice_: Value, word: Value) -> Value:
    """The address of a word of a slice."""
    return f.at(slice_, f.b.mul(word, f.word(chip, Chip.STRIDE)))


def unpack_fields(f: Function, instruction: Instruction, mode: Value) -> Fields:
    """What `pack_fields` made the mode of."""
    return {
        field.name: f.b.and_(f.b.lshr(mode, number(bit)), number(field.high)) for field, bit in kept_fields(instruction)
    }


def width_of(f: Function, chip: Value, group: int | str) -> Value:
    """The streams of a group of what moves lanes: a number, or what a field of the chip says."""
    return number(group) if isinstance(group, int) else f.word(chip, _WIDTHS[group])


_WIDTHS = {"lanes_per_tile": Chip.TILE_LANES, "weight_streams": Chip.WEIGHT_STREAMS}
"""The words of the chip that say how wide groups are, by the field of the machine description."""


def _copy_tile(f: Function, target: Value, source: Value, size: Value) -> None:
    """Copies `size` bytes."""
    tile = vector(I8, _TILE)
    with f.either(f.compare("==", size, _TILE)) as (usual, other):
        with usual:
            f.store(f.load(source, tile, 1), target, 1)
        with other, f.loop(size) as i:
            f.store(f.load(f.at(source, i), I8, 1), f.at(target, i), 1)
