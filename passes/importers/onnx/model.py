"""Reads a model: a path or a ModelProto, checked, its own functions written in, with shapes where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....dialects.errors import InputError, MalformedProgram, UnsupportedModel
from ....dialects.names import quoted
from .elements import Shape
from .registry import dtype_of_code

if TYPE_CHECKING:
    import onnx


def needed() -> None:
    """Raises UnsupportedModel where the package `onnx` is missing."""
    try:
        import onnx  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise UnsupportedModel("ONNX models are read by the package `onnx`; pip install 'tspc[onnx]'") from None


def read(model: onnx.ModelProto | str | Path) -> onnx.ModelProto:
    """The model of a file, with the data of other files that it names; or a copy of one. Functions of its own are
    written in. Raises MalformedProgram for what is none, OSError for a file that cannot be read."""
    needed()
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import inliner

    copy = onnx.ModelProto()
    if isinstance(model, onnx.ModelProto):
        name = "the model"
        copy.CopyFrom(model)
    else:
        path = Path(model)
        name = str(path)
        try:
            copy.ParseFromString(path.read_bytes())
        except (DecodeError, RuntimeError):
            raise MalformedProgram(f"{name} is no ONNX model: its bytes are no protobuf of that kind") from None
        if not copy.graph.node and not copy.graph.output:
            raise MalformedProgram(f"{name} is no ONNX model: it has no graph")
        _load_external(copy, path)
    _check_order(copy, name)
    _check(copy, name)
    if copy.functions:
        copy = inliner.inline_local_functions(copy)
    return copy


def _check(model: onnx.ModelProto, name: str) -> None:
    """Raises MalformedProgram for what ONNX's checker finds; but it wants the types of outputs, which nobody needs."""
    from onnx import checker

    outputs = [o.type for o in model.graph.output if _without_shape(o.type)]
    for type_ in outputs:
        type_.tensor_type.elem_type = type_.tensor_type.elem_type or 1
        type_.tensor_type.shape.SetInParent()
    try:
        checker.check_model(model, full_check=False)  # pyright: ignore[reportUnknownMemberType]
    except checker.ValidationError as e:
        raise MalformedProgram(f"{name} is no valid model: {_first(e)}") from None
    except ValueError:  # larger than a protobuf may be: what is wrong with it is found node by node
        pass
    for type_ in outputs:
        type_.Clear()


def _without_shape(type_: onnx.TypeProto) -> bool:
    kind = type_.WhichOneof("value")
    return kind is None or (kind == "tensor_type" and not type_.tensor_type.HasField("shape"))


def _first(error: Exception) -> str:
    """What a checker says, without its traces."""
    return " ".join(str(error).split("==>")[0].split())


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    """Brings in data that lies in other files. Raises MalformedProgram for a file that is missing or too short."""
    from onnx import checker
    from onnx.external_data_helper import load_external_data_for_model

    try:
        load_external_data_for_model(model, str(path.parent.resolve()))
    except (OSError, ValueError, checker.ValidationError) as e:
        raise MalformedProgram(
            f"{path}: data of its tensors lies in other files: {_first(e)}; put them beside it"
        ) from None


def _check_order(model: onnx.ModelProto, name: str) -> None:
    """Raises MalformedProgram for a graph with a cycle, or nodes that use what no node, input or constant gives."""
    graph = model.graph
    there = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    there |= {t.values.name for t in graph.sparse_initializer}
    late: list[str] = []
    made = {o for node in graph.node for o in node.output}
    for node in graph.node:
        for used in node.input:
            if used and used not in there:
                why = (
                    "only later, or from itself: the graph has a cycle or is not in order"
                    if used in made
                    else "nowhere"
                )
                late.append(f"node {quoted(node.name or node.op_type)} uses {quoted(used)}, which is made {why}")
        there |= set(node.output)
    if late:
        raise MalformedProgram(f"{name} is no valid model: " + "; ".join(late[:5]))


def opsets_of(model: onnx.ModelProto) -> dict[str, int]:
    """The versions of the operator sets by domain, the standard one being the empty text."""
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}


def fix_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], values: Mapping[str, Any]) -> None:
    """Writes given shapes into the inputs. Raises InputError for names that there are not and shapes that misfit, and
    UnsupportedModel that lists every input whose shape is not known."""
    inputs = {i.name: i for i in runtime_inputs(model)}
    for name in shapes:
        if name not in inputs:
            raise InputError(
                f"input {quoted(name)} is unknown; the model has {', '.join(map(quoted, inputs)) or 'none'}"
            )
    problems: list[str] = []
    left_open = {info.name for info in open_inputs(model)}
    for name, info in inputs.items():
        if info.type.WhichOneof("value") != "tensor_type" or name in values:
            continue
        dims = info.type.tensor_type.shape.dim
        if name in shapes:
            given = [int(n) for n in shapes[name]]
            have = [d.dim_value if d.HasField("dim_value") else None for d in dims]
            has_shape = info.type.tensor_type.HasField("shape")
            if has_shape and (
                len(have) != len(given) or any(h not in (None, g) for h, g in zip(have, given, strict=True))
            ):
                raise InputError(f"input {quoted(name)} of shape {_shown(info)} does not take {given}")
            del dims[:]
            for n in given:
                dims.add().dim_value = n
            if not given:
                info.type.tensor_type.shape.SetInParent()
        elif info.name in left_open:
            problems.append(f"input {quoted(name)} has the shape {_shown(info)}")
    if problems:
        raise UnsupportedModel(
            "; ".join(problems) + ": programs are compiled for shapes; give them, as in --shape NAME=1x3x224x224"
        )


def _shown(info: onnx.ValueInfoProto) -> str:
    if not info.type.tensor_type.HasField("shape"):
        return "of unknown rank"
    dims = (
        str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in info.type.tensor_type.shape.dim
    )
    return "x".join(dims) or "of no dimensions"


def runtime_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no constants with a default."""
    constants = {t.name for t in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in constants]


def open_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The tensors among the inputs whose shape the model leaves open."""
    return [
        info
        for info in runtime_inputs(model)
        if info.type.WhichOneof("value") == "tensor_type"
        and (
            not info.type.tensor_type.HasField("shape")
            or any(not d.HasField("dim_value") for d in info.type.tensor_type.shape.dim)
        )
    ]


def inferred(model: onnx.ModelProto) -> dict[str, tuple[Shape, np.dtype[Any]]]:
    """The shapes and types of tensors by name, as far as ONNX infers them."""
    from onnx import shape_inference

    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # what is wrong is found node by node
        return {}
    result: dict[str, tuple[Shape, np.dtype[Any]]] = {}
    for info in (*graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type and tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            result[info.name] = tuple(d.dim_value for d in tensor.shape.dim), dtype_of_code(tensor.elem_type)
    return result
