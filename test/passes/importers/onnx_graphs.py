"""Small ONNX models for tests, and what they give at the tensor level, on the chip, and by ONNX's own reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tspc.passes.importers.onnx import import_for
from tspc.passes.pipelines import compile
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit import JitEngine
from tspc.runtime.levels import run_module

Arrays = dict[str, Any]


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node: names separated by spaces, `_` for an input that is left out."""
    names = [name if name != "_" else "" for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"{op} of {outputs.split()[0]}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Any],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    opset: int = 21,
) -> onnx.ModelProto:
    """A model; inputs are arrays like them, or (numpy type, shape)."""
    ports = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(t)), s)
        for n, (t, s) in ((n, v if isinstance(v, tuple) else (v.dtype, v.shape)) for n, v in inputs.items())
    ]
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "graph",
        ports,
        results,
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(made)


def at_tensor_level(proto: onnx.ModelProto, inputs: Arrays, precision: str = "f16x3") -> Arrays:
    found = import_for(proto, inputs, precision=precision)
    outputs = run_module(found.module, found.host.to_program(inputs), found.parameters).outputs
    return found.host.to_model(outputs)


def on_chip(proto: onnx.ModelProto, inputs: Arrays, precision: str = "f16x3") -> Arrays:
    found = import_for(proto, inputs, precision=precision)
    executable = executable_from_module(compile(found.module), found.parameters)
    outputs, _ = Loaded(executable, JitEngine(mode="bulk")).run(found.host.to_program(inputs))
    return found.host.to_model(outputs)


def by_reference(proto: onnx.ModelProto, inputs: Arrays) -> Arrays:
    names = [o.name for o in proto.graph.output]
    return dict(zip(names, ReferenceEvaluator(proto).run(None, inputs), strict=True))
