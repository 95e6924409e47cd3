"""`tsp-run --stop-at --watch`, and `ReferenceSession.run_to` below it: the state in a cycle, and who made it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, DIGITS_TIMED, opt, refusal, run
from safetensors.numpy import load_file
from tspc.dialects.errors import HazardError, InputError, LinkError
from tspc.dialects.machine.instruction import stream_code
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.programs.records import program_from_module
from tspc.passes.pipelines import parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.interface import load_inputs
from tspc.runtime.reference import ReferenceEngine, ReferenceSession
from tspc.tools import tsp_run

INPUTS = DIGITS / "held_out.npz"
PROGRAM = (DIGITS_TIMED, "--weights", DIGITS / "digits.safetensors", "--inputs", INPUTS)
IMAGES = load_inputs(INPUTS)["images"].reshape(360, 64)
WEIGHTS = load_file(DIGITS / "digits.safetensors")
SUMS = IMAGES.astype(np.int32) @ WEIGHTS["fc1.weight"].astype(np.int32)
"""[360, 128]: the sums of the hidden layer, of which vector i is taken by the accumulator in cycle 66 + i."""


def hidden(i: int) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Hidden vector i: [128]."""
    scaled = (SUMS[i] + WEIGHTS["fc1.bias"]).astype(np.float32) * np.float32(3.08494829e-03)
    return np.rint(np.clip(scaled, 0, 127)).astype(np.int8)


def watch(cycle: int, *places: str) -> list[str]:
    options = [option for place in places for option in ("--watch", place)]
    return run(*PROGRAM, "--stop-at", str(cycle), *options).splitlines()


def values(lines: list[str], type_: str) -> list[str]:
    """The values of the first row of a type."""
    return next(line.split()[1:] for line in lines if line.split()[0] == type_)


def refused(*options: str) -> str:
    return refusal(tsp_run.main, *PROGRAM, *options)


def session_of(text: str) -> ReferenceSession:
    return ReferenceEngine().load(program_from_module(parse(text)))


@pytest.fixture
def digits() -> Iterator[ReferenceSession]:
    """The example with its weights and inputs in SRAM."""
    module = parse(DIGITS_TIMED.read_text())
    loaded = Loaded(executable_from_module(module, WEIGHTS), ReferenceEngine())
    loaded.fill(load_inputs(INPUTS))
    assert isinstance(loaded.session, ReferenceSession)
    yield loaded.session


# -- the tool ------------------------------------------------------------------------------------------------------


def test_a_stream_shows_its_vector_and_who_drove_it() -> None:
    # Hidden vector i is driven on E26 at the VXM in cycle 118 + i, and is a hop further east a cycle later.
    lines = watch(130, "stream:E26@1")
    assert lines[:3] == [
        "end of cycle 130 of 0..924, chip 0",
        "stream E26 at position +1",
        "  driven by `convert type f32 a alu4 result_type i8 to E26` (VXM.5, cycle 125) in cycle 129",
    ]
    vector = hidden(129 - 118)[:16]
    assert values(lines, "i8") == [str(v) for v in vector]
    assert values(lines, "hex") == [f"{v:02x}" for v in vector.view(np.uint8)]


def test_a_stream_of_a_group_shows_the_whole_element() -> None:
    # Sums i are driven on W28 to W31 at the MXM (+13) in cycle 66 + i + 20, and are at +4 nine cycles later.
    lines = watch(130, "stream:W29@4")
    i = 130 - 9 - 20 - 66
    assert lines[2].startswith("  driven by `acc_emit entry 0 mode set stream W28` (MXM.0.accumulators, cycle 101)")
    assert values(lines, "i8") == [str(v) for v in (SUMS[i, :16] >> 8).astype(np.int8)]
    assert "  with all of W28 to W31" in lines
    assert values(lines, "i32") == [str(v) for v in SUMS[i, :16]]


def test_words_show_whether_the_program_wrote_them() -> None:
    lines = watch(120, "sram:E0:0x1..2")
    assert lines[1:3] == [
        "SRAM slice E0, word 0x1",
        "  written by `write address 1 stream E26` (MEM.E0, cycle 120) in cycle 120",
    ]
    assert values(lines, "i8") == [str(v) for v in hidden(1)[:16]]
    assert lines[5:8] == ["SRAM slice E0, word 0x2", "  not written by the program so far", "  hex " + " 00" * 16]


def test_slices_side_by_side_show_the_whole_element() -> None:
    lines = watch(0, "sram:W1..W4:0")
    assert "  all of W1 to W4, word 0x0" in lines
    assert values(lines, "i32") == [str(v) for v in WEIGHTS["fc1.bias"][:16]]


def test_an_accumulator_shows_its_sum() -> None:
    lines = watch(100, "accumulator:0:0", "accumulator:0:1")
    assert lines[1:3] == [
        "accumulator 0 of plane 0",
        "  taken by `acc_emit entry 0 mode set stream W28` (MXM.0.accumulators, cycle 100) in cycle 100",
    ]
    assert values(lines, "i32") == [str(v) for v in SUMS[100 - 66, :16]]
    assert lines[-2:] == ["accumulator 1 of plane 0", "  nothing: never set"]


def test_an_alu_shows_the_result_that_leaves_it() -> None:
    # VXM.0 adds the bias to sums i in cycle 99 + i; its result leaves it 4 cycles later. VXM.5 ends the chain.
    lines = watch(130, "alu:0", "alu:9")
    assert lines[1].startswith("result of ALU 0")
    assert values(lines, "i32") == [str(v) for v in (SUMS[130 - 103] + WEIGHTS["fc1.bias"])[:16]]
    assert lines[-2:] == ["result of ALU 9", "  nothing: no result leaves it in this cycle"]
    assert values(watch(130, "alu:5"), "i8") == [str(v) for v in hidden(130 - 118)[:16]]


def test_other_chips_are_watched_by_number() -> None:
    model = DIGITS / "digits_two_chips.mlir"
    found = re.search(r"tsp_isa.receive at (\d+) stream (\S+)", opt(model, "-p", "tsp-compile,isa-disassemble"))
    assert found is not None
    at, stream = int(found[1]), found[2]
    due = at + DEFAULT_SYSTEM.chip.latency_receive
    place = ("--watch", f"stream:{stream}@+{DEFAULT_SYSTEM.chip.sxm_distance}", "--watch-chip", "1")
    lines = run(model, "--inputs", INPUTS, "--stop-at", str(due), *place).splitlines()
    assert re.fullmatch(rf"end of cycle {due} of 0\.\.\d+, chip 1", lines[0])
    assert f"driven by `receive stream {stream}` (C2C.0, cycle {at}) in cycle {due}" in lines[2]
    assert values(lines, "i8") == [str(v) for v in hidden(0)[:16]]


# -- the session ---------------------------------------------------------------------------------------------------


def test_running_to_the_end_leaves_what_a_run_leaves(digits: ReferenceSession) -> None:
    snapshot = digits.run_to(924)
    stopped = digits.sram(0).copy()
    digits.run()
    assert np.array_equal(stopped, digits.sram(0))
    word, seen = snapshot.word(0, 44 + 5, 359)
    assert seen is not None
    assert (seen.actor.queue, seen.cycle) == ("MEM.W5", 544 + 359)
    assert np.array_equal(word, digits.sram(0)[44 + 5, 359])


def test_a_value_is_where_its_diagonal_is(digits: ReferenceSession) -> None:
    snapshot, code = digits.run_to(400), stream_code("E", 26)
    for position in range(0, DEFAULT_SYSTEM.chip.mxm_distance + 1):
        seen = snapshot.stream(0, code, position)
        assert seen is not None
        assert seen.cycle == 400 - position
        assert np.array_equal(seen.data[:128].view(np.int8), hidden(400 - position - 118))
    assert snapshot.stream(0, code, -1) is None


def test_an_alu_that_drives_a_group_shows_it_put_together(digits: ReferenceSession) -> None:
    # VXM.6 adds the bias of the second layer in cycle 538 + i and drives W20 to W23.
    seen = digits.run_to(542).alu(0, 6)
    assert seen is not None
    logits = hidden(0).astype(np.int32) @ WEIGHTS["fc2.weight"].astype(np.int32) + WEIGHTS["fc2.bias"]
    assert seen.data.dtype == np.int32
    assert np.array_equal(seen.data[:10], logits)


def test_a_scattered_word_knows_its_writer() -> None:
    session = session_of(
        """
        tsp_isa.program @main chip 0 cycles 58 {
          tsp_isa.queue "MEM.E4" { tsp_isa.read at 35 address 1 stream W0 }
          tsp_isa.queue "MEM.E5" { tsp_isa.read at 35 address 2 stream W1 }
          tsp_isa.queue "MEM.E0" { tsp_isa.scatter at 37 address 7 map W0 stream W1 }
        }
        """
    )
    session.sram(0)[4, 1, 16] = 5  # tile 1 goes to word 7 + 5, all others to word 7
    snapshot = session.run_to(37)
    for word in (7, 12):
        seen = snapshot.word(0, 0, word)[1]
        assert seen is not None
        assert (seen.cycle, seen.actor.text) == (37, "scatter address 7 map W0 stream W1")
    assert snapshot.word(0, 0, 8)[1] is None


def test_a_hazard_is_found_only_where_the_run_comes_to_it() -> None:
    session = session_of(
        """
        tsp_isa.program @main chip 0 cycles 61 {
          tsp_isa.queue "MEM.E0" { tsp_isa.write at 40 address 7 stream W0 }
        }
        """
    )
    session.run_to(39)
    with pytest.raises(HazardError, match="stream-empty"):
        session.run_to(40)


def test_places_that_the_machine_does_not_have(digits: ReferenceSession) -> None:
    snapshot = digits.run_to(0)
    for ask, text in (
        (lambda: snapshot.stream(0, stream_code("W", 32), 0), "stream W32: the chip has 0..31"),
        (lambda: snapshot.stream(0, 0, -14), r"position -14: the chip has -13..\+13"),
        (lambda: snapshot.word(0, 88, 0), "slice 88"),
        (lambda: snapshot.word(0, 0, 8192), r"word 8192: a slice has the words 0..8191"),
        (lambda: snapshot.accumulator(0, 4, 0), "plane 4"),
        (lambda: snapshot.accumulator(0, 0, 256), "accumulator 256"),
        (lambda: snapshot.alu(0, 16), "ALU 16"),
        (lambda: digits.run_to(925), r"cycle 925: the program has the cycles 0..924"),
        (lambda: digits.run_to(-1), "cycle -1"),
    ):
        with pytest.raises(InputError, match=text):
            ask()
    with pytest.raises(LinkError, match="chip 1 has no program; the chips that have one: 0"):
        snapshot.chip(1)


def test_a_program_with_a_hazard_can_be_looked_into(tmp_path: Path) -> None:
    text = DIGITS_TIMED.read_text()
    shutil.copy(DIGITS / "digits.safetensors", tmp_path)
    bad = tmp_path / "bad.mlir"
    bad.write_text(text.replace("tsp_isa.write at 119 address 0", "tsp_isa.write at 118 address 0"))
    program = (bad, "--inputs", INPUTS)
    hazard = "hazard [stream-empty] chip 0, cycle 118, stream E26 at position +1"
    assert refusal(tsp_run.main, *program).startswith(hazard)
    assert refusal(tsp_run.main, *program, "--stop-at", "118").startswith(hazard)
    trace = tmp_path / "t.json"
    assert refusal(tsp_run.main, *program, "--trace", trace, "--profile").startswith(hazard)
    assert json.loads(trace.read_text())["traceEvents"]
    lines = run(*program, "--stop-at", "117", "--watch", "stream:E26@1").splitlines()
    assert lines[1:] == ["stream E26 at position +1", "  nothing: no value is there"]


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("streem:E4@3", "did you mean `stream`?"),
        ("stream:E4", "write it as stream:E4@-3, a stream and a position"),
        ("stream:E32@0", "stream E32: the chip has 0..31"),
        ("stream:E200@0", "no chip has a stream E200"),
        ("stream:E4@14", "position +14: the chip has -13..+13"),
        ("sram:E12", "write it as sram:E12:0x10"),
        ("sram:E44:0", "slice E44: the chip has 0..43"),
        ("sram:E4:0x2000", "word 8192: a slice has the words 0..8191"),
        ("sram:E4..E2:0", "a range goes up, within one hemisphere"),
        ("sram:E4..W5:0", "a range goes up, within one hemisphere"),
        ("sram:E4:9..8", "a range goes up, within one hemisphere"),
        ("accumulator:0:256", "accumulator 256: a plane has 0..255"),
        ("accumulator:4:0", "plane 4: the chip has 0..3"),
        ("alu:16", "ALU 16: the chip has 0..15"),
        ("alu:-1", "write it as alu:3"),
        ("", "'' is none of stream, sram, accumulator, alu"),
    ],
)
def test_a_place_that_is_none(place: str, text: str) -> None:
    assert text in refused("--stop-at", "5", "--watch", place)


def test_command_lines_that_make_no_sense(tmp_path: Path) -> None:
    assert "say which, with --stop-at CYCLE" in refused("--watch", "alu:3")
    assert "say which, with --stop-at CYCLE" in refused("--watch-chip", "0")
    assert "chip 1 has no program" in refused("--stop-at", "5", "--watch-chip", "1")
    assert "cycle 925: the program has the cycles 0..924" in refused("--stop-at", "925")
    assert "has no time" in refused("--stop-at", "5", "--level", "stream")
    assert "give one of them" in refused("--stop-at", "5", "-o", str(tmp_path / "a.tspx"))
    text = refusal(tsp_run.main, *PROGRAM[:3], "--stop-at", "5", "--watch", "alu:3")
    assert "input `images`" in text
