"""`tsp-run --secded --flip`: bits that flip, and what the report says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, DIGITS_TIMED, refusal, run
from tspc.dialects.errors import InputError
from tspc.dialects.machine.instruction import stream_code
from tspc.dialects.machine.instruction_fetch import Word
from tspc.dialects.machine.target import ChipSpec
from tspc.runtime.flips import Flip, Register
from tspc.tools import tsp_run
from tspc.tools.flips import parse_flip

CHIP = ChipSpec()
PLAIN = (DIGITS_TIMED, "--weights", DIGITS / "digits.safetensors", "--inputs", DIGITS / "held_out.npz")
STREAM, CHECK = "stream:E26@1:lane17.3:cycle119", "sram:W1:0:check4.8:cycle0"


@pytest.mark.parametrize(
    ("text", "flip"),
    [
        (STREAM, Flip(0, 119, Register(stream_code("E", 26), 1), 8 * 17 + 3)),
        ("stream:W4@-13:lane319.7:cycle0:chip2", Flip(2, 0, Register(stream_code("W", 4), -13), 8 * 320 - 1)),
        (CHECK, Flip(0, 0, Word("W", 1, 0), 8 * 320 + 4 * 9 + 8)),
        ("sram:E43:0x1fff:check0.0:cycle7", Flip(0, 7, Word("E", 43, 8191), 8 * 320)),
    ],
)
def test_how_flips_are_written(text: str, flip: Flip) -> None:
    assert parse_flip(text, CHIP) == flip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stream:E4@3:lane17:cycle0", "write it as stream:E4@-3:lane17.3:cycle119 or sram:E12:0x10:check4.8:cycle0"),
        ("alu:3:lane0.0:cycle0", "write it as"),
        ("sram:E1:0:lane0.0", "write it as"),
        ("stream:E32@0:lane0.0:cycle0", "the chip has streams 0..31 in each direction"),
        ("sram:E1:0:lane320.0:cycle0", "a vector has lanes 0..319 with bits 0..7 in each"),
        ("sram:E1:0:lane0.8:cycle0", "a vector has lanes 0..319 with bits 0..7 in each"),
        ("sram:E1:0:check20.0:cycle0", "a vector has code words 0..19 with bits 0..8 in each"),
    ],
)
def test_flips_that_are_written_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as e:
        parse_flip(text, CHIP)
    assert str(e.value).startswith(f"--flip {text}: ")


@pytest.mark.parametrize("engine", ["jit", "reference"])
def test_corrected_flips_are_counted_and_change_nothing(engine: str, tmp_path: Path) -> None:
    """The word of W1 is a part of a bias, which is read for each of the 360 images."""
    flips = ("--secded", "--flip", STREAM, "--flip", CHECK)
    lines = run(*PLAIN, "--engine", engine, "--output", tmp_path / "flipped.npz", *flips)
    assert "flips corrected    361 by units, 0 in the outputs" in lines
    assert "flips" not in run(*PLAIN, "--engine", engine, "--output", tmp_path / "plain.npz")
    with np.load(tmp_path / "flipped.npz") as flipped, np.load(tmp_path / "plain.npz") as plain:
        assert (flipped["logits"] == plain["logits"]).all()


@pytest.mark.parametrize("engine", ["jit", "reference"])
def test_flips_in_the_outputs_are_corrected_by_the_host(engine: str) -> None:
    """The logits of the first images lie in slices W5 to W8 when the program ends."""
    flips = [f"sram:W{s}:0:lane{s}.0:cycle924" for s in (5, 6)]
    options = [option for flip in flips for option in ("--flip", flip)]
    assert "0 by units, 2 in the outputs" in run(*PLAIN, "--engine", engine, "--secded", *options)


@pytest.mark.parametrize("engine", ["jit", "reference"])
def test_two_flips_stop_the_program(engine: str) -> None:
    second = "stream:E26@1:lane16.0:cycle119"
    error = refusal(tsp_run.main, *PLAIN, "--engine", engine, "--secded", "--flip", STREAM, "--flip", second)
    assert error.startswith("bits flipped on chip 0, cycle 492, stream E31 at position +13, lanes 16 to 31: ")


def test_a_stop_shows_what_has_flipped() -> None:
    look = ("--stop-at", "119", "--watch", "stream:E26@1")
    lines = run(*PLAIN, *look, "--secded", "--flip", "stream:E26@1:lane1.7:cycle119").splitlines()
    before = run(*PLAIN, *look).splitlines()
    assert [a.split() for a, b in zip(lines, before, strict=True) if a != b] == [
        ["hex", "0f", "b4", "3c", "00", "00", "00", "00", "00", "20", "08", "65", "34", "00", "51", "46", "1d"],
        ["i8", "15", "-76", "60", "0", "0", "0", "0", "0", "32", "8", "101", "52", "0", "81", "70", "29"],
    ]


def test_options_that_do_not_go_together() -> None:
    assert "--flip needs --secded" in refusal(tsp_run.main, *PLAIN, "--flip", STREAM)
    assert "leave it out for --secded" in refusal(tsp_run.main, *PLAIN, "--level", "stream", "--secded")
    late = "stream:E26@1:lane17.3:cycle925"
    assert "flip in cycle 925: the program has the cycles 0..924" in refusal(
        tsp_run.main, *PLAIN, "--secded", "--flip", late
    )
