"""`tsp-run --profile`: what it counts and bounds is arithmetic on the program, and the parts sum to its length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from harness import DIGITS, DIGITS_TIMED, run
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, program_from_module
from tspc.passes.pipelines import compile, parse
from tspc.runtime.reference import ReferenceEngine
from tspc.tools.profile import Bound, Profile, profile

CHIP = DEFAULT_SYSTEM.chip
START, TILES = DEFAULT_SYSTEM.release, CHIP.tiles


def timed(body: str, cycles: int) -> Program:
    """A program of chip 0 in timed form."""
    return program_from_module(parse(f"tsp_isa.program @main chip 0 cycles {cycles} {{ {body} }}"))


def queue(name: str, *instructions: str) -> str:
    return f'tsp_isa.queue "{name}" {{ {" ".join(f"tsp_isa.{i}" for i in instructions)} }}\n'


def bound(found: Profile, resource: str) -> Bound:
    return next(b for b in found.bounds if b.resource == resource)


def example(name: str) -> Program:
    return program_from_module(compile(parse((DIGITS / name).read_text())))


@pytest.fixture(scope="module", params=["digits.mlir", "digits_two_chips.mlir"])
def profiled(request: pytest.FixtureRequest) -> tuple[Program, Profile]:
    program = example(request.param)
    return program, profile(program)


# -- what holds of every program -----------------------------------------------------------------------------------


def test_units_are_busy_as_the_engine_says(profiled: tuple[Program, Profile]) -> None:
    program, found = profiled
    issues = ReferenceEngine().load(program).run().issues  # without data the hazards are the same
    chips = [c.chip for c in program.chips]
    assert {(chips.index(u.chip), u.number): u.busy for u in found.units} == {
        (int(c), int(q)): int(issues[c, q]) for c, q in np.argwhere(issues)
    }


def test_kinds_are_the_sums_of_their_units(profiled: tuple[Program, Profile]) -> None:
    program, found = profiled
    for kind in found.kinds:
        units = [u for u in found.units if u.kind == kind.kind]
        assert kind.units == len(program.chips) * sum(q.kind == kind.kind for q in CHIP.queues)
        assert (kind.used, kind.busy) == (len(units), sum(u.busy for u in units))
        assert kind.busiest.busy == max(u.busy for u in units)


def test_no_bound_is_beyond_the_length_and_the_parts_make_up_the_rest(profiled: tuple[Program, Profile]) -> None:
    program, found = profiled
    assert found.binding.length == max(b.length for b in found.bounds)
    for b in found.bounds:
        assert 0 < b.length <= program.cycles
        assert b.length + sum(cycles for _, cycles in b.rest) == program.cycles
        assert all(cycles >= 0 for _, cycles in b.rest)


def test_the_critical_path_is_a_chain_in_time(profiled: tuple[Program, Profile]) -> None:
    _, found = profiled
    steps = found.path.steps
    assert steps[0].after == ""
    assert all(s.after for s in steps[1:])
    assert all(s.earliest <= s.at for s in steps)
    # What a step could be earlier is what it waits too long itself, and what the steps before it do.
    waited = 0
    for step in steps:
        waited += step.waits
        assert step.at - step.earliest == waited


# -- programs that are small enough for a pencil -------------------------------------------------------------------


def test_digits_is_bound_by_the_slice_that_holds_its_hidden_layer() -> None:
    found = profile(program_from_module(parse(DIGITS_TIMED.read_text())))
    # 360 vectors are written to MEM.E0 from cycle 119 on, and read from it again from cycle 479 on.
    assert (found.binding.resource, found.binding.cycles) == ("port of MEM.E0, chip 0", 2 * 360)
    assert found.binding.length == START + 720 + TILES
    assert {part: cycles for part, cycles in found.binding.rest if cycles} == {
        "before its first use": 119 - START,
        "after its last use": 925 - TILES - (479 + 360),
    }
    shared = bound(found, "MXM.activations, chip 0")
    assert (shared.work, shared.cycles) == ("720 cycles / 4 units", 720 // 4)
    assert dict(shared.rest)["its units not being used alike"] == 360 - 180
    vxm = bound(found, "VXM, chip 0")
    assert vxm.cycles == -(-7 * 360 // 16)


def test_a_link_needs_a_slot_for_each_vector() -> None:
    found = profile(example("digits_two_chips.mlir"))
    link = bound(found, "link 0, chip 0")
    assert link.cycles == 359 * DEFAULT_SYSTEM.link_slot + 1


def test_the_path_goes_through_memory_and_knows_what_waits() -> None:
    # A word from E4 (at +2) to E0 (at +1): driven at 36, there at 37. E1 (at +1) reads nothing of it.
    # E0 could read it at 38 and reads it at 100; then it is at E4 in 102.
    program = timed(
        queue("MEM.E4", "read at 35 address 7 stream W0", "write at 102 address 8 stream E0")
        + queue("MEM.E0", "write at 37 address 3 stream W0", "read at 100 address 3 stream E0"),
        102 + 1 + TILES,
    )
    path = profile(program).path
    assert (path.start, path.scheduled, path.last) == (35, 102, 102 - 62)
    assert [(s.queue, s.at, s.earliest, s.waits) for s in path.steps] == [
        ("MEM.E4", 35, 35, 0),
        ("MEM.E0", 100, 38, 62),
    ]
    assert path.steps[1].after == "MEM.E0 write address 3 stream W0"


def test_another_word_is_no_reason_to_wait() -> None:
    program = timed(
        queue("MEM.E4", "read at 35 address 7 stream W0", "write at 102 address 8 stream E0")
        + queue("MEM.E0", "write at 37 address 3 stream W0", "read at 100 address 4 stream E0"),
        102 + 1 + TILES,
    )
    path = profile(program).path
    assert [(s.queue, s.at, s.earliest, s.waits) for s in path.steps] in (
        [("MEM.E4", 35, 35, 0)],
        [("MEM.E0", 100, 35, 65)],
    )
    assert path.last == 37


def matmul(load: int, install: int, enter: int, entries: str) -> Iterator[str]:
    """Rows 0 to 15 of plane 0 from slices E0 to E15 in cycle `load`, and 4 vectors from E40 in cycle `enter`."""
    distance = CHIP.mxm_distance
    for i in range(16):
        at = load - 1 - (distance - (1 + i // 4))
        yield queue(f"MEM.E{i}", f"read at {at} address 0 stream E{i}")
    yield queue("MXM.0.weights", f"lw at {load} row 0 stream E0", f"iw at {install}")
    at = enter - 1 - (distance - 11)
    yield queue("MEM.E40", f"read at {at} address 0 stream E16 repeat 4 step 1")
    yield queue("MXM.0.activations", f"abc at {enter} count 4 stream E16")
    yield queue("MXM.0.accumulators", f"acc at {enter + 13} {entries}")


def test_weights_hold_vectors_back() -> None:
    last = 100 + 13 + 3
    program = timed("".join(matmul(60, 70, 100, "entry 0 mode set repeat 4")), last + 1 + TILES)
    found = profile(program)
    # lw could be at 35 + 1 + 12, iw right after it, the vectors one cycle later.
    assert [(s.text.split()[0], s.at, s.earliest) for s in found.path.steps[1:]] == [("iw", 70, 49), ("abc", 100, 50)]
    assert [s.waits for s in found.path.steps] == [60 - 48, 70 - 61, 100 - 71]
    assert found.path.last == 50 + 13 + 3
    assert bound(found, "MXM.activations, chip 0").cycles == 1
    assert bound(found, "MXM.weights, chip 0").cycles == 1  # 2 cycles / 4 units
    rows = bound(found, "streams E from +11 to +12, chip 0")  # 16 rows and 4 vectors
    assert (rows.work, rows.cycles) == ("20 vectors / 32 streams", 1)


def test_one_vector_on_a_stream_counts_once_however_many_take_it() -> None:
    program = timed(
        queue("MEM.E0", "read at 35 address 0 stream E0 repeat 40")
        + queue("MEM.E4", "write at 37 address 0 stream E0 repeat 40")
        + queue("MEM.E8", "write at 38 address 0 stream E0 repeat 30"),
        37 + 40 + TILES,
    )
    found = profile(program)
    streams = bound(found, "streams E from +1 to +2, chip 0")
    assert (streams.work, streams.cycles) == ("40 vectors / 32 streams", 2)


def test_a_program_of_nothing_has_no_bound_but_its_length() -> None:
    program = Program(DEFAULT_SYSTEM, Topology(()), (ChipProgram(0, TILES, (), (), {}),))
    found = profile(program)
    assert found.units == found.kinds == found.path.steps == ()
    assert (found.binding.length, sum(cycles for _, cycles in found.binding.rest)) == (TILES, 0)


# -- what is printed -----------------------------------------------------------------------------------------------


def test_the_tables_say_who_binds_and_sum_up() -> None:
    out = run(DIGITS_TIMED, "--weights", DIGITS / "digits.safetensors", "--profile")
    assert "port of MEM.E0, chip 0 binds: where the cycles go" in out
    parts = out.split("where the cycles go")[1].split("\n\n")[0].splitlines()[2:]
    numbers = [int(line.split()[-1]) for line in parts]
    assert sum(numbers[:-1]) == numbers[-1] == 925
    assert "MEM.E1 to MEM.E16" in out
    assert "not run, for want of --inputs" in out
