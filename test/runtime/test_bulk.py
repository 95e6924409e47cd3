"""Bulk mode of the JIT engine: the same bits, statistics and hazards as the reference engine, and what runs in bulk."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzzing.checks import agree, difference, outcome
from fuzzing.programs import long_program, overlapping_program, plain_program, random_program
from fuzzing.supplied import supplied_program
from test_jit_hazards import PROVOKED, Provoked
from tspc.dialects.errors import HazardError, TargetError
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import CHAIN, ElementType, Record, source_alu, source_immediate, source_stream
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import Program, check_program, configured, program_length
from tspc.passes.pipelines import compile, parse
from tspc.runtime.engine import Session
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.interface import interface_of, load_weights, weights_path
from tspc.runtime.jit import BulkSession, JitEngine
from tspc.runtime.jit.bulk import emit
from tspc.runtime.jit.bulk.compiled import CompiledBulk, compile_bulk_kernel
from tspc.runtime.jit.cache import available_paths
from tspc.runtime.reference import ReferenceEngine
from util import Maker, add_hop, add_results, add_vectors, add_weights, east, west

I8, I16, I32, F32 = ElementType.I8, ElementType.I16, ElementType.I32, ElementType.F32
SMALL = SystemSpec(chip=ChipSpec(words=512))
DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
ALL = available_paths()


def in_bulk(m: Maker, topology: Topology | None = None) -> None:
    """Fails unless the program runs in bulk mode and does what the reference engine does."""
    assert agree(m.program(topology), 0) == ("bulk", "right")


# -- whole programs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chained", [1, 1 << 20])
@pytest.mark.parametrize("name", ["digits.mlir", "digits_two_chips.mlir"])
def test_digits(name: str, chained: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without compiled chains."""
    monkeypatch.setattr(emit, "CHAINED", chained)
    batch = 40
    module = parse((DIGITS / name).read_text().replace("360x", f"{batch}x"))
    weights = load_weights(weights_path(module, DIGITS), interface_of(module).parameters)
    executable = executable_from_module(compile(module), weights)
    with np.load(DIGITS / "digits.npz") as data:
        images = {"images": data["images"][:batch]}
    reference, bulk = (Loaded(executable, e) for e in (ReferenceEngine(), JitEngine(mode="bulk")))
    assert isinstance(bulk.session, BulkSession)
    for _ in range(2):
        (want, cycles), (got, stats) = reference.run(images), bulk.run(images)
        assert all(np.array_equal(got[n], want[n]) for n in want)
        assert stats.cycles == cycles.cycles and (stats.issues == cycles.issues).all()


@pytest.mark.parametrize("count", [1, 7, 56, 100])
def test_accumulated_products(count: int) -> None:
    """Three tiles of k are added up in a plane's accumulators; the sums leave through an ALU and as they are."""
    m = Maker(SMALL)
    at, unit = 100, "MXM.0.accumulators"
    for tile in range(3):
        at = add_weights(m, 0, at, range(20))
        add_vectors(m, 0, at, count, 20, tile * 100)
        taken, rows = at + m.chip.latency_array, [(count, 1, 1)] if count > 1 else []
        if tile < 2:
            m.add(unit, taken, "acc", 3, int(tile > 0), loops=rows)
        at += max(count, 60)
    m.add(unit, taken, "acc_emit", 3, 1, west(4), loops=rows)
    driven = taken + m.chip.latency_egress
    for i in range(4):
        name = f"MEM.E{24 + i}"
        m.add(name, driven + m.at(unit) - m.at(name), "write", 0, west(4 + i), loops=rows)
    still = [(n, every, 0) for n, every, _ in rows]
    m.add("VXM.0", driven + m.at(unit), "convert", I32, source_stream(west(4)), I8, west(9), loops=still)
    m.add("MEM.W7", driven + m.at(unit) + 4 + 2, "write", 0, west(9), loops=rows)
    assert agree(m.program(), count, ALL) == ("bulk", "right")


def test_oldest_cpu() -> None:
    """Of x86, whose instruction set is that of every one; it rounds by calling the C library."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the baseline is that of x86")
    kernel = CompiledBulk("plain", compile_bulk_kernel("plain", "x86-64", ""))

    class Baseline:
        def load(self, program: Program) -> Session:
            return BulkSession(program, kernel)

    right = 0
    for seed in range(60):
        if (program := random_program(seed)) is not None and JitEngine(mode="bulk").load(program).mode == "bulk":
            found = outcome(Baseline(), program, seed)
            assert found.stats is not None
            assert difference(found, outcome(ReferenceEngine(), program, seed)) is None, seed
            right += 1
    assert right > 10


# -- random programs -----------------------------------------------------------------------------------------------


def test_whole_instruction_set() -> None:
    """Programs of all instructions, half of them broken; of the right ones few have groups that wait for themselves."""
    seen = Counter(agree(p, seed, ALL) for seed in range(400) if (p := random_program(seed)) is not None)
    assert seen["bulk", "right"] > 100 > 20 * seen["cycle", "right"], seen


@pytest.mark.parametrize(("make", "programs"), [(plain_program, 400), (overlapping_program, 800), (long_program, 150)])
def test_same_as_reference(make: Callable[[int], Program | None], programs: int) -> None:
    seen = Counter(agree(p, seed, ALL) for seed in range(programs) if (p := make(seed)) is not None)
    assert any(mode == "cycle" and kind != "right" for mode, kind in seen)
    assert seen["bulk", "right"] > 20 * seen["cycle", "right"], seen
    assert seen["bulk", "right"] > programs // 20, seen


@pytest.mark.parametrize("special", [0, 1 << 20])
def test_compiled_chains(special: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains are compiled for groups of any size, with their immediates and without, and are right."""
    monkeypatch.setattr(emit, "CHAINED", 1)
    monkeypatch.setattr(emit, "SPECIAL", special)
    seen = Counter(agree(p, seed) for seed in range(100) if (p := plain_program(seed)) is not None)
    assert seen["bulk", "right"] > 10, seen


# -- words that are read and written -------------------------------------------------------------------------------


def copy(m: Maker, at: int, source: str, target: str, code: int, loops: list[tuple[int, int, int]], to: int = 0) -> int:
    """Copies words 0.. of a slice to words `to`.. of another further on; gives the cycle of the first write."""
    m.add(source, at, "read", 0, code, loops=loops)
    written = at + m.chip.latency_read + abs(m.at(target) - m.at(source))
    m.add(target, written, "write", to, code, loops=loops)
    return written


def test_update_in_place() -> None:
    """Every word is read, doubled, and written back in the same round; a copy of the old one is kept."""
    m, loops, still = Maker(SMALL), [(100, 1, 1)], [(100, 1, 0)]
    m.add("MEM.E0", 0, "read", 5, west(0), loops=loops)
    m.add("VXM.0", 2, "convert", I8, source_stream(west(0)), I32, CHAIN, loops=still)
    m.add("VXM.1", 5, "add", I32, source_alu(0), source_alu(0), CHAIN, loops=still)
    m.add("VXM.2", 8, "wrap", I32, source_alu(1), I8, east(1), loops=still)
    m.add("MEM.W0", 3, "write", 0, west(0), loops=loops)
    m.add("MEM.E3", 13, "write", 5, east(1), loops=loops)
    in_bulk(m)


@pytest.mark.parametrize("distance", [1, 5, 60])
@pytest.mark.parametrize("ahead", [False, True])
def test_reader_behind_writer(distance: int, ahead: bool) -> None:
    """One slice is written while another reads it a few words behind, or a few words ahead and so the old words."""
    m, loops = Maker(SMALL), [(100, 2, 1)]
    written = copy(m, 200, "MEM.E0", "MEM.E20", east(0), loops)
    start = written + (2 * distance + 1) * (-1 if ahead else 1)
    del m.records[0][-1]
    # A queue does one thing at a time: the reads stand between the writes, record by record.
    for i in range(100):
        m.add("MEM.E20", written + 2 * i, "write", i, east(0))
    for i in range(100):
        m.add("MEM.E20", start + 2 * i, "read", i, east(1))
    m.add("MEM.E40", start + 1 + m.at("MEM.E40") - m.at("MEM.E20"), "write", 0, east(1), loops=loops)
    in_bulk(m)


def test_word_for_all_rounds() -> None:
    """A constant read in every round, and overwritten after its last reading; then read again."""
    m, still = Maker(SMALL), [(60, 1, 0)]
    for at in (0, 100):
        m.add("MEM.E0", at, "read", 7, west(0), loops=still)
        m.add("VXM.0", at + 2, "copy", I8, source_stream(west(0)), west(1), loops=still)
        m.add(f"MEM.W{at // 25}", at + 6 + abs(m.at(f"MEM.W{at // 25}")), "write", 0, west(1), loops=[(60, 1, 1)])
    copy(m, 60, "MEM.W40", "MEM.E0", east(3), [], to=7)
    in_bulk(m)


def test_exchange_of_chips() -> None:
    """Two chips give each other the words that they overwrite."""
    system = replace(SMALL, chips=2)
    topology, m = Topology.of(system), Maker(system)
    add_hop(m, 10, 5, topology, 0, 1, source=0, target=1)
    add_hop(m, 10, 5, topology, 1, 0, source=0, target=1)
    in_bulk(m, topology)
    m = Maker(system)
    add_hop(m, 10, 5, topology, 0, 1, source=0, target=0)
    add_hop(m, 10, 5, topology, 1, 0, source=0, target=0)
    assert agree(m.program(topology), 0)[1] == "right"


def test_bytes_of_a_wider_result() -> None:
    """The upper half of an int32 is read as int16, and its planes land in two places each."""
    m, loops, still = Maker(SMALL), [(70, 1, 1)], [(70, 1, 0)]
    m.add("MEM.E0", 0, "read", 0, west(0), loops=loops)
    m.add("VXM.0", 2, "convert", I8, source_stream(west(0)), F32, CHAIN, loops=still)
    m.add("VXM.1", 5, "mul", F32, source_alu(0), source_immediate(0x447A3C00), west(4), loops=still)
    m.add("VXM.2", 9, "wrap", I16, source_stream(west(6)), I32, west(8), loops=still)
    for i in range(4):
        for slice_ in (2 * i, 2 * i + 9):
            m.add(f"MEM.W{slice_}", 9 - m.at(f"MEM.W{slice_}"), "write", 0, west(4 + i), loops=loops)
        m.add(f"MEM.W{20 + i}", 13 - m.at(f"MEM.W{20 + i}"), "write", 0, west(8 + i), loops=loops)
    in_bulk(m)


@pytest.mark.parametrize("count", [30, 500])
def test_running_sums(count: int) -> None:
    """An ALU adds every vector to the sum that it made as many cycles before as it takes."""
    m, latency = Maker(SMALL), SMALL.chip.latency_alu
    m.add("MEM.E0", 18, "read", 5, west(0), loops=[(count, 1, 1)])
    rest = [(count - latency, 1, 0)]
    m.add("VXM.1", 20, "convert", I8, source_stream(west(0)), I32, CHAIN, loops=[(count, 1, 0)])
    m.add("VXM.2", 20 + latency, "copy", I32, source_alu(1), CHAIN, loops=[(latency, 1, 0)])
    m.add("VXM.2", 20 + 2 * latency, "add", I32, source_alu(1), source_alu(2), CHAIN, loops=rest)
    m.add("VXM.3", 20 + 2 * latency, "copy", I32, source_alu(2), west(4), loops=[(count, 1, 0)])
    for i in range(4):
        m.keep(f"MEM.W{i}", 0, west(4 + i), 0, 20 + 3 * latency + SMALL.chip.latency_vxm_entry, [(count, 1, 1)])
    in_bulk(m)


def test_weights_that_were_computed() -> None:
    """Rows come from ALUs, not from memory."""
    m, loops, still = Maker(SMALL), [(20, 1, 1)], [(20, 1, 0)]
    for i in range(16):
        m.add(f"MEM.W{i}", 30 - abs(m.at(f"MEM.W{i}")) - 1, "read", 0, east(i), loops=loops)
        m.add(f"VXM.{i}", 30, "convert", I8, source_stream(east(i)), I8, east(i), loops=still)
    load = 34 + m.at("MXM.0.weights")
    m.add("MXM.0.weights", load, "lw", 0, east(0), loops=loops)
    m.add("MXM.0.weights", load + 20, "iw")
    add_vectors(m, 0, load + 21, 30, 20)
    add_results(m, 0, load + 21 + 13, 30, 24)
    in_bulk(m)


def test_more_issues_than_can_be_planned() -> None:
    """Runs that are counted, not enumerated: cycle mode takes the program, and nothing is expanded for it."""
    m = Maker(SMALL)
    m.add("MEM.E0", 0, "read", 0, east(0), loops=[(3, 2, 0), (2000, 7, 0), (5000, 65000, 0)])
    assert JitEngine(mode="bulk").load(m.program()).mode == "cycle"


# -- program text --------------------------------------------------------------------------------------------------


def with_records(program: Program, records: Sequence[Record]) -> Program:
    """A program whose chip 0 has other records, of the length that they have."""
    ordered = configured(sorted(records, key=lambda r: r[:2]))
    length = program_length(max(r.last for r in ordered), program.system)
    return check_program(
        replace(program, chips=(replace(program.chips[0], records=ordered, cycles=length), *program.chips[1:]))
    )


def text_program() -> Program:
    """One whose chip 0 fetches text: a read in the slice E0 brings a word of it."""
    program = supplied_program(9)
    assert program is not None and program.chips[0].fetches
    return program


@pytest.mark.parametrize(("address", "found"), [(0, "right"), (24, "text-overwritten")])
def test_scatter_beside_text(address: int, found: str) -> None:
    """Where it writes depends on data, and so whether it meets text: cycle mode looks."""
    program = text_program()
    m, when = Maker(program.system), program.cycles + 50
    m.bring("MEM.E6", 2, west(0), m.at("MEM.E0"), when)
    m.bring("MEM.E7", 3, west(1), m.at("MEM.E0"), when)
    m.add("MEM.E0", when - m.chip.latency_write, "scatter", address, west(0), west(1))
    assert agree(with_records(program, [*program.chips[0].records, *m.records[0]]), 0, ALL) == ("cycle", found)


@pytest.mark.parametrize("on", [1, 8, 9])
def test_text_from_some_superlanes(on: int) -> None:
    """Those that are off drive zeros, which matters where there is text."""
    program = text_program()
    chip, records = program.system.chip, program.chips[0].records
    queue = chip.queue_numbers["MEM.E0"]
    words = [word.address for word in program.chips[0].text_image(chip) if word[:2] == ("E", 0)]
    read = next(r for r in records if r.queue == queue and r.instruction.name == "read" and r.values[0] in words)
    config = Record(queue, read.at - 1, TABLE.by_name["config"], (on,))
    seen = agree(with_records(program, [*records, config]), 0, ALL)
    assert seen == (("cycle", "text-wrong") if on == 1 else ("bulk", "right"))


# -- hazards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PROVOKED, ids=lambda c: c.make.__name__)
def test_hazards_are_left_to_cycle_mode(case: Provoked) -> None:
    m = Maker(SystemSpec(chips=case.chips))
    case.make(m)
    program = m.program()
    session = JitEngine(mode="bulk").load(program)
    assert session.mode == "cycle"
    with pytest.raises(HazardError) as bulk:
        session.run()
    with pytest.raises(HazardError) as reference:
        ReferenceEngine().load(program).run()
    assert str(bulk.value) == str(reference.value)


def test_unknown_mode() -> None:
    with pytest.raises(TargetError, match="mode `fast` of the JIT engine is unknown"):
        JitEngine(mode="fast")
