"""Runs a module of any level: the one entry for tools and for checks between levels."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp

from .engine import Engine, RunStats
from .executable import Loaded, executable_from_module
from .interface import Array, Tensors, check_tensors, interface_of, level_of
from .reference import ReferenceEngine
from .stream_level import run_stream
from .tensor_level import run_tensor


@dataclass(frozen=True)
class Result:
    """What a run gave."""

    outputs: dict[str, Array]
    stats: RunStats | None
    """None above the isa level, where time is not decided."""


def run_module(module: ModuleOp, inputs: Tensors, weights: Tensors, engine: Engine | None = None) -> Result:
    """Runs a verified module at its own level; `engine` (default: the reference) is for the isa level.

    Raises InputError for inputs or weights that misfit, and at the isa level what Loaded.run raises.
    """
    interface = interface_of(module)
    check_tensors("input", interface.inputs, inputs)
    check_tensors("parameter", interface.parameters, weights)
    match level_of(module):
        case "tensor":
            return Result(run_tensor(module, inputs, weights), None)
        case "stream":
            return Result(run_stream(module, inputs, weights), None)
        case _:
            outputs, stats = Loaded(executable_from_module(module, weights), engine or ReferenceEngine()).run(inputs)
            return Result(outputs, stats)
