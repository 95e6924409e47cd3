"""Random graphs of all tensor ops, compiled for several machines: they give the bits of the tensor level.

test/fuzzing/graphs.py draws and checks them; `python bench/fuzz.py --kind graph` runs as many as one likes, and
`--kind large` large ones.
"""

from __future__ import annotations

from collections import Counter

import pytest
from fuzzing.campaign import run
from fuzzing.graphs import STEPS, random_graph
from tspc.dialects.tsp_tensor import TSP_TENSOR

RUNS, GRAPHS = 11, 30
"""Runs of graphs, and the graphs of each."""


@pytest.mark.parametrize("number", range(RUNS))
def test_compiled_graphs(number: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(number * GRAPHS, (number + 1) * GRAPHS):
        try:
            seen[run("graph", seed)] += 1
        except Exception as e:
            raise AssertionError(f"graph {seed}: {type(e).__name__}: {e}") from e
    assert seen["right"] >= 2 * GRAPHS // 3, seen


@pytest.mark.parametrize("seed", range(24, 32))
def test_large_graphs(seed: int) -> None:
    assert run("large", seed) == "right"


def test_the_graphs_have_all_ops() -> None:
    graphs = [random_graph(seed) for seed in range(RUNS * GRAPHS)]
    every = {op.name for op in TSP_TENSOR.operations} - {"tsp_tensor.yield"}
    assert set[str]().union(*(g.ops for g in graphs)) == every
    assert all(sum(f"tsp_tensor.{step.split()[0]}" in g.ops for g in graphs) >= 20 for step in STEPS)
