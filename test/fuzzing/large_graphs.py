"""Random graphs that are large, on every machine in turn."""

from __future__ import annotations

import re
from itertools import count
from math import prod

from machines import MACHINES
from tensors import DTYPES
from tspc.dialects.machine.target import ChipSpec

from .graph_checks import LIMITS, check
from .graphs import STEPS, Graph, random_graph
from .scales import LARGE

LARGE_LIMITS = LIMITS | {"SRAM": "does not fit into SRAM|bytes of SRAM are needed at once"}
"""What a large graph may be refused for."""

SHARE = 0.5
"""The share of SRAM that the tensors of a graph fill at most, operands and all results together: what steps of an op
leave for the next, and copies for those who read at once, need room beside them."""

AGAIN = 1 << 32
"""From one seed to the next that takes its place."""


def check_large_graph(seed: int) -> str:
    """Compiles the large graph of a seed and runs it in the JIT. Raises Disagreement unless the bits are those of the
    tensor level, or it is refused with op, place and remedy. Returns what happened; where SRAM was full, also how much
    of it the graph's tensors fill."""
    chip = [*MACHINES.values()][seed // len(STEPS) % len(MACHINES)]
    graph = large_graph(seed, chip)
    what = check(graph, chip, "bulk" if seed % 3 else "cycle", LARGE_LIMITS)
    if what != "SRAM":
        return what
    share = words(graph, chip) / (2 * chip.slices * chip.words)
    return f"SRAM, of which tensors fill {'less' if share < 1 / 8 else 'more'} than an eighth"


def large_graph(seed: int, chip: ChipSpec) -> Graph:
    """The graph of a seed for a chip: the first of those of the seed and its successors that asks for nothing the chip
    does not have, SRAM for its tensors and planes for its products."""
    graphs = (random_graph(s, LARGE) for s in count(seed, AGAIN))
    return next(g for g in graphs if words(g, chip) <= SHARE * 2 * chip.slices * chip.words and has_planes(g, chip))


def has_planes(graph: Graph, chip: ChipSpec) -> bool:
    """Whether the chip has pairs of planes, or the graph no sums of f16 along rows or products, which take them."""
    summing = r"tsp_tensor\.(matmul|conv|attention|reduce|softmax|layer_norm|rms_norm) .*f16"
    return chip.paired_plane(0) is not None or not re.search(summing, graph.text)


def words(graph: Graph, chip: ChipSpec) -> int:
    """Words of all tensors of a graph, each once, a row beginning with a word."""
    return sum(
        prod(v.shape[:-1]) * -(-(v.shape or (1,))[-1] // chip.lanes) * DTYPES[v.element].itemsize for v in graph.values
    )
