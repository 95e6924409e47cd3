"""ONNX models as modules of tsp_tensor. The package `onnx`, an extra, is imported when a model is.

imported = import_model("model.onnx", shapes={"x": (1, 3, 224, 224)})
imported.module, imported.parameters           # what is compiled
imported.host.to_program, imported.host.to_model   # what the host makes of ONNX's arrays, and of results
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Region, SSAValue

from ....dialects import tsp_tensor as tt
from ....dialects.errors import InputError, UnsupportedModel
from ....dialects.names import quoted
from ....dialects.verify import verify_module
from .. import PRECISIONS
from .elements import Array, Shape, element, limits
from .emit import Emitter, name_in_text
from .host import Host, Port
from .importer import Importer, Problem, Scope, Stopped, initializers
from .model import fix_shapes, inferred, needed, open_inputs, opsets_of, read, runtime_inputs
from .ops import load_lowerings
from .registry import dtype_of_code
from .values import Item, Refused, Value, known

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Imported:
    """A model as a module of the tensor level."""

    module: ModuleOp
    parameters: dict[str, Array]
    host: Host


class UnknownValues(UnsupportedModel):
    """Inputs decide about shapes or addresses: their values must be known when the model is compiled."""

    def __init__(self, message: str, names: Sequence[str]):
        super().__init__(message)
        self.names = tuple(names)


def import_model(
    model: onnx.ModelProto | str | Path,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, Any] | None = None,
    precision: str = "f16x3",
) -> Imported:
    """The module of a model, a path or a ModelProto, which stays as it is.

    `shapes` are those of inputs that the model leaves open, `values` those inputs that are known when the model is
    compiled: they become constants. Raises MalformedProgram for what is no model, UnsupportedModel, which lists every
    node that has no lowering, UnknownValues for inputs that must be among `values`, InputError for names and shapes
    that misfit, OSError for files that cannot be read.
    """
    if precision not in PRECISIONS:
        raise InputError(f"there is no precision {quoted(precision)}; there are {', '.join(PRECISIONS)}")
    needed()
    load_lowerings()
    proto = read(model)
    values = values or {}
    fix_shapes(proto, shapes or {}, values)
    emit = Emitter(precision)
    names: dict[str, Item] = initializers(proto.graph)
    ports = _arguments(proto, emit, names, values)
    importer = Importer(emit, opsets_of(proto), inferred(proto))
    scope = Scope(names)
    try:
        importer.run(proto.graph.node, scope)
    except Refused as refusal:
        importer.problems.append(Problem("the graph", "import", refusal.reason, refusal.remedy, refusal.unknown))
    outputs: list[Port] = []
    results = _results(proto, importer, scope, outputs)
    if importer.problems:
        raise _refusal(importer.problems)
    module = _module(emit, ports, results, outputs)
    verify_module(module)
    used = {op.tensor_name.data for op in module.walk() if isinstance(op, tt.ParameterOp)}
    parameters = {name: array for name, array in emit.parameters.items() if name in used}
    return Imported(module, parameters, Host(tuple(ports), tuple(outputs)))


def import_for(
    model: onnx.ModelProto | str | Path,
    inputs: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]] | None = None,
    precision: str = "f16x3",
) -> Imported:
    """The module of a model for inputs like these: shapes that it leaves open are theirs, and so are the values of
    those that decide about shapes or addresses. Raises as import_model does."""
    proto = read(model)
    values: dict[str, Any] = {name: v for name, v in inputs.items() if isinstance(v, list)}
    open_ = {i.name: np.shape(inputs[i.name]) for i in open_inputs(proto) if i.name in inputs and i.name not in values}
    given = {**open_, **(shapes or {})}
    while True:
        try:
            return import_model(proto, {n: s for n, s in given.items() if n not in values}, values, precision)
        except UnknownValues as unknown:
            more = {name: inputs[name] for name in unknown.names if name in inputs and name not in values}
            if not more:
                raise
            values |= more


def _refusal(problems: Sequence[Problem]) -> UnsupportedModel:
    """The error for all that cannot be imported; problems of one kind are told once for all their nodes."""
    unknown = sorted({name for p in problems for name in p.unknown})
    text = "\n".join(dict.fromkeys(str(p) for p in problems))
    if unknown and all(p.unknown for p in problems):
        named = ", ".join(map(quoted, unknown))
        return UnknownValues(f"{text}\ncompile for a value of {named}, as --inputs gives it", unknown)
    return UnsupportedModel(text)


def _arguments(proto: onnx.ModelProto, emit: Emitter, names: dict[str, Item], values: Mapping[str, Any]) -> list[Port]:
    """The arguments of the program; inputs that are known or have no elements are none."""
    ports: list[Port] = []
    problems: list[str] = []
    for info in runtime_inputs(proto):
        if info.name in values:
            given = values[info.name]
            names[info.name] = [known(v) for v in given] if isinstance(given, list) else known(given)  # pyright: ignore
            ports.append(Port(info.name, None, None, False, names[info.name]))
            continue
        if info.type.WhichOneof("value") != "tensor_type":
            kind = (info.type.WhichOneof("value") or "nothing").removesuffix("_type")
            problems.append(f"input {quoted(info.name)} is a {kind}; the host gives and takes tensors")
            continue
        tensor = info.type.tensor_type
        shape, dtype = tuple(d.dim_value for d in tensor.shape.dim), dtype_of_code(tensor.elem_type)
        held = element(dtype)
        if 0 in shape:
            names[info.name] = known(np.zeros(shape, dtype))
            ports.append(Port(info.name, shape, dtype, False))
        elif held is None:
            what = "strings" if dtype.kind == "O" else dtype.name
            problems.append(
                f"input {quoted(info.name)} is of {what}, which is not held on the chip; cast it to float32, float16, "
                "int32 or a narrower integer before"
            )
        else:
            ssa = emit.block.insert_arg(TensorType(held.carrier, shape), len(emit.block.args))
            name_in_text(ssa, info.name)
            value = emit.computed(ssa, dtype)
            names[info.name] = value.depending(frozenset({info.name}))
            ports.append(Port(info.name, shape, dtype, True))
    if problems:
        raise UnsupportedModel("\n".join(problems))
    return ports


def _results(proto: onnx.ModelProto, importer: Importer, scope: Scope, outputs: list[Port]) -> list[SSAValue]:
    """The operands of the return; `outputs` is told of all, of those also that the host knows."""
    results: list[SSAValue] = []
    for info in proto.graph.output:
        try:
            item = scope.find(info.name)
            if not isinstance(item, Value):
                what = "a sequence" if isinstance(item, list) else "an optional without a value"
                raise Refused(f"the output is {what}", "the host takes tensors; name its elements")
            if item.array is not None and not _exact(item):
                outputs.append(Port(info.name, item.shape, item.dtype, False, item))
                continue
            results.append(importer.emit.operand(item))
            outputs.append(Port(info.name, item.shape, item.dtype, True))
        except Refused as r:
            importer.problems.append(Problem(f"output {quoted(info.name)}", "return", r.reason, r.remedy, r.unknown))
        except Stopped:
            if not importer.problems:
                importer.problems.append(Problem(f"output {quoted(info.name)}", "return", "no node makes it", "", ()))
    return results


def _exact(value: Value) -> bool:
    """Whether the chip holds the numbers of a tensor that is known."""
    if value.array is None or not value.size or value.kind == "O" or value.dtype == np.float64:
        return False
    if value.dtype.name not in ("int64", "uint64"):
        return True
    low, high = limits(value.dtype)
    return low <= int(value.array.min()) <= int(value.array.max()) <= high


def _module(emit: Emitter, ports: Sequence[Port], results: Sequence[SSAValue], outputs: Sequence[Port]) -> ModuleOp:
    emit.block.add_op(ReturnOp(*results))
    types = [a.type for a in emit.block.args], [r.type for r in results]
    function = FuncOp(
        "main",
        types,
        Region(emit.block),
        arg_attrs=_named(p.name for p in ports if p.on_chip),
        res_attrs=_named(p.name for p in outputs if p.on_chip),
    )
    return ModuleOp([function])


def _named(names: Any) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr([DictionaryAttr(dict[str, Attribute]({tt.NAME: StringAttr(name)})) for name in names])


__all__ = [
    "PRECISIONS", "Array", "Host", "Imported", "Port", "Shape", "UnknownValues", "import_for", "import_model",
]  # fmt: skip
