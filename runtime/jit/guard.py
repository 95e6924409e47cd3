"""SECDED as IR: vectors carry check bits, which are made for what units drive and checked in what they take.

The check bits of a vector lie behind its blocks of lanes, 16 bits for each code word, in memory and in the pool. What
only moves vectors moves both.
"""

from __future__ import annotations

from ...dialects.machine.effects import FROM_MEMORY
from .build import I8, I16, I64, PTR, Function, Module, Value, number
from .lanes import Lanes
from .layout import BLOCK, Chip, Hazard, Row, Slot
from .semantics import opcodes_of
from .streams import Handler, Streams, slot_of, vector_at


class GuardedStreams(Streams):
    """Streams whose vectors carry check bits."""

    def __init__(self, module: Module, lanes: Lanes):
        super().__init__(module, lanes)
        self.encode = self._encode()
        """encode(chip, address) -> the check bits of the code word at an address"""
        self.protect = self._protect()
        """protect(chip, vector): makes the check bits of a vector"""
        self.repair = self._repair()
        """repair(chip, first slot, shift, cycle, record number, vector, place) -> the address of a corrected copy;
        notes a hazard where not all can be"""
        self.check = self._check()
        """check(as repair) -> the same, or the vector's own address where it needs none"""
        self.protect_drives = self._protect_drives()
        """protect_drives(chip, record, cycle): makes the check bits of what an issue has just posted"""

    # -- what handlers call ------------------------------------------------------------------------------------

    def sample_group(self, f: Handler, width: int, stream: Value | int = 0, operand: int = 0) -> list[Value]:
        """As they are without check bits, checked and corrected."""
        vectors = super().sample_group(f, width, stream, operand)
        first = number(stream) if isinstance(stream, int) else stream
        checked: list[Value] = []
        for i, vector in enumerate(vectors):
            stream = f.b.add(first, number(i))
            slot = f.b.add(f.field(Row.SOURCE + operand), f.b.mul(stream, self.ring(f)))
            place = f.b.add(f.b.mul(f.size(Chip.STREAMS), number(operand)), stream)
            shift = f.field(Row.SHIFT + operand)
            checked.append(f.call(self.check, f.chip, slot, shift, f.t, f.number, vector, place))
        return checked

    def carry_operand(self, f: Handler, operand: int = 0) -> Value:
        return super().sample_group(f, 1, 0, operand)[0]

    def move(self, f: Handler, target: Value, source: Value) -> None:
        f.call(self.lanes.copy, target, source, _all_blocks(f, f.chip))

    def move_some(self, f: Handler, target: Value, source: Value) -> None:
        super().move_some(f, target, source)
        size, blocks = f.b.mul(f.tiles, f.size(Chip.CODE_TILE)), _check_blocks(f, f.chip)
        f.call(self.lanes.blend, _checks(f, f.chip, target), _checks(f, f.chip, source), size, blocks)

    def carried(self, f: Function, chip: Value, tile: Value) -> list[tuple[Value, Chip]]:
        return [(f.b.add(_lanes_bytes(f, chip), f.b.mul(tile, f.word(chip, Chip.CODE_TILE))), Chip.CODE_TILE)]

    def cut(self, f: Function, chip: Value, target: Value, source: Value, lanes: Value, tiles: Value) -> None:
        super().cut(f, chip, target, source, lanes, tiles)
        size, blocks = f.b.mul(tiles, f.word(chip, Chip.CODE_TILE)), _check_blocks(f, chip)
        f.call(self.lanes.cut, _checks(f, chip, target), _checks(f, chip, source), size, blocks)

    def finish(self, f: Function, chip: Value, record: Value, t: Value, op: Value) -> None:
        """What memory drives has its check bits already."""
        drives = f.compare(">", f.word(record, Row.TARGET_WIDTH), 0)
        for opcode in opcodes_of(*FROM_MEMORY):
            drives = f.b.and_(drives, f.compare("!=", op, opcode))
        with f.when(drives):
            f.call(self.protect_drives, chip, record, t)

    # -- the code ----------------------------------------------------------------------------------------------

    def _encode(self) -> Function:
        f = Function(self.module, "encode", [PTR, PTR], I16, inline=True)
        chip, address = f.arguments
        table, checks = f.pointer(chip, Chip.CODE_TABLE), f.variable(number(0, I16))
        with f.loop(f.word(chip, Chip.CODE_BYTES)) as i:
            byte = f.b.zext(f.load(f.at(address, i), I8, 1), I64)
            entry = f.b.or_(f.b.shl(i, number(8)), byte)
            checks.set(f.b.xor(checks.get(), f.load(f.at(table, f.b.shl(entry, number(1))), I16, 2)))
        f.give(checks.get())
        return f

    def _protect(self) -> Function:
        f = Function(self.module, "protect", [PTR, PTR])
        chip, vector = f.arguments
        checks = _checks(f, chip, vector)
        with f.loop(f.word(chip, Chip.CODE_WORDS)) as i:
            f.store(f.call(self.encode, chip, _word(f, chip, vector, i)), f.at(checks, f.b.shl(i, number(1))), 2)
        f.give()
        return f

    def _protect_drives(self) -> Function:
        f = Function(self.module, "protect_drives", [PTR, PTR, I64])
        chip, record, t = f.arguments
        with self.posted(f, chip, record, t) as vector:
            f.call(self.protect, chip, vector)
        f.give()
        return f

    def _syndrome(self, f: Function, chip: Value, vector: Value, i: Value) -> Value:
        """Of code word i of a vector: 0 where nothing has flipped."""
        made = f.load(f.at(_checks(f, chip, vector), f.b.shl(i, number(1))), I16, 2)
        return f.b.xor(made, f.call(self.encode, chip, _word(f, chip, vector, i)))

    def _check(self) -> Function:
        f = Function(self.module, "check", [PTR, I64, I64, I64, I64, PTR, I64], PTR)
        chip, vector = f.arguments[0], f.arguments[5]
        flipped, result = f.variable(number(0, I16)), f.variable(vector)
        with f.loop(f.word(chip, Chip.CODE_WORDS)) as i:
            flipped.set(f.b.or_(flipped.get(), self._syndrome(f, chip, vector, i)))
        with f.when(f.compare("!=", flipped.get(), 0)):
            result.set(f.call(self.repair, *f.arguments))
        f.give(result.get())
        return f

    def _repair(self) -> Function:
        f = Function(self.module, "repair", [PTR, I64, I64, I64, I64, PTR, I64], PTR, rare=True)
        chip, first, shift, t, record, vector, place = f.arguments
        copy = vector_at(f, chip, f.pointer(chip, Chip.MASKED), place)
        f.call(self.lanes.copy, copy, vector, _all_blocks(f, chip))
        noted = f.variable(0)
        with f.loop(f.word(chip, Chip.CODE_WORDS)) as i:
            syndrome = f.b.zext(self._syndrome(f, chip, copy, i), I64)
            with f.when(f.compare("!=", syndrome, 0)):
                verdict = f.load(f.at(f.pointer(chip, Chip.VERDICTS), f.b.shl(syndrome, number(1))), I16, 2)
                bit = f.b.sext(verdict, I64)
                with f.either(f.compare("<", bit, 0)) as (broken, single):
                    with broken, f.when(f.compare("==", noted.get(), 0)):
                        noted.set(number(1))
                        slot = slot_of(f, chip, first, f.b.add(t, shift))
                        driver = f.word(slot, Slot.RECORD), f.word(slot, Slot.CYCLE)
                        resource = f.b.add(f.b.mul(first, f.word(chip, Chip.CODE_WORDS)), i)
                        f.call(self.hazard, chip, Hazard.BITS_FLIPPED, resource, *driver, record, t)
                    with single:
                        f.add_to(chip, Chip.CORRECTED, 1)
                        self._flip_back(f, chip, _word(f, chip, copy, i), bit)
        f.give(copy)
        return f

    def _flip_back(self, f: Function, chip: Value, word: Value, bit: Value) -> None:
        """Turns over a bit of the data of a code word; one of its check bits matters no more."""
        byte = f.b.lshr(bit, number(3))
        with f.when(f.compare("<", byte, f.word(chip, Chip.CODE_BYTES))):
            place = f.at(word, byte)
            mask = f.b.trunc(f.b.shl(number(1), f.b.and_(bit, number(7))), I8)
            f.store(f.b.xor(f.load(place, I8, 1), mask), place, 1)


def _lanes_bytes(f: Function, chip: Value) -> Value:
    """Bytes of a vector's lanes, which are those before its check bits."""
    return f.b.mul(f.word(chip, Chip.BLOCKS), number(BLOCK))


def _checks(f: Function, chip: Value, vector: Value) -> Value:
    """The address of a vector's check bits."""
    return f.at(vector, _lanes_bytes(f, chip))


def _word(f: Function, chip: Value, vector: Value, i: Value) -> Value:
    """The address of a vector's code word i."""
    return f.at(vector, f.b.mul(i, f.word(chip, Chip.CODE_BYTES)))


def _all_blocks(f: Function, chip: Value) -> Value:
    """Blocks of a vector with its check bits."""
    return f.b.sdiv(f.word(chip, Chip.STRIDE), number(BLOCK))


def _check_blocks(f: Function, chip: Value) -> Value:
    """Blocks of its check bits."""
    return f.b.sub(_all_blocks(f, chip), f.word(chip, Chip.BLOCKS))
