"""What a module of any level shows the host: named inputs, outputs and parameters, and the checks on what is given."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import safetensors
from safetensors import SafetensorError
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation

from ..dialects import tsp_isa, tsp_stream, tsp_tensor
from ..dialects.elements import element_of, numpy_of, unsupported
from ..dialects.errors import InputError, MalformedProgram, UnsupportedModel
from ..dialects.functions import function_problems, functions_of
from ..dialects.locations import describe
from ..dialects.machine.target import nearest
from ..dialects.names import printable, quoted

Array = npt.NDArray[Any]
_safe_open: Any = safetensors.safe_open  # untyped
_npy: Any = np.lib.format  # untyped
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Signature:
    """The shape and numpy type of a named tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @staticmethod
    def of(type_: TensorType[Attribute]) -> Signature:
        return Signature(type_.get_shape(), np.dtype(numpy_of(type_.element_type)))

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} of {self.dtype}"


@dataclass
class Interface:
    """The named tensors of a module, each by its signature."""

    inputs: dict[str, Signature] = field(default_factory=dict[str, Signature])
    outputs: dict[str, Signature] = field(default_factory=dict[str, Signature])
    parameters: dict[str, Signature] = field(default_factory=dict[str, Signature])

    def add(self, kind: str, name: str, type_: Attribute) -> None:
        """Raises UnsupportedModel for a type that the host does not give or take."""
        table = {"input": self.inputs, "output": self.outputs, "parameter": self.parameters}.get(kind)
        if table is None:
            return
        table[name] = _signature(kind, name, type_)


def _signature(kind: str, name: str, type_: Attribute) -> Signature:
    if not isinstance(type_, TensorType):
        raise UnsupportedModel(f"{kind} {quoted(name)} is {type_}; the host gives and takes tensors of static shape")
    tensor = cast("TensorType[Attribute]", type_)
    if any(d < 1 for d in tensor.get_shape()):
        raise UnsupportedModel(f"{kind} {quoted(name)} is {type_}; give it a static shape")
    if element_of(tensor.element_type) is None:
        raise UnsupportedModel(f"{kind} {quoted(name)} is {type_}: {unsupported(tensor.element_type)}")
    return Signature.of(tensor)


def level_of(module: ModuleOp) -> str:
    """The level of a module: `isa`, `stream` or `tensor`."""
    level = "tensor"
    for op in module.walk():
        if isinstance(op, tsp_isa.ProgramOp):
            return "isa"
        if isinstance(op, tsp_stream.StreamOp):
            level = "stream"
    return level


def function_of(module: ModuleOp) -> FuncOp:
    """The one function of a module of the upper levels. Raises MalformedProgram when there is none, or not one."""
    if problems := function_problems(module):
        raise MalformedProgram("\n".join(problems))
    return functions_of(module)[0]


def interface_of(module: ModuleOp) -> Interface:
    """The interface of a module of any level. Raises UnsupportedModel for all types that the host does not know."""
    interface = Interface()
    problems: list[str] = []

    def add(op: Operation, kind: str, name: str, type_: Attribute) -> None:
        try:
            interface.add(kind, name, type_)
        except UnsupportedModel as e:
            problems.append(f"{describe(op)}: {e}")

    if level_of(module) == "tensor":
        function = function_of(module)
        arguments, results = list(function.function_type.inputs), list(function.function_type.outputs)
        for kind, types, attrs, default in (
            ("input", arguments, function.arg_attrs, "arg"),
            ("output", results, function.res_attrs, "result"),
        ):
            for name, type_ in zip(tsp_tensor.tensor_names(attrs, len(types), default), types, strict=True):
                add(function, kind, name, type_)
    for op in module.walk():
        match op:
            case tsp_tensor.ParameterOp():
                add(op, "parameter", op.tensor_name.data, op.result.type)
            case tsp_stream.BufferOp() if op.tensor_name is not None:
                add(op, op.kind.data, op.tensor_name.data, op.host_type)
                if op.returned is not None:
                    add(op, "output", op.returned.data, op.host_type)
            case tsp_isa.BindOp():
                add(op, op.kind.data, op.tensor_name.data, op.external or op.tensor)
            case _:
                pass
    if problems:
        raise UnsupportedModel("\n".join(problems))
    return interface


def check_tensors(kind: str, wanted: Mapping[str, Signature], given: Tensors) -> None:
    """Raises InputError that lists every missing, unknown and misfitting tensor."""
    problems: list[str] = []
    for name, signature in wanted.items():
        if name not in given:
            problems.append(f"{kind} {quoted(name)} ({signature}) is missing{nearest(name, list(given))}")
        elif given[name].shape != signature.shape or given[name].dtype != signature.dtype:
            have = Signature(given[name].shape, given[name].dtype)
            problems.append(f"{kind} {quoted(name)} must be {signature}, not {have}")
    if kind == "input":
        problems += [f"input {quoted(n)} is unknown{nearest(n, dict(wanted))}" for n in given if n not in wanted]
    if problems:
        raise InputError("; ".join(problems))


# -- weights -------------------------------------------------------------------------------------------------------


def weights_path(module: ModuleOp, folder: Path, allow_outside: bool = False) -> Path | None:
    """The weights file that a module names, found from the module's folder; None when it names none.

    Raises InputError for a path that leaves the folder, unless `allow_outside`.
    """
    attr = module.attributes.get(tsp_tensor.WEIGHTS)
    if attr is None:
        return None
    if not isinstance(attr, StringAttr):
        raise InputError(f"module attribute `{tsp_tensor.WEIGHTS}` must be a string, not {attr}")
    try:
        path = (folder / attr.data).resolve()
    except (ValueError, RuntimeError, OSError) as e:  # a NUL, a ring of links
        raise InputError(f"the weights file {attr.data!r} has no path: {e}") from e
    if not allow_outside and not path.is_relative_to(folder.resolve()):
        raise InputError(
            f"the weights file `{attr.data}` lies outside the module's folder; move it there, "
            "or allow it with --allow-outside-weights"
        )
    return path


def load_weights(path: Path | None, wanted: Mapping[str, Signature]) -> dict[str, Array]:
    """The wanted parameters of a safetensors file. Raises InputError for what is missing, misfits or cannot be read."""
    if not wanted:
        return {}
    if path is None:
        raise InputError(
            f"the module has parameters ({', '.join(map(printable, sorted(wanted)))}) but names no weights file; "
            f"give the module attribute `{tsp_tensor.WEIGHTS}` or --weights"
        )
    try:
        with _safe_open(path, framework="numpy") as file:
            known: list[str] = list(file.keys())
            tensors = {name: _read_tensor(file, name) for name in known if name in wanted}
            missing = [name for name in wanted if name not in tensors]
            if missing:
                hints = (f"{quoted(name)}{nearest(name, known)}" for name in missing)
                raise InputError(f"the weights file {path.name} lacks {', '.join(hints)}")
    except (OSError, SafetensorError) as e:
        raise InputError(f"the weights file {path} cannot be read: {e}") from e
    check_tensors("parameter", wanted, tensors)
    return tensors


_NUMPY_TYPES = {"BOOL", "F16", "F32", "F64", "C64"} | {f"{sign}{bits}" for sign in "IU" for bits in (8, 16, 32, 64)}
"""The element types of safetensors that numpy has by itself; other packages may add some to a process."""


def _read_tensor(file: Any, name: str) -> Array:
    element: str = file.get_slice(name).get_dtype()
    if element not in _NUMPY_TYPES:
        raise InputError(f"parameter {quoted(name)} is {element}, which numpy does not have")
    return file.get_tensor(name)


def load_inputs(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file; pickled objects are refused. Raises InputError when it cannot be read."""
    try:
        with path.open("rb") as opened:
            if not zipfile.is_zipfile(opened):
                raise InputError(f"{path} is no .npz file; give one with the inputs by name")
            with zipfile.ZipFile(opened) as archive:
                return _arrays(archive, path)
    except InputError:
        raise
    except Exception as e:  # numpy and zipfile raise errors of many kinds for broken archives
        raise InputError(f"the inputs {path} cannot be read: {e}") from e


def _arrays(archive: zipfile.ZipFile, path: Path) -> dict[str, Array]:
    """The arrays of an archive by name. numpy's own reader takes `a.npy` for the entry of `a`, if there is one."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename:
            raise InputError(f"{path}: {quoted(name)} is no array; the entries of an .npz file end in .npy")
        if name in entries:
            raise InputError(f"{path}: has two arrays named {quoted(name)}")
        entries[name] = entry
    arrays: dict[str, Array] = {}
    for name, entry in entries.items():
        with archive.open(entry) as file:
            arrays[name] = _npy.read_array(file, allow_pickle=False)
    return arrays


def save_tensors(tensors: Tensors, path: Path) -> None:
    """Writes an .npz file of tensors by name, of any names: numpy's own `savez` takes some for its arguments."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in tensors.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                _npy.write_array(entry, np.asarray(value), allow_pickle=False)
