"""What must hold of a random graph: the bits of the tensor level, or a refusal for a limit that is known."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from machines import MACHINES
from tensors import tensor_type
from tspc.dialects.errors import CapacityError, UnsupportedModel
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import compile, parse
from tspc.runtime.container import from_bytes, to_bytes
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

from .checks import Disagreement
from .graphs import STEPS, Graph, random_graph

PROBLEM = re.compile(r"<graph>:\d+:\d+: `(tsp_\w+\.\w+|func\.func)`: .+[;:] .+")
"""A line of a refusal: place, op, what is wrong, and what to do instead."""

LIMITS = {"takes pairs of planes": "takes a pair of planes"}
"""What a graph may be refused for, as far as it is known; anything else is a fault of the compiler, or belongs here."""


def check_graph(seed: int) -> str:
    """Compiles the graph of a seed and runs it in the JIT. Raises Disagreement unless the bits are those of the tensor
    level, or it is refused with op, place and remedy. Returns what happened."""
    names = [*MACHINES]
    machine = names[seed // len(STEPS) % len(names)] if seed % 2 else "default"
    mode = "bulk" if seed % 3 == 0 else "cycle"
    return check(random_graph(seed), MACHINES[machine], mode, LIMITS, again=seed % 5 == 0)


def check(graph: Graph, chip: ChipSpec, mode: str, limits: Mapping[str, str], again: bool = False) -> str:
    """The same of a graph on a chip, in a mode of the JIT. A refusal is for one of `limits`, by name a pattern. With
    `again` the compiled program is printed and read before it runs."""
    module = parse(str(parse(graph.text, "<graph>")), "<graph>")
    module.attributes[TARGET] = TargetAttr(SystemSpec(chip))
    with np.errstate(all="ignore"):
        expected = run_tensor(module, graph.inputs, graph.parameters)
    try:
        compile(module)
    except (UnsupportedModel, CapacityError) as e:
        return refusal(str(e), limits)
    if again:
        module = parse(str(module))
    executable = from_bytes(to_bytes(executable_from_module(module, graph.parameters)))
    got, _ = Loaded(executable, JitEngine(mode=mode)).run(graph.inputs)
    if got.keys() != expected.keys():
        raise Disagreement(f"outputs are named {[*got]}, not {[*expected]}")
    for name, array in expected.items():
        if got[name].shape != array.shape or got[name].dtype != array.dtype:
            raise Disagreement(f"{name} is {tensor_type(got[name])}, not {tensor_type(array)}")
        differ = np.flatnonzero(
            got[name].reshape(-1).view(f"V{array.itemsize}") != array.reshape(-1).view(f"V{array.itemsize}")
        )
        if len(differ):
            at = differ[0]
            raise Disagreement(
                f"{name}[{at}] of {array.size}: {got[name].flat[at]!r}, not {array.flat[at]!r}; {len(differ)} differ"
            )
    return "right"


def refusal(text: str, limits: Mapping[str, str]) -> str:
    """Which of the limits it is that a graph is refused for. Raises Disagreement for another, or where op, place or
    remedy are missing."""
    lines = text.splitlines()
    for line in lines:
        if not PROBLEM.fullmatch(line):
            raise Disagreement(f"a refusal lacks the op, the place or what to do: {line}")
    found = {name for line in lines for name, reason in limits.items() if re.search(reason, line)}
    if len(found) != 1:
        raise Disagreement(f"refused: {text}")
    return found.pop()
