"""Handlers' shared steps as IR: sampling streams, posting and making drives, noting hazards.

A stream's diagonals lie in a ring of slots. A slot holds the newest drive on its diagonal, which is the one that a
sample meets: drives are made in the cycle in which they fall due, never before. Vectors in flight live in a pool and
slots hold their numbers, so that a drive moves a number, not a vector.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from .build import I64, PTR, WORD, Function, Module, Value, Variable, number
from .lanes import Lanes
from .layout import DUE_WORDS, FAULT_WORDS, SLOT_WORDS, Chip, Due, Fault, Hazard, Row, Slot


class Handler(Function):
    """A function that does one issue; all handlers have this form."""

    def __init__(self, module: Module, name: str):
        super().__init__(module, name, [PTR, PTR, I64, I64, I64])
        self.chip, self.record, self.number, self.t, self.value = self.arguments
        self.unit = self.field(Row.UNIT)
        self.tiles = self.field(Row.TILES)

    def field(self, word: int) -> Value:
        """A word of the record."""
        return self.word(self.record, word)

    def size(self, word: Chip) -> Value:
        """A word of the chip."""
        return self.word(self.chip, word)

    def table(self, word: Chip) -> Value:
        """An address kept by the chip."""
        return self.pointer(self.chip, word)

    def row(self, table: Value, index: Value, words: int) -> Value:
        """The address of a row of a table of words."""
        return row(self, table, index, words)


def row(f: Function, table: Value, index: Value, words: int) -> Value:
    """The address of row `index` of a table whose rows have `words` words."""
    return f.at(table, f.b.mul(index, number(words * WORD)))


def vector_at(f: Function, chip: Value, base: Value, index: Value) -> Value:
    """The address of vector `index` of an array of vectors."""
    return f.at(base, f.b.mul(index, f.word(chip, Chip.STRIDE)))


class Streams:
    """The functions that handlers call to use streams and to report hazards. What vectors carry beside their lanes, and
    what becomes of it, is for `GuardedStreams` to say; here they carry nothing."""

    def __init__(self, module: Module, lanes: Lanes):
        self.module, self.lanes = module, lanes
        self.hazard = self._hazard()
        """hazard(chip, kind, resource, first, its cycle, second or -1, its cycle)"""
        self.sample = self._sample()
        """sample(chip, first slot, shift, cycle, record number) -> the vector's address"""
        self.mask_sample = self._mask_sample()
        """mask_sample(chip, superlanes, vector, place) -> the address of a copy that is zero in the others"""
        self.mask_drives = self._mask_drives()
        """mask_drives(chip, record, cycle): what an issue has just posted is zero in superlanes that are off"""
        self.take = self._take()
        """take(chip) -> the number of a free vector in the pool"""
        self.post = self._post()
        """post(chip, record, record number, cycle, stream of the group, vector)"""
        self.drive = self._drive()
        """drive(chip, cycle): makes the drives that fall due"""

    def pooled(self, f: Function, chip: Value, vector: Value) -> Value:
        """The address of a vector of the pool."""
        return vector_at(f, chip, f.pointer(chip, Chip.POOL), vector)

    def sample_operand(self, f: Handler, stream: Value | int = 0, operand: int = 0) -> Value:
        """The address of the vector on one stream of an operand's group; notes a hazard where there is none."""
        return self.sample_group(f, 1, stream, operand)[0]

    def sample_group(self, f: Handler, width: int, stream: Value | int = 0, operand: int = 0) -> list[Value]:
        """The same for several streams, from number `stream` on."""
        first = number(stream) if isinstance(stream, int) else stream
        streams = [f.b.add(first, number(i)) for i in range(width)]
        vectors: list[Variable] = []
        for stream in streams:
            slot = f.b.add(f.field(Row.SOURCE + operand), f.b.mul(stream, self.ring(f)))
            vector = f.call(self.sample, f.chip, slot, f.field(Row.SHIFT + operand), f.t, f.number)
            vectors.append(f.variable(vector))
        with f.when(f.compare("!=", f.tiles, 0)):
            for stream, vector in zip(streams, vectors, strict=True):
                place = f.b.add(f.b.mul(f.size(Chip.STREAMS), number(operand)), stream)
                vector.set(f.call(self.mask_sample, f.chip, f.tiles, vector.get(), place))
        return [vector.get() for vector in vectors]

    def carry_operand(self, f: Handler, operand: int = 0) -> Value:
        """The address of an operand's vector for an instruction that only moves it."""
        return self.sample_operand(f, 0, operand)

    def move(self, f: Handler, target: Value, source: Value) -> None:
        """Copies a vector with all that it carries."""
        f.call(self.lanes.copy, target, source, f.size(Chip.BLOCKS))

    def move_some(self, f: Handler, target: Value, source: Value) -> None:
        """The same for the superlanes that are on, where not all are."""
        lanes = f.b.mul(f.tiles, f.size(Chip.TILE_LANES))
        f.call(self.lanes.blend, target, source, lanes, f.size(Chip.BLOCKS))

    def carried(self, f: Function, chip: Value, tile: Value) -> list[tuple[Value, Chip]]:
        """What vectors carry of a superlane: offsets in the vector, and the words of the chip that hold their bytes."""
        return []

    def finish(self, f: Function, chip: Value, record: Value, t: Value, op: Value) -> None:
        """After an issue: completes what it has posted."""

    def cut(self, f: Function, chip: Value, target: Value, source: Value, lanes: Value, tiles: Value) -> None:
        """Copies a vector with all that it carries; zero from lane number `lanes` on, which is that of the first
        superlane that is off."""
        f.call(self.lanes.cut, target, source, lanes, f.word(chip, Chip.BLOCKS))

    @contextmanager
    def posted(self, f: Function, chip: Value, record: Value, t: Value) -> Generator[Value, None, None]:
        """Repeats the block for the address of every vector that an issue has just posted.

        A hazard may have kept it from posting; but then nobody will see what it drives.
        """
        with f.when(f.compare("==", f.word(chip, Chip.HAZARD_COUNT), 0)):
            day = f.b.and_(f.b.add(t, f.word(record, Row.DELAY)), f.word(chip, Chip.CALENDAR_MASK))
            end = f.b.add(
                f.b.mul(day, f.word(chip, Chip.CALENDAR_WIDTH)), f.word(f.pointer(chip, Chip.CALENDAR_COUNT), day)
            )
            with f.loop(f.word(record, Row.TARGET_WIDTH)) as i:
                due = row(f, f.pointer(chip, Chip.CALENDAR), f.b.sub(f.b.sub(end, i), number(1)), DUE_WORDS)
                yield self.pooled(f, chip, f.word(due, Due.VECTOR))

    def ring(self, f: Handler) -> Value:
        """Slots of one stream."""
        return f.b.add(f.size(Chip.DIAGONAL_MASK), number(1))

    def start_drive(self, f: Handler, stream: Value | int = 0) -> Value:
        """Posts a drive onto one stream of the result's group; gives the address to which to write the vector."""
        vector = f.call(self.take, f.chip)
        f.call(self.post, f.chip, f.record, f.number, f.t, stream, vector)
        return self.pooled(f, f.chip, vector)

    def note(
        self,
        f: Handler,
        kind: Hazard,
        resource: Value,
        first: tuple[Value, Value] | None = None,
        second: tuple[Value | int, Value | int] = (-1, 0),
    ) -> None:
        """Notes a hazard; the first issue is the handler's own unless given, as record number and cycle."""
        f.call(self.hazard, f.chip, kind, resource, *(first or (f.number, f.t)), *second)

    def _hazard(self) -> Function:
        f = Function(self.module, "hazard", [PTR] + [I64] * 6, rare=True)
        chip, *values = f.arguments
        count = f.word(chip, Chip.HAZARD_COUNT)
        fault = row(f, f.pointer(chip, Chip.HAZARDS), count, FAULT_WORDS)
        for word, value in zip(Fault, values, strict=True):
            f.put(fault, word, value)
        with f.when(f.compare("<", count, f.word(chip, Chip.HAZARD_LAST))):
            f.add_to(chip, Chip.HAZARD_COUNT, 1)
        f.give()
        return f

    def _sample(self) -> Function:
        f = Function(self.module, "sample", [PTR, I64, I64, I64, I64], PTR, inline=True)
        chip, first, shift, t, record = f.arguments
        diagonal = f.b.add(t, shift)
        slot = slot_of(f, chip, first, diagonal)
        vector = f.variable(f.pointer(chip, Chip.ZERO))
        with f.either(f.compare("==", f.word(slot, Slot.DIAGONAL), diagonal)) as (found, empty):
            with found:
                vector.set(self.pooled(f, chip, f.word(slot, Slot.VECTOR)))
            with empty:
                f.call(self.hazard, chip, Hazard.STREAM_EMPTY, first, record, t, -1, 0)
        f.give(vector.get())
        return f

    def _mask_sample(self) -> Function:
        f = Function(self.module, "mask_sample", [PTR, I64, PTR, I64], PTR, rare=True)
        chip, tiles, vector, place = f.arguments
        masked = vector_at(f, chip, f.pointer(chip, Chip.MASKED), place)
        lanes = f.b.mul(tiles, f.word(chip, Chip.TILE_LANES))
        self.cut(f, chip, masked, vector, lanes, tiles)
        f.give(masked)
        return f

    def _mask_drives(self) -> Function:
        f = Function(self.module, "mask_drives", [PTR, PTR, I64], rare=True)
        chip, record, t = f.arguments
        tiles = f.word(record, Row.TILES)
        lanes = f.b.mul(tiles, f.word(chip, Chip.TILE_LANES))
        with self.posted(f, chip, record, t) as vector:
            self.cut(f, chip, vector, vector, lanes, tiles)
        f.give()
        return f

    def _take(self) -> Function:
        f = Function(self.module, "take", [PTR], I64, inline=True)
        (chip,) = f.arguments
        free = f.word(chip, Chip.FREE_COUNT)
        vector = f.variable(0)
        with f.either(f.compare(">", free, 0)) as (reuse, fresh):
            with reuse:
                top = f.b.sub(free, number(1))
                f.put(chip, Chip.FREE_COUNT, top)
                vector.set(f.word(f.pointer(chip, Chip.FREE), top))
            with fresh:
                vector.set(f.word(chip, Chip.POOL_NEXT))
                with f.when(f.compare("<", vector.get(), f.word(chip, Chip.POOL_LAST))):
                    f.add_to(chip, Chip.POOL_NEXT, 1)
        f.give(vector.get())
        return f

    def _post(self) -> Function:
        f = Function(self.module, "post", [PTR, PTR, I64, I64, I64, I64], inline=True)
        chip, record, record_number, t, stream, vector = f.arguments
        day = f.b.and_(f.b.add(t, f.word(record, Row.DELAY)), f.word(chip, Chip.CALENDAR_MASK))
        counts = f.pointer(chip, Chip.CALENDAR_COUNT)
        count = f.word(counts, day)
        index = f.b.add(f.b.mul(day, f.word(chip, Chip.CALENDAR_WIDTH)), count)
        due = row(f, f.pointer(chip, Chip.CALENDAR), index, DUE_WORDS)
        ring = f.b.add(f.word(chip, Chip.DIAGONAL_MASK), number(1))
        f.put(due, Due.SLOTS, f.b.add(f.word(record, Row.TARGET), f.b.mul(stream, ring)))
        f.put(due, Due.SHIFT, f.word(record, Row.TARGET_SHIFT))
        f.put(due, Due.RECORD, record_number)
        f.put(due, Due.VECTOR, vector)
        f.put(counts, day, f.b.add(count, number(1)))
        f.add_to(chip, Chip.CALENDAR_PENDING, 1)
        f.give()
        return f

    def _drive(self) -> Function:
        f = Function(self.module, "drive", [PTR, I64])
        chip, t = f.arguments
        day = f.b.and_(t, f.word(chip, Chip.CALENDAR_MASK))
        counts = f.pointer(chip, Chip.CALENDAR_COUNT)
        count = f.word(counts, day)
        first = f.b.mul(day, f.word(chip, Chip.CALENDAR_WIDTH))
        calendar = f.pointer(chip, Chip.CALENDAR)
        with f.loop(count) as i:
            due = row(f, calendar, f.b.add(first, i), DUE_WORDS)
            slots, record = f.word(due, Due.SLOTS), f.word(due, Due.RECORD)
            diagonal = f.b.add(t, f.word(due, Due.SHIFT))
            slot = slot_of(f, chip, slots, diagonal)
            same = f.compare("==", f.word(slot, Slot.DIAGONAL), diagonal)
            with f.when(f.b.and_(same, f.compare("==", f.word(slot, Slot.CYCLE), t))):
                f.call(self.hazard, chip, Hazard.STREAM_COLLISION, slots, f.word(slot, Slot.RECORD), t, record, t)
            self._release(f, chip, f.word(slot, Slot.VECTOR))
            f.put(slot, Slot.DIAGONAL, diagonal)
            f.put(slot, Slot.CYCLE, t)
            f.put(slot, Slot.RECORD, record)
            f.put(slot, Slot.VECTOR, f.word(due, Due.VECTOR))
        f.put(counts, day, 0)
        f.put(chip, Chip.CALENDAR_PENDING, f.b.sub(f.word(chip, Chip.CALENDAR_PENDING), count))
        f.give()
        return f

    def _release(self, f: Function, chip: Value, vector: Value) -> None:
        """Hands a vector of the pool back; -1 is none."""
        with f.when(f.compare(">=", vector, 0)):
            free = f.word(chip, Chip.FREE_COUNT)
            f.put(f.pointer(chip, Chip.FREE), free, vector)
            f.put(chip, Chip.FREE_COUNT, f.b.add(free, number(1)))


def slot_of(f: Function, chip: Value, first: Value, diagonal: Value) -> Value:
    """The address of the slot for a diagonal of the stream whose slots begin with number `first`."""
    index = f.b.add(first, f.b.and_(diagonal, f.word(chip, Chip.DIAGONAL_MASK)))
    return row(f, f.pointer(chip, Chip.SLOTS), index, SLOT_WORDS)
