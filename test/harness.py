"""What the tests of tools, levels and examples share: the engines, and the tools run in this process."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tspc.passes.pipelines import STAGES, compile
from tspc.runtime.engine import Engine
from tspc.runtime.jit import JitEngine
from tspc.runtime.reference import ReferenceEngine
from tspc.tools import tsp_opt, tsp_run

Array = npt.NDArray[Any]

DIGITS_TIMED = Path(__file__).with_name("tools") / "digits_timed.mlir"
"""The example by hand, one plane for each layer: for tests that count cycles whatever the compiler makes of it."""

DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits"

ENGINES: dict[str, Callable[[], Engine]] = {"reference": ReferenceEngine, "jit": JitEngine}
"""Every engine by the name that `tsp-run --engine` takes."""

on_every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
"""Runs a test with `engine` being each of the engines' classes."""

ISA_STAGES = ("convert-stream-to-isa", "isa-assemble", "isa-verify")
"""The stages after which a module has time, so that engines run it."""

assert {*ISA_STAGES} < {*STAGES}


def same_bits(got: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    """Whether arrays by name are the same, NaNs and signs of zeros included."""
    return got.keys() == expected.keys() and all(
        got[name].dtype == array.dtype
        and got[name].shape == array.shape
        and np.ascontiguousarray(got[name]).tobytes() == np.ascontiguousarray(array).tobytes()
        for name, array in expected.items()
    )


@dataclass(frozen=True)
class Outcome:
    """How a tool ended."""

    code: object
    out: str
    err: str


def call(tool: Callable[[list[str]], None], *args: str | Path) -> Outcome:
    """Runs a tool's `main` in this process, as its console script would."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        tool([str(a) for a in args])
    code = end.value.code
    if isinstance(code, str):  # what the interpreter does with `raise SystemExit("error: ...")`
        return Outcome(1, out.getvalue(), err.getvalue() + code + "\n")
    return Outcome(code or 0, out.getvalue(), err.getvalue())


def opt(*args: str | Path) -> str:
    """What `tsp-opt` prints; it must succeed."""
    return succeeds(tsp_opt.main, *args)


def run(*args: str | Path) -> str:
    """What `tsp-run` prints; it must succeed."""
    return succeeds(tsp_run.main, *args)


def succeeds(tool: Callable[[list[str]], None], *args: str | Path) -> str:
    outcome = call(tool, *args)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out


def refusal(tool: Callable[[list[str]], None], *args: str | Path) -> str:
    """The one paragraph on stderr, without `error: ` and excerpts, with which a tool refuses; it must exit with 1."""
    outcome = call(tool, *args)
    assert outcome.code == 1, outcome
    assert outcome.err.startswith("error: "), outcome.err
    text = re.sub(r"\n *\d* \| .*", "", outcome.err).removeprefix("error: ").removesuffix("\n")
    assert text.strip() == text != "", outcome.err
    assert "\n\n" not in text
    assert "Traceback" not in text
    return text


@cache
def stage_text(name: str, stages: int) -> str:
    text = (DIGITS / name).read_text().replace("360", "3")
    return compile(text, [*STAGES][stages - 1]) if stages else text
