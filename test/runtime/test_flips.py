"""SECDED in the engines: who makes check bits, who checks them, and what becomes of flipped bits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fuzzing.checks import fill
from fuzzing.programs import noise, random_program
from fuzzing.supplied import supplied_program
from tspc.dialects.errors import FlipError, HazardError, InputError, LinkError, TargetError
from tspc.dialects.machine.instruction import CHAIN, ElementType, source_stream
from tspc.dialects.machine.instruction_fetch import Word, word_of
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.programs.records import Program
from tspc.runtime.engine import Engine, RunStats, Session
from tspc.runtime.flips import Flip, Register, bits_of
from tspc.runtime.jit import JitEngine, JitSession
from tspc.runtime.jit.cache import available_paths
from tspc.runtime.reference import ReferenceEngine
from util import Maker, add_results, add_vectors, add_weights, east, west

CHIP = ChipSpec()
CHECKS = 8 * CHIP.lanes
"""The number of the first check bit of a vector."""

Load = Callable[..., Engine]
every_engine = pytest.mark.parametrize("make", [ReferenceEngine, JitEngine], ids=["reference", "jit"])


def flip_sram(cycle: int, slice_: str, address: int, bit: int) -> Flip:
    return Flip(0, cycle, Word(slice_[0], int(slice_[1:]), address), bit)


def flip_stream(cycle: int, code: int, position: int, bit: int) -> Flip:
    return Flip(0, cycle, Register(code, position), bit)


def run(make: Load, program: Program, *flips: Flip) -> tuple[Session, RunStats]:
    """A run with random data in all SRAM."""
    session = make(secded=True, flips=flips).load(program)
    sram = session.sram(0)
    sram[:, :8] = data(len(sram))
    return session, session.run()


def data(slices: int = 2 * CHIP.slices) -> np.ndarray:
    """Words 0 to 7 of all slices."""
    return np.random.default_rng(5).integers(0, 256, (slices, 8, CHIP.lanes), np.uint8)


def copy() -> Program:
    """Word 0 of slice E0, read in cycle 0, to word 1 of E8, written in cycle 3."""
    m = Maker()
    m.add("MEM.E0", 0, "read", 0, east(4))
    m.keep("MEM.E8", 1, east(4), 1, 1)
    return m.program()


def relu() -> Program:
    """Words 0 and 1 of W0 through ALU 2 in cycles 20 and 21 to words 2 and 3 of E0."""
    m = Maker()
    loops = [(2, 1, 1)]
    m.bring("MEM.W0", 0, east(4), 0, 20, loops)
    m.add("VXM.2", 20, "relu", ElementType.I8, source_stream(east(4)), east(5), loops=[(2, 1, 0)])
    m.keep("MEM.E0", 2, east(5), 0, 20 + m.delay("relu"), loops)
    return m.program()


# -- who checks ----------------------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize("bit", [0, 8 * 17 + 3, CHECKS - 1, CHECKS, CHECKS + 20 * 9 - 1])
def test_memory_only_moves_what_has_flipped(make: Load, bit: int) -> None:
    """A copy carries the flipped bit along, uncounted, with its check bits; the host then reads it corrected."""
    session, stats = run(make, copy(), flip_sram(0, "E0", 0, bit))
    assert stats.corrected == (0,)
    found, corrected = session.read(0, 8, 1, 1)
    assert (found[0] == data()[0, 0]).all()
    assert corrected == 1
    raw = session.sram(0)[8, 1] ^ data()[0, 0]
    assert np.flatnonzero(np.unpackbits(raw, bitorder="little")).tolist() == [bit] * (bit < CHECKS)


@every_engine
@pytest.mark.parametrize("bit", [0, 8 * 17 + 3, CHECKS - 1, CHECKS, CHECKS + 20 * 9 - 1])
def test_a_unit_corrects_what_it_takes(make: Load, bit: int) -> None:
    session, stats = run(make, relu(), flip_stream(20, east(4), 0, bit))
    assert stats.corrected == (1,)
    found, corrected = session.read(0, 0, 2, 2)
    assert (found.view(np.int8) == np.maximum(data()[44, :2].view(np.int8), 0)).all()
    assert corrected == 0


@every_engine
def test_a_flip_is_in_the_register_for_a_cycle_and_then_further_on(make: Load) -> None:
    """The vector that is at the VXM in cycle 20 was read in cycle 18, and was at position -1 in cycle 19."""
    for flip, corrected in [
        (flip_sram(18, "W0", 0, 5), 1),
        (flip_sram(19, "W0", 0, 5), 0),  # after the read
        (flip_stream(19, east(4), -1, 5), 1),
        (flip_stream(18, east(4), -1, 5), 0),  # nothing is here yet
        (flip_stream(21, east(4), 1, 5), 0),  # past the VXM
        (flip_stream(20, west(4), 0, 5), 0),  # nothing flows there
    ]:
        assert run(make, relu(), flip)[1].corrected == (corrected,), flip


@every_engine
def test_every_taker_corrects_and_counts(make: Load) -> None:
    """A word that is read three times with a flipped bit is corrected three times: nothing writes it back."""
    m = Maker()
    m.bring("MEM.W0", 0, east(4), 0, 20, [(3, 1, 0)])
    for alu in (0, 1):
        m.add(f"VXM.{alu}", 20, "copy", ElementType.I8, source_stream(east(4)), CHAIN, loops=[(3, 1, 0)])
    flips = [flip_sram(3, "W0", 0, bit) for bit in (7, 200)]
    assert run(make, m.program(), *flips)[1].corrected == (2 * 3 * 2,)


@every_engine
def test_the_matrix_unit_corrects_weights_and_activations(make: Load) -> None:
    def program() -> Program:
        m = Maker()
        when = add_weights(m, 0, 40, range(2))
        add_vectors(m, 0, when, 3, 20)
        add_results(m, 0, when + CHIP.latency_array, 3, 24)
        return m.program()

    expected, _ = run(make, program())
    flips = [
        flip_sram(0, "E2", 1, 77),
        flip_sram(0, "E20", 1, 8),
        flip_sram(0, "E20", 1, 8 * 16),
        flip_sram(0, "E20", 2, CHECKS),
    ]
    session, stats = run(make, program(), *flips)
    assert stats.corrected == (4,)
    for slice_ in range(24, 28):
        assert (session.read(0, slice_, 0, 3)[0] == expected.read(0, slice_, 0, 3)[0]).all()


@every_engine
def test_memory_checks_its_maps_but_not_what_they_move(make: Load) -> None:
    """Tile i is gathered from word i % 8 of E4 to E8, and scattered from W4 to word i % 8 of W8."""
    m = Maker()
    m.bring("MEM.E0", 0, east(1), m.at("MEM.E4"), 10)
    m.add("MEM.E4", 10, "gather", 0, east(1), east(2))
    m.keep("MEM.E8", 0, east(2), m.at("MEM.E4"), 10 + CHIP.latency_gather)
    m.bring("MEM.W0", 0, west(1), m.at("MEM.W8"), 10)
    m.bring("MEM.W4", 0, west(2), m.at("MEM.W8"), 10)
    m.add("MEM.W8", 10 - CHIP.latency_write, "scatter", 0, west(1), west(2))
    tiles = np.arange(20)
    words = data()
    words[[0, CHIP.slices], 0] = 0
    words[[0, CHIP.slices], 0, ::16] = tiles % 8
    flips = [
        flip_sram(0, "E0", 0, 0),  # of a map
        flip_sram(0, "W0", 0, 8 * 319),  # of a map, in a lane that says nothing
        flip_sram(0, "E4", 3, 8 * (3 * 16 + 1)),  # of tile 3, which is gathered
        flip_sram(0, "E4", 3, 8 * (4 * 16 + 1)),  # of tile 4, which is not
        flip_sram(0, "W4", 0, 8 * 17),  # of tile 1
    ]
    session = make(secded=True, flips=flips).load(m.program())
    session.sram(0)[:, :8] = words
    assert session.run().corrected == (2,)
    gathered, corrected = session.read(0, 8, 0, 1)
    assert (gathered[0].reshape(20, 16) == words[4].reshape(8, 20, 16)[tiles % 8, tiles]).all()
    assert corrected == 1
    scattered = [session.read(0, CHIP.slices + 8, word, 1) for word in range(8)]
    assert [corrected for _, corrected in scattered] == [0, 1, 0, 0, 0, 0, 0, 0]
    for i in tiles:
        lanes = slice(16 * i, 16 * i + 16)
        assert (scattered[i % 8][0][0, lanes] == words[CHIP.slices + 4, 0, lanes]).all()


@every_engine
def test_a_queue_corrects_its_text(make: Load) -> None:
    """A flipped bit of program text is corrected by the ifetch that takes it; two stop the program."""
    program = fitted(next(p for seed in range(100) if (p := supplied_program(seed)) and p.chips[0].fetches))
    text = sorted(program.chips[0].text_image(program.system.chip))
    one = [Flip(program.chips[0].chip, 0, place, 9) for place in text]
    stats = outcome(make(secded=True, flips=one), program, 0)[0]
    assert not isinstance(stats, str)
    assert [s.corrected for s in stats] == [(len(text), 0), (0, 0)]  # the second run flips all back
    error = outcome(make(secded=True, flips=[*one, *(replace(flip, bit=10) for flip in one)]), program, 0)[0]
    assert isinstance(error, str)
    assert error.startswith("bits flipped on chip 0, ") and "taken by `ifetch " in error


@every_engine
def test_superlanes_that_are_off_are_not_taken(make: Load) -> None:
    m = Maker()
    m.bring("MEM.W0", 0, east(4), 0, 20)
    m.add("VXM.2", 19, "config", 10)
    m.add("VXM.2", 20, "copy", ElementType.I8, source_stream(east(4)), CHAIN)
    on, off = (flip_stream(20, east(4), 0, 8 * lane) for lane in (159, 160))
    assert run(make, m.program(), on)[1].corrected == (1,)
    assert run(make, m.program(), off, replace(off, bit=off.bit + 1))[1].corrected == (0,)


@every_engine
def test_a_link_carries_no_check_bits(make: Load) -> None:
    """`send` takes the vector, `receive` makes one anew: a packet has 8 bytes beside its 320, check bits need 23."""
    m = Maker(SystemSpec(chips=2))
    m.bring("MEM.E0", 0, east(0), m.at("C2C.0"), 30)
    m.add("C2C.0", 30, "send", east(0))
    arrival = 30 + CHIP.latency_send + m.system.link_latency
    m.add("C2C.0", arrival, "receive", west(0), chip=1)
    m.keep("MEM.E0", 0, west(0), m.at("C2C.0"), arrival + CHIP.latency_receive, chip=1)
    session, stats = run(make, m.program(), flip_sram(0, "E0", 0, 1000))
    assert stats.corrected == (1, 0)
    assert (session.read(1, 0, 0, 1)[0] == data()[0, 0]).all()
    assert session.read(1, 0, 0, 1)[1] == 0


# -- more flips than can be corrected --------------------------------------------------------------------------------


def test_two_flips_are_reported_with_place_and_cycle() -> None:
    """On a stream, in the memory that it came from, and in its check bits."""
    where = "stream E4 at position +0, lanes 16 to 31"
    for flips, cycle in [
        ([flip_stream(19, east(4), -1, 128), flip_stream(20, east(4), 0, 255)], 20),
        ([flip_sram(1, "W0", 1, bit) for bit in (130, CHECKS + 9)], 21),
        ([flip_sram(1, "W0", 1, bit) for bit in (CHECKS + 10, CHECKS + 9)], 21),
    ]:
        for make in (ReferenceEngine, JitEngine):
            with pytest.raises(FlipError) as e:
                run(make, relu(), *flips)
            assert e.value.key == (0, where, cycle)
            driver = f"`read address {cycle - 20} stream E4` (MEM.W0, cycle {cycle - 2})"
            taker = f"`relu type i8 a E4 to E5` (VXM.2, cycle {cycle})"
            assert str(e.value) == (
                f"bits flipped on chip 0, cycle {cycle}, {where}: more in one code word than can be corrected: "
                f"driven by {driver}, taken by {taker}; load the memory anew and run again"
            )


@every_engine
def test_two_flips_in_different_code_words_are_corrected(make: Load) -> None:
    flips = [flip_stream(20, east(4), 0, bit) for bit in (127, 128)]
    assert run(make, relu(), *flips)[1].corrected == (2,)


@every_engine
def test_what_nobody_takes_is_not_reported(make: Load) -> None:
    flips = [flip_sram(0, "E9", 3, bit) for bit in (0, 1)]
    session, stats = run(make, copy(), *flips)
    assert stats.corrected == (0,)
    assert session.read(0, 9, 2, 1)[1] == 0


@every_engine
def test_the_host_reports_two_flips(make: Load) -> None:
    session, _ = run(make, copy(), *(flip_sram(0, "E0", 0, bit) for bit in (400, 401)))
    with pytest.raises(FlipError) as e:
        session.read(0, 8, 0, 3)
    assert e.value.key == (0, "word E8[1], lanes 48 to 63", copy().cycles)
    assert "taken by `read` (host, cycle " in str(e.value)


@every_engine
def test_a_flip_stays_in_memory_until_it_is_written(make: Load) -> None:
    """The second run flips another bit of the same word; writing the word, or taking all memory, makes it right."""
    session = make(secded=True, flips=[flip_sram(0, "E0", 0, 3)]).load(copy())
    session.write(0, 0, 0, data()[0, :1])
    session.run()
    session.run()
    assert session.read(0, 0, 0, 1)[1] == 0  # flipped back
    session.run()
    assert session.read(0, 0, 0, 1)[1] == 1
    session.write(0, 0, 0, data()[0, :1])
    assert session.read(0, 0, 0, 1)[1] == 0


@every_engine
def test_memory_that_the_host_has_taken_gets_new_check_bits(make: Load) -> None:
    """Where it wrote, where it put zeros, and where there were zeros all along."""
    session = make(secded=True).load(copy())
    session.write(0, 0, 0, data()[0, :3])
    session.sram(0)[0, 1] = 7
    session.sram(0)[0, 2] = 0
    session.run()
    assert session.read(0, 0, 0, 4)[1] == 0
    assert session.read(0, 0, 0, 0)[0].shape == (0, CHIP.lanes)
    session.sram(0)[9, 1, 5] ^= 4
    assert session.read(0, 9, 1, 1)[1] == 1  # not before the next run
    session.run()
    assert session.read(0, 9, 1, 1)[1] == 0


@every_engine
def test_a_flip_after_the_last_instruction_is_made(make: Load) -> None:
    program = copy()
    session, _ = run(make, program, flip_sram(program.cycles - 1, "E30", 2, 0))
    assert session.read(0, 30, 2, 1)[1] == 1


def test_a_stop_shows_what_has_flipped() -> None:
    flips = [flip_stream(20, east(4), 0, 8 * 5 + 1)]
    session = ReferenceEngine(secded=True, flips=flips).load(relu())
    seen = session.run_to(20).stream(0, east(4), 0)
    assert seen is not None and len(seen.data) == CHIP.lanes
    assert seen.data.nonzero()[0].tolist() == [5]
    assert seen.data[5] == 2


# -- flips that cannot be ------------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize(
    ("flip", "error", "message"),
    [
        (flip_sram(24, "E0", 0, 0), InputError, "flip in cycle 24: the program has the cycles 0..23"),
        (flip_sram(0, "E44", 0, 0), InputError, "slice E44: the chip has 0..43"),
        (flip_sram(0, "E0", 8192, 0), InputError, r"word 8192: a slice has the words 0..8191"),
        (flip_sram(0, "E0", 0, 2740), InputError, r"bit 2740 of E0\[0\]: a vector with its check bits has 0..2739"),
        (flip_stream(0, east(32), 0, 0), InputError, "stream E32: the chip has 0..31 in each direction"),
        (flip_stream(0, east(0), 14, 0), InputError, r"position \+14: the chip has -13..\+13"),
        (Flip(1, 0, Word("E", 0, 0), 0), LinkError, "flip on chip 1: it has no program; the chips that have one: 0"),
    ],
)
def test_flips_that_cannot_be(make: Load, flip: Flip, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(secded=True, flips=[flip]).load(copy())


@pytest.mark.parametrize("make", [ReferenceEngine, JitEngine, lambda **more: JitEngine(mode="bulk", **more)])
def test_flips_need_secded(make: Load) -> None:
    with pytest.raises(InputError, match="flips need SECDED: without it nothing would notice them"):
        make(flips=[flip_sram(0, "E0", 0, 0)]).load(copy())


@every_engine
def test_a_machine_that_the_code_does_not_fit(make: Load) -> None:
    program = replace(copy(), system=SystemSpec(chip=ChipSpec(secded_check_bits=4)))
    with pytest.raises(TargetError, match="secded_check_bits"):
        make(secded=True).load(program)
    make().load(program)


def test_bulk_mode_leaves_it_to_cycle_mode() -> None:
    assert JitEngine(mode="bulk").load(copy()).mode == "bulk"
    session = JitEngine(mode="bulk", secded=True).load(copy())
    assert isinstance(session, JitSession)
    assert session.run().corrected == (0,)


# -- the engines agree ---------------------------------------------------------------------------------------------

PROGRAMS = 400


def fitted(program: Program, parts: int = 1) -> Program:
    """The program on a machine whose code words fill its superlanes: one in each or, of 8 or 16 lanes, `parts`."""
    chip = program.system.chip
    parts = parts if chip.lanes_per_tile % 8 == 0 else 1
    bits = 8 * chip.lanes_per_tile // parts
    return replace(program, system=replace(program.system, chip=replace(chip, secded_data_bits=bits)))


def random_flips(program: Program, rng: random.Random) -> list[Flip]:
    """Flips of what an instruction reads, in the cycle in which it does; sometimes two in a code word."""
    chip = program.system.chip
    flips: list[Flip] = []
    for _ in range(rng.randint(1, 6)):
        doing = rng.choice(program.chips)
        if not doing.dispatches:
            continue
        record = rng.choice(doing.dispatches)
        cycle, values = rng.choice(list(record.issues()))
        queue = chip.queues[record.queue]
        uses = [*record.instruction.stream_uses("read", values, chip)]
        if uses:
            use = rng.choice(uses)
            place: Word | Register = Register(use.code + rng.randrange(use.width), queue.position)
            cycle += use.offset + rng.randrange(record.instruction.occupancy(values))
        elif record.instruction.name == "read":
            place = word_of(queue.unit, values[0], chip)
        else:
            continue
        if cycle < program.cycles:
            bit = rng.randrange(bits_of(chip) - 1)
            twice = rng.random() < 0.1
            flips += [Flip(doing.chip, cycle, place, b) for b in (bit, bit ^ 1)[: 1 + twice]]
    return flips


def outcome(engine: Engine, program: Program, seed: int) -> tuple[str | list[RunStats], list[np.ndarray]]:
    """The error's text, or the statistics of two runs and all SRAM after them."""
    session = engine.load(program)
    fill(session, program, seed)
    try:
        with np.errstate(all="ignore"):
            stats = [session.run(), session.run()]
    except (FlipError, HazardError) as e:
        return str(e), []
    return stats, [session.sram(i).copy() for i in range(len(program.chips))]


@pytest.mark.parametrize("make", [random_program, noise, supplied_program])
def test_engines_agree(make: Callable[[int], Program | None]) -> None:
    """In every bit of memory, in what they have corrected, and in the error; also of program text on its way."""
    seen: Counter[str] = Counter()
    for seed in range(PROGRAMS if make is random_program else PROGRAMS // 4):
        if (drawn := make(seed)) is None:
            continue
        rng = random.Random(seed)
        program = fitted(drawn, rng.choice([1, 2]))
        flips = random_flips(program, rng)
        expected, memory = outcome(ReferenceEngine(secded=True, flips=flips), program, seed)
        for path in available_paths():
            found, sram = outcome(JitEngine(path, secded=True, flips=flips), program, seed)
            if isinstance(expected, str) or isinstance(found, str):
                assert found == expected, f"seed {seed}, {path}"
                continue
            assert [s.corrected for s in found] == [s.corrected for s in expected], f"seed {seed}, {path}"
            assert [s.cycles for s in found] == [s.cycles for s in expected], f"seed {seed}, {path}"
            for a, b in zip(sram, memory, strict=True):
                assert np.array_equal(a, b), f"seed {seed}, {path}"
        if isinstance(expected, str):
            seen[expected.split(" ", 1)[0]] += 1
        else:
            seen["corrected" if any(sum(s.corrected or ()) for s in expected) else "untouched"] += 1
    if make is random_program:
        assert min(seen[kind] for kind in ("corrected", "bits", "hazard")) >= PROGRAMS // 40, seen


def test_without_flips_nothing_changes() -> None:
    """A run with check bits does what a run without them does, and corrects nothing."""
    for seed in range(100):
        if (drawn := random_program(seed)) is None:
            continue
        program = fitted(drawn, 1 + seed % 2)
        plain, memory = outcome(JitEngine(), program, seed)
        for engine in (ReferenceEngine(secded=True), JitEngine(secded=True)):
            found, sram = outcome(engine, program, seed)
            if isinstance(plain, str) or isinstance(found, str):
                assert found == plain, f"seed {seed}"
                continue
            assert {s.corrected for s in found} == {(0,) * len(program.chips)}
            assert all(np.array_equal(a, b) for a, b in zip(sram, memory, strict=True)), f"seed {seed}"
