"""The static verifier: its golden hazards, and its agreement with the engines, text for text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tspc.dialects.c2c import C2C
from tspc.dialects.errors import HAZARDS, HazardError, LinkError, TspError
from tspc.dialects.instructions import OP_CLASSES, TABLE, check_record
from tspc.dialects.machine.instruction import (
    CHAIN,
    ElementType,
    FieldKind,
    Loop,
    Record,
    source_alu,
    source_immediate,
    stream_code,
)
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, check_program, program_from_module, program_length
from tspc.dialects.tsp_isa import TSP_ISA
from tspc.dialects.tsp_stream import TSP_STREAM
from tspc.passes.isa.verify.isa_verify import IsaVerifyPass
from tspc.passes.isa.verify.issues import ChipIssues
from tspc.passes.isa.verify.proof import first_hazard
from tspc.runtime.engine import Engine
from tspc.runtime.executable import load_text
from tspc.runtime.jit import JitEngine
from tspc.runtime.reference import ReferenceEngine
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser

FILES = Path(__file__).parents[3] / "filecheck" / "isa"
GOLDEN_HAZARDS = sorted((FILES / "hazards").glob("*.mlir"))
GOLDEN = [*sorted(FILES.glob("isa_verify*.mlir")), *GOLDEN_HAZARDS]

ENGINES = {"reference": ReferenceEngine, "jit": JitEngine, "bulk": lambda: JitEngine(mode="bulk")}
"""The engines by name."""


@pytest.fixture(params=ENGINES)
def run(request: pytest.FixtureRequest) -> Callable[[Program], str | None]:
    """Runs a program on an engine: the text of the hazard that stopped it, or None."""
    engine: Engine = ENGINES[request.param]()

    def outcome(program: Program) -> str | None:
        try:
            session = engine.load(program)
            load_text(program, session)
            session.run()
        except HazardError as e:
            return str(e)
        return None

    return outcome


def parse(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, TSP_ISA, TSP_STREAM, C2C):
        context.load_dialect(dialect)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


def verdict(module: ModuleOp) -> str | None:
    """The text of the error with which `isa-verify` ends, or None."""
    try:
        IsaVerifyPass().apply(Context(), module)
    except TspError as e:
        return str(e)
    return None


def expected(path: Path) -> str | None:
    """The error that a golden file expects in its CHECK line, or None."""
    found = re.search(r"^// CHECK: error: (.*)$", path.read_text(), re.MULTILINE)
    return found[1] if found else None


# -- golden files --------------------------------------------------------------------------------------------------


def test_every_hazard_class_has_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN_HAZARDS} == set(HAZARDS)
    for path in GOLDEN_HAZARDS:
        assert (text := expected(path)) is not None
        assert text.startswith(f"hazard [{path.stem}] ")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden_file(path: Path) -> None:
    module = parse(path.read_text())
    before = str(module)
    assert verdict(module) == expected(path)
    assert str(module) == before


UNSEEN = ("queue", "queue-dry", "queue-full")
"""Hazards that no engine ever sees: `check_program` refuses the program."""


@pytest.mark.parametrize("path", [p for p in GOLDEN if p.stem not in UNSEEN], ids=lambda p: p.stem)
def test_golden_file_on_engine(path: Path, run: Callable[[Program], str | None]) -> None:
    assert run(program_from_module(parse(path.read_text()))) == expected(path)


# -- programs without IR -------------------------------------------------------------------------------------------


def small_system(slices_per_hop: int = 2, latency: int = 1, tiles: int = 2, **chip: int) -> SystemSpec:
    """Two chips with few units, so that random programs meet, and every latency a multiple of `latency`."""
    latencies = {
        "latency_read": 1,
        "latency_vxm_entry": 1,
        "latency_alu": 2,
        "latency_array": 3,
        "latency_egress": 2,
        "latency_install": 1,
        "latency_send": 2,
        "latency_receive": 1,
    }
    shape = {
        "tiles": tiles,
        "lanes_per_tile": 4,
        "streams": 16,
        "slices": 3,
        "words": 8,
        "planes": 4,
        "alus": 3,
        "links": 2,
        "accumulators": 4,
        "weight_streams": 4,
        "slices_per_hop": slices_per_hop,
    }
    spec = ChipSpec(**(shape | {name: latency * value for name, value in latencies.items()} | chip))
    network = {"chips_per_node": 2, "local_links": 1, "global_links": 1, "wire_bytes": 40}
    return SystemSpec(chip=spec, chips=2, link_latency=3 * latency, **network)


SMALL = small_system()
SYSTEMS = {
    "slow ALUs": small_system(latency_alu=50),
    "small": SMALL,
    "one slice per hop": small_system(slices_per_hop=1),
    "ten tiles": small_system(tiles=10),
    "doubled latencies": small_system(latency=2, latency_write=2),
    "instant sends": small_system(latency_send=0, latency_write=1),
}


@dataclass
class Writer:
    """Writes records of one chip."""

    system: SystemSpec
    chip: int = 0
    records: list[Record] = field(default_factory=list[Record])

    def add(self, queue: str, at: int, name: str, *values: int, loops: Sequence[Loop] = ()) -> None:
        number = self.system.chip.queue_numbers[queue]
        self.records.append(Record(number, at, TABLE.by_name[name], values, tuple(loops)))


def program(system: SystemSpec, *chips: Sequence[Record]) -> Program:
    """A checked program of these records, for chips 0, 1, ..."""
    parts: list[ChipProgram] = []
    for number, records in enumerate(chips):
        ordered = tuple(sorted(records, key=lambda r: (r.queue, r.at)))
        length = program_length(max((r.last for r in ordered), default=-1), system)
        parts.append(ChipProgram(number, length, ordered, (), {}))
    return check_program(Program(system, Topology.of(system), tuple(parts)))


def hazard_of(subject: Program) -> str | None:
    error = first_hazard(subject)
    return None if error is None else str(error)


E4, W4 = stream_code("E", 4), stream_code("W", 4)


def read_and_write(system: SystemSpec, gap: int, loops: Sequence[Loop] = ()) -> Program:
    """Slice 0 reads onto E4 from cycle 10 on, slice 2 (position +2 on the small chip) writes `gap` cycles later."""
    writer = Writer(system)
    writer.add("MEM.E0", 10, "read", 0, E4, loops=loops)
    writer.add("MEM.E2", 10 + gap, "write", 0, E4, loops=loops)
    return program(system, writer.records)


def test_a_value_moves_one_position_a_cycle() -> None:
    hop, latency = 1, SMALL.chip.latency_read
    assert hazard_of(read_and_write(SMALL, latency + hop)) is None
    for wrong in (latency + hop - 1, latency + hop + 1):
        assert "[stream-empty]" in str(hazard_of(read_and_write(SMALL, wrong)))


@pytest.mark.parametrize("skew", [0, 1, 5])
def test_a_write_samples_latency_write_after_its_dispatch(skew: int) -> None:
    system = small_system(latency_write=skew)
    hop = 1
    assert hazard_of(read_and_write(system, system.chip.latency_read + hop - skew)) is None
    text = str(hazard_of(read_and_write(system, system.chip.latency_read + hop + 1 - skew)))
    assert "cycle 13, stream E4 at position +2" in text


def test_a_hazard_in_nested_loops_names_the_issue() -> None:
    """The address moves by every level's step, and the cycle by every level's spacing."""
    loops = (Loop(2, 1, 1), Loop(2, 4, 2), Loop(2, 16, 3))
    writer = Writer(SMALL)
    writer.add("MEM.E0", 10, "read", 0, E4, loops=loops)
    writer.add("MEM.E1", 10 + 1 + 4 + 16, "read", 7, E4)
    assert hazard_of(program(SMALL, writer.records)) == (
        "hazard [stream-collision] chip 0, cycle 32, stream E4 at position +1: two instructions drive one stream "
        "register in one cycle: `read address 6 stream E4` (MEM.E0, cycle 31) and "
        "`read address 7 stream E4` (MEM.E1, cycle 31)"
    )


def test_abc_under_a_loop_takes_its_vectors_in_every_round() -> None:
    chip = SMALL.chip
    writer = Writer(SMALL)
    loops = (Loop(2, 1), Loop(2, 8))
    distance = chip.mxm_distance - 1
    writer.add("MXM.0.weights", 0, "iw")
    writer.add("MEM.E0", 10, "read", 0, E4, loops=loops)
    at = 10 + chip.latency_read + distance
    writer.add("MXM.0.activations", at, "abc", 2, E4, loops=(Loop(2, 8),))
    writer.add("MXM.0.accumulators", at + chip.latency_array, "acc", 0, 0, loops=loops)
    assert hazard_of(program(SMALL, writer.records)) is None
    late = [r._replace(loops=(Loop(2, 1), Loop(2, 7))) if r.instruction.name == "acc" else r for r in writer.records]
    text = str(hazard_of(program(SMALL, late)))
    assert f"[result-missing] chip 0, cycle {at + chip.latency_array + 7}, plane 0" in text


@pytest.mark.parametrize(("delay", "kind"), [(-1, "stream-empty"), (0, "stream-empty"), (1, "result-lost")])
def test_the_earliest_hazard_is_reported(delay: int, kind: str) -> None:
    """An empty stream is read `delay` cycles after a result is lost; within a cycle the class decides."""
    chip = SMALL.chip
    at = 10 + chip.latency_read + chip.mxm_distance - 1
    writer = Writer(SMALL)
    writer.add("MXM.0.weights", 0, "iw")
    writer.add("MEM.E0", 10, "read", 0, E4)
    writer.add("MXM.0.activations", at, "abc", 1, E4)
    writer.add("MEM.E1", at + chip.latency_array + delay, "write", 0, W4)
    assert f"hazard [{kind}] " in str(hazard_of(program(SMALL, writer.records)))


def test_hazards_after_the_last_dispatch_are_found() -> None:
    """Two ALUs drive one register long after every queue has fallen silent."""
    system = small_system(latency_alu=50)
    writer = Writer(system)
    for alu in (1, 0):
        writer.add(f"VXM.{alu}", 10, "copy", ElementType.I32, source_immediate(alu), E4)
    assert hazard_of(program(system, writer.records)) == (
        "hazard [stream-collision] chip 0, cycle 61, stream E4 at position +0: two instructions drive one stream "
        "register in one cycle: `copy type i32 a 0x00000000 to E4` (VXM.0, cycle 10) and "
        "`copy type i32 a 0x00000001 to E4` (VXM.1, cycle 10)"
    )


def test_a_vector_to_a_chip_without_a_program_is_refused() -> None:
    writer = Writer(SMALL)
    writer.add("C2C.0", 10, "send", E4)
    with pytest.raises(LinkError, match="chip 1 at its other end has no program"):
        check_program(program(SMALL, writer.records))


def test_every_issue_of_a_record_is_expanded_once() -> None:
    """The vectorised expansion equals `Record.issues`, vector by vector."""
    records = (
        Record(0, 5, TABLE.by_name["read"], (1, E4), (Loop(3, 2, 1), Loop(2, 9, -1), Loop(2, 30, 2))),
        Record(0, 90, TABLE.by_name["read"], (3, E4)),
        Record(0, 95, TABLE.by_name["read"], (7, E4), (Loop(4, 1, -2),)),
    )
    chip = ChipIssues(0, records, SMALL.chip)
    issues = chip.dispatches("MEM", 0, "read")
    plain = [issue for record in records for issue in record.issues()]
    assert issues.cycles().tolist() == [cycle for cycle, _ in plain]
    assert issues.moved("address").tolist() == [values[0] for _, values in plain]
    assert [issues.actor(i).cycle for i in range(len(plain))] == [cycle for cycle, _ in plain]


# -- random programs -----------------------------------------------------------------------------------------------


def group(draw: DrawFn, system: SystemSpec, source: str, target: str) -> tuple[int, int]:
    """The first stream of a group that leads from one queue's unit to another's, and the cycles that it takes."""
    chip = system.chip
    a, b = (chip.queues[chip.queue_numbers[q]].position for q in (source, target))
    direction = "E" if a < b else "W" if b < a else draw(st.sampled_from("EW"))
    return stream_code(direction, draw(st.sampled_from((0, 4)))), abs(a - b)


def slices(system: SystemSpec) -> st.SearchStrategy[str]:
    return st.sampled_from([q.name for q in system.chip.queues if q.kind == "MEM"])


@st.composite
def rounds(draw: DrawFn, occupancy: int = 1, steps: bool = False) -> tuple[Loop, ...]:
    """Up to two levels of `repeat` around dispatches of so many cycles."""
    levels: list[Loop] = []
    for _ in range(draw(st.sampled_from((0, 1, 1, 2)))):
        every = occupancy + draw(st.sampled_from((0, 0, 1)))
        levels.append(Loop(draw(st.integers(2, 3)), every, draw(st.integers(0, 1)) if steps else 0))
        occupancy += (levels[-1].count - 1) * every
    return tuple(levels)


CHIPS = st.integers(0, 1)
STARTS = st.integers(0, 12)


@st.composite
def copy(draw: DrawFn, system: SystemSpec) -> list[Writer]:
    """Words from slice to slice."""
    writer, source, target = Writer(system, draw(CHIPS)), draw(slices(system)), draw(slices(system))
    code, hops = group(draw, system, source, target)
    levels, at = draw(rounds(steps=True)), draw(STARTS)
    writer.add(source, at, "read", 0, code, loops=levels)
    at += system.chip.latency_read + hops
    writer.add(target, at - system.chip.latency_write, "write", 0, code, loops=levels)
    return [writer]


@st.composite
def chain(draw: DrawFn, system: SystemSpec) -> list[Writer]:
    """A constant through two ALUs to a slice."""
    writer, target, at = Writer(system, draw(CHIPS)), draw(slices(system)), draw(STARTS)
    spec, levels = system.chip, draw(rounds())
    first, second = draw(st.permutations(range(spec.alus)))[:2]
    code, hops = group(draw, system, f"VXM.{second}", target)
    writer.add(f"VXM.{first}", at, "copy", ElementType.I32, source_immediate(7), CHAIN, loops=levels)
    at += spec.latency_alu
    operands = source_alu(first), draw(st.sampled_from((source_alu(first), source_immediate(1))))
    writer.add(f"VXM.{second}", at, "add", ElementType.I32, *operands, code, loops=levels)
    at += spec.latency_vxm_entry + spec.latency_alu + hops
    writer.add(target, at - spec.latency_write, "write", 0, code + draw(st.integers(0, 3)), loops=levels)
    return [writer]


@st.composite
def matmul(draw: DrawFn, system: SystemSpec) -> list[Writer]:
    """Vectors from a slice through a plane, and the sums back to a slice."""
    spec, plane = system.chip, draw(st.integers(0, 1))
    writer, source, target = Writer(system, draw(CHIPS)), draw(slices(system)), draw(slices(system))
    vectors = draw(st.integers(1, 3))
    outer = draw(rounds(vectors))
    levels = (Loop(vectors), *outer) if vectors > 1 else outer
    code, hops = group(draw, system, source, f"MXM.{plane}.activations")
    at = 4 + draw(STARTS)
    writer.add(source, at, "read", 0, code, loops=levels)
    at += spec.latency_read + hops
    writer.add(f"MXM.{plane}.weights", at - spec.latency_install - draw(st.integers(0, 2)), "iw")
    writer.add(f"MXM.{plane}.activations", at, "abc", vectors, code, loops=outer)
    at += spec.latency_array
    queue, entry, mode = f"MXM.{plane}.accumulators", draw(st.integers(0, 1)), draw(st.sampled_from((0, 0, 1)))
    if draw(st.booleans()):
        writer.add(queue, at, "acc", entry, mode, loops=levels)
        return [writer]
    code, hops = group(draw, system, queue, target)
    writer.add(queue, at, "acc_emit", entry, mode, code, loops=levels)
    at += spec.latency_egress + hops
    writer.add(target, at - spec.latency_write, "write", 0, code, loops=levels)
    return [writer]


@st.composite
def transfer(draw: DrawFn, system: SystemSpec) -> list[Writer]:
    """Words from a slice of one chip to a slice of the other."""
    spec, chip, source, target = system.chip, draw(CHIPS), draw(slices(system)), draw(slices(system))
    here, there = Writer(system, chip), Writer(system, 1 - chip)
    spacing = system.link_slot - draw(st.sampled_from((0, 0, 0, 1)))
    levels = draw(st.sampled_from(((), (Loop(2, spacing),), (Loop(3, spacing),))))
    code, hops = group(draw, system, source, "C2C.0")
    at = draw(STARTS)
    here.add(source, at, "read", 0, code, loops=levels)
    at += spec.latency_read + hops
    here.add("C2C.0", at, "send", code, loops=levels)
    at += spec.latency_send + system.link_latency
    code, hops = group(draw, system, "C2C.0", target)
    there.add("C2C.0", at, "receive", code, loops=levels)
    at += spec.latency_receive + hops
    there.add(target, at - spec.latency_write, "write", 0, code, loops=levels)
    return [here, there]


@st.composite
def rivals(draw: DrawFn, system: SystemSpec) -> list[Writer]:
    """ALUs that drive groups of streams of several widths at about the same time."""
    writer, at = Writer(system, draw(CHIPS)), draw(STARTS)
    widths = st.sampled_from((ElementType.I8, ElementType.I16, ElementType.I32))
    for alu in draw(st.lists(st.integers(0, system.chip.alus - 1), min_size=2, unique=True)):
        to = stream_code("E", draw(st.sampled_from((0, 4))))
        operand = source_immediate(alu)
        start = at + draw(st.integers(0, 2))
        writer.add(f"VXM.{alu}", start, "wrap", ElementType.I32, operand, draw(widths), to, loops=draw(rounds()))
    return [writer]


@st.composite
def anything(draw: DrawFn, system: SystemSpec) -> list[Writer]:
    """One instruction of the table on one of its queues, with any values; not always one that the chip accepts."""
    kinds = {q.kind for q in system.chip.queues}
    instruction = draw(
        st.sampled_from(
            [i for i in TABLE.by_name.values() if kinds & {*i.kinds} and not OP_CLASSES[i.name].PACKED_ONLY]
        )
    )
    able = [q for q in system.chip.queues if q.kind in instruction.kinds]
    if instruction.name == "abc_f16":
        able = [q for q in able if system.chip.paired_plane(q.unit) is not None]
    queue = draw(st.sampled_from([q.name for q in able]))
    codes = st.builds(stream_code, st.sampled_from("EW"), st.sampled_from((0, 4, 5)))
    of_kind = {
        FieldKind.NUMBER: st.integers(0, 3),
        FieldKind.STREAM: codes,
        FieldKind.SOURCE: codes | st.integers(0, 2).map(source_alu) | st.just(source_immediate(1)),
        FieldKind.TARGET: codes | st.just(CHAIN),
        FieldKind.FLAG: st.integers(0, 1),
    }
    values = [
        draw(st.sampled_from(f.types) if f.kind is FieldKind.TYPE else of_kind[f.kind]) for f in instruction.fields
    ]
    writer = Writer(system, draw(CHIPS))
    occupancy = instruction.occupancy(values)
    writer.add(queue, draw(STARTS), instruction.name, *values, loops=draw(rounds(occupancy)))
    return [writer]


def with_piece(chips: Sequence[list[Record]], piece: Sequence[Writer], system: SystemSpec) -> Sequence[list[Record]]:
    """The chips' records with a piece of work, or without it where a queue is taken or the chip has no such thing."""
    extended = [list(records) for records in chips]
    for writer in piece:
        for record in writer.records:
            if not fits(record, extended[writer.chip], system):
                return chips
            extended[writer.chip].append(record)
    return extended


def fits(record: Record, others: Sequence[Record], system: SystemSpec) -> bool:
    """Whether the chip has such an instruction, a cable if it needs one, and the queue free."""
    queue = system.chip.queues[record.queue]
    wired = queue.kind != "C2C" or queue.unit == 0
    free = all(r.queue != record.queue or r.last < record.at or record.last < r.at for r in others)
    return wired and free and check_record(record, system) is None


@st.composite
def programs(draw: DrawFn, system: SystemSpec) -> Program:
    """A few pieces of work, most of them right alone, as far as their queues have room, and then a slip or none."""
    chips: Sequence[list[Record]] = [], []
    pieces = copy(system) | chain(system) | matmul(system) | transfer(system) | rivals(system)
    for piece in draw(st.lists(pieces, min_size=1, max_size=5)) + draw(st.lists(anything(system), max_size=2)):
        chips = with_piece(chips, piece, system)
    records = chips[draw(CHIPS)]
    if records and draw(st.booleans()):
        record = records.pop(draw(st.integers(0, len(records) - 1)))
        moved = record._replace(at=record.at + draw(st.sampled_from((-1, 1))))
        if draw(st.booleans()) and fits(moved, records, system):
            records.append(moved)
    return program(system, *chips)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_random_programs_on_engine(system: SystemSpec, run: Callable[[Program], str | None]) -> None:
    """The engine and the verifier accept the same programs, and refuse the others with the same text."""

    @settings(max_examples=150, deadline=None)
    @given(programs(system))
    def agree(subject: Program) -> None:
        assert hazard_of(subject) == run(subject)

    agree()
