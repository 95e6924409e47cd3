"""Random graphs that are large, on every machine in turn."""

from __future__ import annotations

from math import prod

from machines import MACHINES
from tensors import DTYPES
from tspc.dialects.machine.target import ChipSpec

from .graph_checks import LIMITS, check
from .graphs import STEPS, Graph, random_graph
from .scales import LARGE

LARGE_LIMITS = LIMITS | {
    "SRAM": "does not fit into SRAM",
    "a table's row, or the table of a scatter, is longer than a slice": (
        r"takes \d+ words, and a slice has|which takes more than the \d+ words of a slice"
    ),
}
"""What a large graph may be refused for."""


def check_large_graph(seed: int) -> str:
    """Compiles the large graph of a seed and runs it in the JIT. Raises Disagreement unless the bits are those of the
    tensor level, or it is refused with op, place and remedy. Returns what happened; where SRAM was full, also how much
    of it the graph's tensors fill."""
    chip = [*MACHINES.values()][seed // len(STEPS) % len(MACHINES)]
    graph = random_graph(seed, LARGE)
    what = check(graph, chip, "bulk" if seed % 3 else "cycle", LARGE_LIMITS)
    if what != "SRAM":
        return what
    share = words(graph, chip) / (2 * chip.slices * chip.words)
    return f"SRAM, of which tensors fill {'less' if share < 1 / 8 else 'more'} than an eighth"


def words(graph: Graph, chip: ChipSpec) -> int:
    """Words of all tensors of a graph, each once, a row beginning with a word."""
    return sum(
        prod(v.shape[:-1]) * -(-(v.shape or (1,))[-1] // chip.lanes) * DTYPES[v.element].itemsize for v in graph.values
    )
