"""`import tspc`: a model becomes a program, and a program runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp

from ..dialects.errors import InputError, MalformedProgram
from ..dialects.machine.target import ChipSpec, SystemSpec, load_file
from ..dialects.names import printable
from ..dialects.target_attr import TARGET, TargetAttr, target_of
from ..dialects.verify import verify_module
from ..passes import pipelines
from ..runtime.container import from_bytes, load_executable, save_executable, to_bytes
from ..runtime.executable import Executable, Loaded, executable_from_module
from ..runtime.interface import Array, Signature, check_tensors, interface_of, load_weights, weights_path
from ..runtime.jit import JitEngine
from .profile import Profile, profile
from .tsp_run import parse_file

Arrays = Mapping[str, npt.ArrayLike]


class Program:
    """A compiled program with its weights. Threads may share it; their runs wait for each other."""

    def __init__(self, executable: Executable):
        self.executable = executable
        """What engines load, `tspc.runtime.executable.Loaded(executable, engine)`."""
        self._loaded: Loaded | None = None
        self._loading = Lock()

    @property
    def cycles(self) -> int:
        """The length of the program, in cycles: that of its longest chip program."""
        return self.executable.program.cycles

    @property
    def inputs(self) -> dict[str, Signature]:
        """The shape and numpy type of each input."""
        return self.executable.interface.inputs

    @property
    def outputs(self) -> dict[str, Signature]:
        """The shape and numpy type of each output."""
        return self.executable.interface.outputs

    @cached_property
    def profile(self) -> Profile:
        """How busy every unit is, and what bounds the length; `tspc.tools.report.print_profile` prints it."""
        return profile(self.executable.program)

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """The outputs by name: a run on the JIT engine, cycle by cycle with all checks, which the first run loads.

        Raises InputError for inputs that misfit, HazardError for a program, loaded from a file, that has a hazard.
        """
        with self._loading:
            if self._loaded is None:
                self._loaded = Loaded(self.executable, JitEngine())
        outputs, _ = self._loaded.run(_arrays(inputs))
        return outputs

    def save(self, path: str | Path) -> None:
        """Writes the program and its weights to a `.tspx` file."""
        save_executable(self.executable, Path(path))

    def __reduce__(self) -> tuple[Callable[[bytes], Program], tuple[bytes]]:
        return _program, (to_bytes(self.executable),)

    def __repr__(self) -> str:
        inputs, outputs = (", ".join(f"{n}: {s}" for n, s in t.items()) for t in (self.inputs, self.outputs))
        chips = len(self.executable.program.chips)
        return f"<program of {self.cycles} cycles on {chips} chip{'s' * (chips > 1)}: ({inputs}) -> ({outputs})>"


def compile(
    model: ModuleOp | str | Path,
    target: SystemSpec | ChipSpec | str | Path | None = None,
    weights: Arrays | str | Path | None = None,
) -> Program:
    """The proven program of a model of any level.

    `model` is an xDSL module, which stays as it is, MLIR text, or the path of an `.mlir` file; a string of one line
    that ends in `.mlir` is a path. `target` is the machine, or the path of its TOML file, in place of the one that the
    module names. `weights` are the parameters by name, or the path of a safetensors file; without them they come from
    the file that the module names, in the folder of the `.mlir` file.
    Raises a TspError, a parse or verify error of xDSL, or OSError for an `.mlir` file that cannot be read.
    """
    module, folder = _module(model)
    if target is not None:
        module.attributes[TARGET] = TargetAttr(_system(target))
        verify_module(module)
    parameters = _parameters(module, folder, weights)
    return Program(executable_from_module(pipelines.compile(module), parameters))


def load(path: str | Path) -> Program:
    """The program of a `.tspx` file. Raises MalformedProgram, naming the file, when anything is wrong with it.

    A program is proven when it is compiled, not when it is loaded; a run of one with a hazard reports it.
    """
    return Program(load_executable(Path(path)))


def _program(data: bytes) -> Program:
    """What was pickled."""
    return Program(from_bytes(data))


def _module(model: ModuleOp | str | Path) -> tuple[ModuleOp, Path | None]:
    """A module to be lowered, and the folder of its file."""
    if isinstance(model, ModuleOp):
        module = model.clone()
        if model.parent is not None:  # a module around it may say the machine
            module.attributes[TARGET] = TargetAttr(target_of(model))
        return module, None
    if isinstance(model, str) and ("\n" in model or not model.endswith((".mlir", ".tspx"))):
        return pipelines.parse(model), None
    path = Path(model)
    if path.suffix == ".tspx":
        raise MalformedProgram(f"{path} is a compiled program; give it to tspc.load")
    return parse_file(path), path.parent


def _system(target: SystemSpec | ChipSpec | str | Path) -> SystemSpec:
    if isinstance(target, ChipSpec):
        return SystemSpec(target)
    return target if isinstance(target, SystemSpec) else load_file(target)


def _parameters(module: ModuleOp, folder: Path | None, weights: Arrays | str | Path | None) -> dict[str, Array]:
    """The values of the module's parameters, from where they are to come from."""
    wanted = interface_of(module).parameters
    if isinstance(weights, Mapping):
        arrays = _arrays(weights)
        check_tensors("parameter", wanted, arrays)
        return arrays
    if weights is not None:
        return load_weights(Path(weights), wanted)
    path = weights_path(module, folder) if folder else None
    if wanted and path is None:
        names = ", ".join(map(printable, sorted(wanted)))
        why = "names no weights file" if folder else "comes from no file beside which theirs could lie"
        raise InputError(f"the module has parameters ({names}) but {why}; give `weights`")
    return load_weights(path, wanted)


def _arrays(tensors: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {name: np.asarray(value) for name, value in tensors.items()}
