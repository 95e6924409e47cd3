"""ONNX's own node tests in short form. `python bench/onnx_node_tests.py` runs all of them on the chip."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from onnx_node_tests import cases_of, run_case, table

MODULES = (
    "argmax", "averagepool", "convtranspose", "cumsum", "gatherelements", "gemm", "lrn", "maxpool", "pad",
    "qlinearconv", "qlinearmatmul", "resize", "rnn", "scatternd", "slice", "topk", "where",
)  # fmt: skip
"""Of those of the package."""

ON_CHIP = 16
"""Every so many cases are compiled and run."""


@pytest.fixture(scope="module")
def cases() -> list:
    return cases_of(MODULES)


def test_cases_pass_or_are_refused_by_name(cases: list) -> None:
    outcomes = [run_case(case, "tensor") for case in cases[::3]]
    assert [f"{o.case}: {o.reason}" for o in outcomes if o.result == "failed"] == []
    counts = Counter(o.result for o in outcomes)
    assert counts["passed"] > 0.85 * len(outcomes)
    assert table(outcomes)[-1].startswith(f"| all | {counts['passed']} | ")


def test_cases_have_the_same_bits_on_the_chip(cases: list) -> None:
    outcomes = [run_case(case, "chip") for case in cases[1::ON_CHIP]]
    assert [f"{o.case}: {o.reason}" for o in outcomes if o.result == "failed"] == []
    assert sum(o.cycles > 0 for o in outcomes) > 5
