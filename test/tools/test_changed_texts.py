"""tsp-opt on texts with something changed: they are compiled or refused, and never give other bits unnoticed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, call, stage_text
from tspc.passes.pipelines import STAGES
from tspc.tools import tsp_opt

TOKENS = re.compile(r'[A-Za-z_][\w.]*|-?\d+|"[^"]*"|[%^@#!][\w.]+|\s+|.')
NUMBERS = ("0", "-1", "1", "65535", "65536", "4294967296", "9223372036854775807", "9223372036854775808", "9" * 30)
TYPES = (
    "i1",
    "i64",
    "f16",
    "f64",
    "index",
    "none",
    "vector<4xi8>",
    "tensor<i8>",
    "tensor<?x8xi8>",
    "tensor<*xi8>",
    "ui8",
)


def changed(rng: random.Random, text: str) -> str:
    """A text with one to three tokens or lines lost, doubled or exchanged."""
    tokens = TOKENS.findall(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(tokens))
        match rng.randrange(6):
            case 0:
                del tokens[at]
            case 1:
                tokens[at] = rng.choice(tokens)
            case 2:
                tokens.insert(at, rng.choice(tokens))
            case 3:
                at = rng.choice([i for i, t in enumerate(tokens) if t.lstrip("-").isdecimal()])
                tokens[at] = rng.choice(NUMBERS)
            case 4:
                at = rng.choice([i for i, t in enumerate(tokens) if t in ("i8", "i32", "f32")] or [at])
                tokens[at] = rng.choice(TYPES)
            case _:
                lines = "".join(tokens).split("\n")
                lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))
                tokens = TOKENS.findall("\n".join(lines))
    return "".join(tokens)


@pytest.mark.parametrize("stages", range(len(STAGES)))
@pytest.mark.parametrize("name", ["digits.mlir", "digits_two_chips.mlir"])
def test_changed_texts_are_compiled_or_refused(name: str, stages: int, tmp_path: Path) -> None:
    rng = random.Random(stages)
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.int8))
    check = ("--check-by-running", tmp_path / "x.npz", "--weights", DIGITS / "digits.safetensors")
    for number in range(20):
        (tmp_path / "m.mlir").write_text(changed(rng, stage_text(name, stages)))
        outcome = call(
            tsp_opt.main, tmp_path / "m.mlir", "-p", ",".join([*STAGES][stages:]), *(check if number % 2 else ())
        )
        assert outcome.code == 0 or outcome.err.startswith("error: ")
        assert "\n\n" not in outcome.err


@pytest.mark.parametrize("stages", range(1, [*STAGES].index("convert-stream-to-isa") + 1))
@pytest.mark.parametrize("name", ["digits.mlir", "digits_two_chips.mlir"])
def test_a_changed_number_never_changes_bits_unnoticed(name: str, stages: int, tmp_path: Path) -> None:
    """Places, chips, planes, streams, words and times are data that anyone may edit: what still compiles is right."""
    rng = random.Random(100 + stages)
    np.savez(tmp_path / "x.npz", images=np.load(DIGITS / "held_out.npz")["images"][:3])
    text = stage_text(name, stages)
    numbers = [*re.finditer(r"(?<![\w.])\d+(?![\w.])", text)]
    for _ in range(25):
        found = rng.choice(numbers)
        value = int(found[0])
        other = rng.choice([n for n in (value + 1, value - 1, value * 2, value // 2, 0, 1, 2) if 0 <= n != value])
        (tmp_path / "m.mlir").write_text(f"{text[: found.start()]}{other}{text[found.end() :]}")
        args = ("-p", ",".join([*STAGES][stages:]), "--check-by-running", tmp_path / "x.npz")
        outcome = call(tsp_opt.main, tmp_path / "m.mlir", *args, "--weights", DIGITS / "digits.safetensors")
        assert outcome.code == 0 or outcome.err.startswith("error: ")
        assert "after pass" not in outcome.err
