"""Generators of random small programs, over the whole instruction table: a seed always gives the same program."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

from tspc.dialects.errors import TspError
from tspc.dialects.instructions import OP_CLASSES, TABLE, check_record
from tspc.dialects.machine.instruction import (
    CHAIN,
    ElementType,
    Field,
    FieldKind,
    Loop,
    Record,
    source_alu,
    source_immediate,
    source_stream,
    stream_code,
)
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.programs.records import Program

from .maker import Maker

ALU = [instruction for instruction in TABLE.by_name.values() if instruction.kinds == ("VXM",)]


def random_system(rng: random.Random) -> SystemSpec:
    """A small machine with two chips. Lanes are often no multiple of 64, 4 or the weight streams' own width."""
    tiles, lanes, weight_streams = rng.choice([(2, 8, 4), (2, 8, 2), (7, 11, 7), (9, 16, 8), (3, 5, 5)])
    latencies = {
        "latency_read": rng.choice([1, 1, 2]),
        "latency_write": rng.choice([0, 0, 1, 3]),
        "latency_vxm_entry": rng.choice([1, 2]),
        "latency_alu": rng.choice([1, 3, 6]),
        "latency_array": rng.choice([1, 5, 13]),
        "latency_egress": rng.choice([1, 4]),
        "latency_install": rng.choice([1, 1, 4]),
        "latency_send": rng.choice([0, 3]),
        "latency_receive": rng.choice([1, 4]),
        "latency_gather": rng.choice([1, 3]),
        "latency_sxm_io": rng.choice([1, 2]),
        "latency_transpose": rng.choice([3, 20]),
        "latency_permute": rng.choice([2, 24]),
    }
    chip = ChipSpec(
        tiles=tiles,
        lanes_per_tile=lanes,
        streams=16,
        slices=16,
        words=32,
        planes=rng.choice([2, 4, 4]),
        alus=6,
        accumulators=8,
        weight_streams=weight_streams,
        slices_per_hop=rng.choice([1, 4]),
        **latencies,
    )
    return SystemSpec(chip=chip, chips=2, link_latency=rng.choice([30, 40]), wire_bytes=rng.choice([10, 40]))


class Flows(Maker):
    """Adds whole flows, from SRAM to SRAM, each right in itself; where two of them meet, hazards may arise."""

    MOST = 9
    """Vectors of a dispatch of `abc`."""

    def __init__(self, rng: random.Random):
        super().__init__(random_system(rng))
        self.rng = rng

    def loops(self, depth: int = 2) -> list[tuple[int, int, int]]:
        """Loops that move an address by at most 12 in all."""
        rng = self.rng
        loops: list[tuple[int, int, int]] = []
        inner = 1
        for _ in range(rng.randint(0, depth)):
            count = rng.randint(2, 3)
            every = inner + rng.randint(0, 2)
            loops.append((count, every, rng.choice([-2, -1, 0, 1, 2])))
            inner = every * (count - 1) + inner
        return loops

    def slices(self, side: str, count: int) -> list[str]:
        return [f"MEM.{side}{s}" for s in self.rng.sample(range(self.chip.slices), count)]

    def stream(self, direction: str, width: int = 1) -> int:
        return stream_code(direction, self.rng.randrange(self.chip.streams // width) * width)

    def read(self, chip: int, slice_: str, code: int, where: int, when: int, loops: list[tuple[int, int, int]]) -> None:
        """Reads words so that the first is at position `where` in cycle `when`."""
        at = when - self.chip.latency_read - abs(where - self.at(slice_))
        self.add(slice_, at, "read", self.rng.randint(12, 19), code, loops=loops, chip=chip)

    def write(
        self, chip: int, slice_: str, code: int, where: int, when: int, loops: list[tuple[int, int, int]]
    ) -> None:
        """Writes the vectors of which the first is at position `where` in cycle `when`."""
        at = when + abs(where - self.at(slice_)) - self.chip.latency_write
        self.add(slice_, at, "write", self.rng.randint(12, 19), code, loops=loops, chip=chip)

    def copy(self, chip: int) -> None:
        """From one slice to another."""
        source, target = self.rng.choice("EW"), self.rng.choice("EW")
        (a,), (b,) = self.slices(source, 1), self.slices(target, 1)
        direction = "E" if self.at(a) < self.at(b) else "W"
        code, loops, when = self.stream(direction), self.loops(3), self.rng.randint(20, 60)
        self.read(chip, a, code, self.at(b), when, loops)
        self.write(chip, b, code, self.at(b), when, loops)

    def alu(self, chip: int) -> None:
        """From SRAM through a chain of ALUs and back. Sometimes an ALU takes the bits of a chain as another type."""
        rng, spec = self.rng, self.chip
        element = rng.choice(list(ElementType))
        side, back = rng.choice("EW"), rng.choice("EW")
        loops, when = self.loops(), rng.randint(20, 60)
        code = self.stream("W" if side == "E" else "E", element.bytes)
        for i, slice_ in enumerate(self.slices(side, element.bytes)):
            self.read(chip, slice_, code + i, 0, when, loops)
        source, alus = source_stream(code), rng.sample(range(spec.alus), rng.randint(1, 4))
        still = [(count, every, 0) for count, every, _ in loops]
        for i, alu in enumerate(alus):
            name, values, result = self.operation(element, source)
            last = i == len(alus) - 1
            target = self.stream(back, result.bytes) if last else CHAIN
            self.add(f"VXM.{alu}", when + i * spec.latency_alu, name, *values, target, loops=still, chip=chip)
            element, source, code = result, source_alu(alu), target
            if not last and rng.random() < 0.15:
                element = rng.choice(list(ElementType))
        done = when + spec.latency_vxm_entry + len(alus) * spec.latency_alu
        for i, slice_ in enumerate(self.slices(back, element.bytes)):
            self.write(chip, slice_, code + i, 0, done, loops)

    def operation(self, element: ElementType, source: int) -> tuple[str, list[int], ElementType]:
        """An instruction on an element type: its name, its values but for the target, and the type of its result."""
        rng = self.rng
        instruction = rng.choice([i for i in ALU if element in i.fields[0].types])
        fields = {f.name: f for f in instruction.fields}
        others = [source, *map(source_immediate, (rng.getrandbits(32), rng.choice([0, 3, 0x3C00, 0x3F000000])))]
        operands = [name for name in fields if fields[name].kind == FieldKind.SOURCE]
        named = {name: rng.choice(others) for name in operands} | {rng.choice(operands): source, "type": element}
        result = element
        if "result_type" in fields:
            named["result_type"] = result = rng.choice(fields["result_type"].types)
        elif fields["to"].group == 1:
            result = ElementType.I8
        return instruction.name, [named[name] for name in fields if name != "to"], result

    def matrix(self, chip: int) -> None:
        """Loads weights, multiplies int8 vectors by them, accumulates and writes the sums."""
        plane = self.rng.randrange(self.chip.planes)
        when = self.weights(chip, plane, self.rng.randint(20, 40)) + self.rng.choice([0, 0, 3])
        self.multiply(chip, plane, when, "abc")

    def half_matrix(self, chip: int) -> None:
        """The same in fp16, where the machine has pairs of planes."""
        pairs = [p for p in range(self.chip.planes) if self.chip.paired_plane(p) is not None]
        if pairs:
            plane, when = self.rng.choice(pairs), self.rng.randint(20, 40)
            when = max(self.weights(chip, p, when + self.rng.randint(0, 6)) for p in (plane, plane + 1))
            self.multiply(chip, plane, when + self.rng.choice([0, 0, 3]), "abc_f16")

    def weights(self, chip: int, plane: int, when: int) -> int:
        """Loads weights into a plane; gives the first cycle in which vectors meet them."""
        rng, spec = self.rng, self.chip
        out, where = self.outward(plane), self.at(f"MXM.{plane}.weights")
        rows = min(rng.randint(1, 4), spec.load_cycles)
        group = self.stream(out, spec.weight_streams)
        loops = [(rows, 1, 1)] if rows > 1 else []
        for i, slice_ in enumerate(self.slices(out, spec.weight_streams)):
            self.read(chip, slice_, group + i, where, when, loops)
        first = rng.randint(0, spec.load_cycles - rows)
        self.add(f"MXM.{plane}.weights", when, "lw", first, group, loops=loops, chip=chip)
        self.add(f"MXM.{plane}.weights", when + rows, "iw", chip=chip)
        return when + rows + spec.latency_install

    def outward(self, plane: int) -> str:
        return "E" if plane < self.chip.planes // 2 else "W"

    def multiply(self, chip: int, plane: int, when: int, name: str) -> None:
        """Multiplies vectors, the first in cycle `when`, accumulates and writes the sums."""
        rng, spec, unit = self.rng, self.chip, f"MXM.{plane}"
        out, where = self.outward(plane), self.at(f"MXM.{plane}.weights")
        width, pace = (2, 2) if name == "abc_f16" else (1, 1)
        count, rounds = rng.randint(1, self.MOST), rng.randint(1, 2)
        outer = [(rounds, pace * count + rng.randint(0, 2), 0)] if rounds > 1 else []
        code = self.stream(out, width)
        vectors = [(count, pace, 1)] if count > 1 else []
        for i, slice_ in enumerate(self.slices(out, width)):
            self.read(chip, slice_, code + i, where, when, vectors + outer)
        self.add(f"{unit}.activations", when, name, count, code, loops=outer, chip=chip)
        when += spec.latency_array
        entry, mode = rng.randrange(8), int(rng.random() < 0.2)
        if rng.random() < 0.3:
            self.add(f"{unit}.accumulators", when, "acc", entry, 0, loops=vectors + outer, chip=chip)
            return
        target = self.stream("W" if out == "E" else "E", 4)
        self.add(f"{unit}.accumulators", when, "acc_emit", entry, mode, target, loops=vectors + outer, chip=chip)
        when += spec.latency_egress
        for i, slice_ in enumerate(self.slices(out, 4)):
            self.write(chip, slice_, target + i, where, when, vectors + outer)

    def lanes(self, chip: int) -> None:
        """From SRAM through a unit of the SXM and back."""
        rng, spec = self.rng, self.chip
        side = rng.choice("EW")
        back, loops, when = "W" if side == "E" else "E", self.loops(), rng.randint(30, 60)
        unit = rng.choice([q for q in spec.queues if q.kind.startswith("SXM") and q.name[4] == side])
        instruction = rng.choice([i for i in TABLE.by_name.values() if unit.kind in i.kinds])
        values: list[int] = []
        for f in instruction.fields:
            width = instruction.group_width(f, values, spec) if f.role else 1
            if f.role == "read":
                values.append(self.stream(side, width))
                for i, slice_ in enumerate(self.slices(side, width)):
                    self.read(chip, slice_, values[-1] + i, unit.position, when, loops)
            elif f.role == "drive":
                values.append(self.stream(back, width))
                for i, slice_ in enumerate(self.slices(side, min(width, 4))):
                    part = values[-1] + rng.randrange(width) if i else values[-1]
                    self.write(chip, slice_, part, unit.position, when + self.delay(instruction.name), loops)
            else:
                values.append(
                    rng.choice([0, 1, spec.lanes - 1, rng.randrange(200)]) if f.bits > 1 else rng.randrange(2)
                )
        still = [(count, every, 0) for count, every, _ in loops]
        self.add(unit.name, when, instruction.name, *values, loops=still, chip=chip)

    def words(self, chip: int) -> None:
        """Words by a map from another slice: gathered on their way to a third, or scattered when they come from it."""
        rng, side = self.rng, self.rng.choice("EW")
        slices = sorted(self.slices(side, 3), key=lambda s: abs(self.at(s)))
        loops, when, address = self.loops(), rng.randint(30, 60), rng.randint(12, 19)
        numbers, code = self.stream(side), self.stream(side)
        gathers = rng.random() < 0.5
        user = slices[1] if gathers else slices[2]
        self.read(chip, slices[0], numbers, self.at(user), when, loops)
        if gathers:
            self.add(user, when, "gather", address, numbers, code, loops=loops, chip=chip)
            self.write(chip, slices[2], code, self.at(user), when + self.chip.latency_gather, loops)
        else:
            self.read(chip, slices[1], code, self.at(user), when, loops)
            at = when - self.chip.latency_write
            self.add(user, at, "scatter", address, numbers, code, loops=loops, chip=chip)

    def configure(self) -> None:
        """Turns superlanes off for a queue, from just before one of its records on."""
        chip = self.rng.choice(list(self.records))
        if self.records[chip]:
            record = self.rng.choice(self.records[chip])
            name = self.chip.queues[record.queue].name
            self.add(name, max(0, record.at - 1), "config", self.rng.randint(1, self.chip.tiles), chip=chip)

    def transfer(self, chip: int) -> None:
        """From one chip's SRAM to the other's."""
        spec, side = self.chip, "E"
        (a,), (b,) = self.slices(side, 1), self.slices(side, 1)
        when, where = self.rng.randint(20, 40), self.at("C2C.0")
        every = self.system.link_slot + self.rng.randint(0, 1)
        count = self.rng.randint(1, 4)
        loops = [(count, every, 1)] if count > 1 else []
        code = self.stream("E")
        self.read(chip, a, code, where, when, loops)
        self.add("C2C.0", when, "send", code, loops=loops, chip=chip)
        when += spec.latency_send + self.system.link_latency
        code = self.stream("W")
        self.add("C2C.0", when, "receive", code, loops=loops, chip=1 - chip)
        self.write(1 - chip, b, code, where, when + spec.latency_receive, loops)

    def spoil(self) -> None:
        """Breaks one record: another cycle, another stream or mode, gone, or done twice."""
        rng = self.rng
        records = self.records[rng.choice(list(self.records))]
        if not records:
            return
        name = rng.choice(sorted({r.instruction.name for r in records}))
        record = rng.choice([r for r in records if r.instruction.name == name])
        kind = rng.choice(["gone", "stream", "moved", "twice"])
        if name in ("iw", "acc", "acc_emit", "abc", "receive", "send"):
            kind = rng.choice(["gone", "gone", "mode", "moved", "again"])
        if kind != "twice":
            records.remove(record)
        if kind == "moved":
            records.append(record._replace(at=max(0, record.at + rng.choice([-2, -1, 1, 2]))))
        elif kind == "stream":
            records.append(self.changed(record, lambda f, v: v ^ rng.choice([0x80, 8]) if f.role and v < 256 else v))
        elif kind == "mode":
            records.append(self.changed(record, lambda f, v: 1 if f.name == "mode" else v))
        elif kind == "again":
            records += [record, record._replace(at=record.last + rng.randint(1, 3))]
        elif kind == "twice" and name == "read":
            queues = self.chip.queues
            place = queues[record.queue].position
            twins = [i for i, q in enumerate(queues) if q.kind == "MEM" and q.position == place]
            records.append(record._replace(queue=rng.choice(twins), loops=record.loops[1:]))

    @staticmethod
    def changed(record: Record, change: Callable[[Field, int], int]) -> Record:
        """The record with its values changed."""
        pairs = zip(record.instruction.fields, record.values, strict=True)
        return record._replace(values=tuple(change(f, v) for f, v in pairs))


def random_flows(rng: random.Random) -> Flows:
    """Several flows, broken in half of the cases."""
    flows = Flows(rng)
    kinds = [flows.copy, flows.matrix, flows.half_matrix, flows.transfer, flows.lanes, flows.words]
    for _ in range(rng.randint(1, 4)):
        rng.choice([*kinds, flows.alu, flows.alu])(rng.randrange(2))
    for _ in range(rng.choice([0, 0, 1, 2])):
        if flows.records:
            flows.configure()
    for _ in range(rng.choice([0, 0, 1, 2])):
        if flows.records:
            flows.spoil()
    return flows


def crowded_flows(rng: random.Random) -> Flows:
    """As many flows as there is room for, of up to twelve."""
    flows = Flows(rng)
    kinds = [flows.copy, flows.copy, flows.matrix, flows.transfer, flows.lanes, flows.words, flows.alu]
    for _ in range(rng.randint(3, 12)):
        before = {chip: [*records] for chip, records in flows.records.items()}
        rng.choice(kinds)(rng.randrange(2))
        try:
            flows.program()
        except TspError:
            flows.records = before
    if flows.records and rng.random() < 0.25:
        flows.spoil()
    return flows


def random_program(seed: int) -> Program | None:
    """A program of several flows, broken in half of the cases; None where a queue would have to do two things."""
    try:
        return random_flows(random.Random(seed)).program()
    except TspError:
        return None


def noise(seed: int) -> Program:
    """Random instructions in the same few cycles: many hazards at once, of which all must name the same. In half of the
    programs all slices have filled the streams before, so that other hazards than empty ones are first."""
    rng = random.Random(seed)
    m = Maker(random_system(rng))
    start, chips = rng.choice([0, 50]), rng.choice([1, 2])
    queues = [q for q in m.chip.queues if q.kind != "MEM" or not start]
    known = [op.INSTRUCTION for op in OP_CLASSES.values() if not op.PACKED_ONLY]
    for queue in rng.sample(queues, 30):
        rows = [i for i in known if not i.kinds or queue.kind in i.kinds]
        if m.chip.paired_plane(queue.unit) is None:
            rows = [i for i in rows if i.name != "abc_f16"]
        if queue.kind == "C2C" and queue.unit > 0:
            continue
        instruction = rng.choice(rows)
        values = tuple(random_value(rng, f, m.chip) for f in instruction.fields)
        record = Record(m.chip.queue_numbers[queue.name], start + rng.randrange(6), instruction, values, (Loop(2, 5),))
        if check_record(record, m.system) is None:
            m.records.setdefault(rng.randrange(chips), []).append(record)
    for chip in range(chips if start else 0):
        for i, (side, back) in itertools.product(range(m.chip.streams), ("EW", "WE")):
            m.add(f"MEM.{side}{i}", 0, "read", 3, stream_code(back, i), loops=[(start + 20, 1, 0)], chip=chip)
    return m.program()


def random_value(rng: random.Random, field: Field, chip: ChipSpec) -> int:
    """A value that the field may have, from few, so that instructions meet."""
    stream = stream_code(rng.choice("EW"), rng.choice([0, 8]))
    match field.kind:
        case FieldKind.NUMBER:
            return rng.randint(max(field.low, 1), 3)
        case FieldKind.STREAM:
            return stream
        case FieldKind.TYPE:
            return rng.choice(field.types)
        case FieldKind.SOURCE:
            return rng.choice([source_stream(stream), source_alu(rng.randrange(2)), source_immediate(7)])
        case FieldKind.TARGET:
            return rng.choice([stream, CHAIN])
        case FieldKind.FLAG:
            return rng.randrange(2)


class Overlaps(Flows):
    """Longer flows on a few slices, so that they read what others write, before, after and meanwhile."""

    def loops(self, depth: int = 2) -> list[tuple[int, int, int]]:
        count, every = self.rng.randint(2, 13), self.rng.choice([1, 1, 1, 2])
        return [(count, every, self.rng.choice([-1, 0, 1, 1]))]

    def slices(self, side: str, count: int) -> list[str]:
        few = max(count, 5)
        return [f"MEM.{side}{s}" for s in self.rng.sample(range(few), count)]


def overlapping_program(seed: int) -> Program | None:
    rng = random.Random(seed)
    flows = Overlaps(rng)
    for _ in range(rng.randint(2, 4)):
        rng.choice([flows.copy, flows.copy, flows.alu, flows.matrix])(0)
    try:
        return flows.program()
    except TspError:
        return None


class Long(Flows):
    """Flows of more vectors than a block has, over rows of words that lie apart."""

    MOST = 130

    def __init__(self, rng: random.Random):
        super().__init__(rng)
        self.chip = replace(self.chip, words=512, accumulators=160)
        self.system = replace(self.system, chip=self.chip)

    def loops(self, depth: int = 2) -> list[tuple[int, int, int]]:
        columns, rows, pace = self.rng.randint(2, 13), self.rng.randint(5, 12), self.rng.choice([1, 1, 2])
        every = pace * columns + self.rng.choice([0, 0, 3])
        return [(columns, pace, self.rng.choice([1, 1, 2])), (rows, every, self.rng.choice([0, 1, 20, 26]))]


def long_program(seed: int) -> Program | None:
    rng = random.Random(seed)
    flows = Long(rng)
    kinds = [flows.copy, flows.matrix, flows.half_matrix, flows.lanes, flows.words, flows.alu]
    for _ in range(rng.randint(1, 3)):
        rng.choice(kinds)(0)
    if flows.records and rng.random() < 0.2:
        flows.configure()
    try:
        return flows.program()
    except TspError:
        return None


def plain_program(seed: int) -> Program | None:
    """Flows through memory, links, MXM and ALUs, broken in half of the cases."""
    rng = random.Random(seed)
    flows = Flows(rng)
    for _ in range(rng.randint(1, 4)):
        rng.choice([flows.copy, flows.matrix, flows.transfer, flows.alu, flows.alu])(rng.randrange(2))
    for _ in range(rng.choice([0, 0, 1, 2])):
        flows.spoil()
    try:
        return flows.program()
    except TspError:
        return None
