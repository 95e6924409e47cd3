"""Walks the nodes of a graph: folds what is known, lowers what is computed, writes out functions, and gathers all that
cannot be imported before it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .elements import Shape
from .emit import Emitter
from .fold import fold
from .registry import LOWERINGS, MICROSOFT, Attributes, Node
from .values import Item, Refused, Value, known

if TYPE_CHECKING:
    import onnx

DEEPEST = 40
"""So many functions and branches inside each other are written out."""

MOST_NODES = 200_000
"""So many nodes are imported, those of unrolled loops counted each time."""


@dataclass(frozen=True)
class Problem:
    """What is said of a node that cannot be imported."""

    where: str
    op: str
    reason: str
    remedy: str
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {self.op}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


class Stopped(Exception):
    """A node hangs on one that could not be imported, and of which nothing is known."""


@dataclass
class Scope:
    """The names of a graph, and those of the graphs around it."""

    names: dict[str, Item]
    outer: Scope | None = None
    attributes: Attributes | None = None
    """Those of the node whose function this is."""
    opsets: dict[str, int] | None = None

    def find(self, name: str) -> Item:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        raise Stopped(name)


class Importer:
    """The state of an import."""

    def __init__(self, emit: Emitter, opsets: dict[str, int], inferred: dict[str, tuple[Shape, np.dtype[Any]]]):
        self.emit, self.opsets, self.inferred = emit, opsets, inferred
        self.problems: list[Problem] = []
        self.lost: set[str] = set()
        """Tensors of nodes that were refused, or that hang on such."""
        self.depth = 0
        self.nodes = 0

    def run(self, nodes: Iterable[onnx.NodeProto], scope: Scope) -> None:
        """Imports nodes in their order into a scope."""
        opsets = scope.opsets or self.opsets
        for proto in nodes:
            self.nodes += 1
            if self.nodes > MOST_NODES:
                raise Refused(f"the graph has more than {MOST_NODES} nodes, loops written out")
            where = proto.name or (proto.output[0] if proto.output else proto.op_type)
            if self.depth == 0:
                self.emit.origin = where
            try:
                self._node(proto, scope, opsets)
            except Refused as refusal:
                op = f"{proto.domain}.{proto.op_type}" if proto.domain else proto.op_type
                if self.depth:
                    raise Refused(f"{op} in it: {refusal.reason}", refusal.remedy, refusal.unknown) from None
                self.problems.append(Problem(where, op, refusal.reason, refusal.remedy, refusal.unknown))
                self._stand_in(proto, scope)
            except Stopped as missing:
                if self.depth:
                    raise
                if str(missing) not in self.lost:
                    self.problems.append(Problem(where, proto.op_type, f"nothing makes {missing}", "", ()))
                self._stand_in(proto, scope)

    def _stand_in(self, proto: onnx.NodeProto, scope: Scope) -> None:
        """What is known of the results of a node that was refused, so that what follows is looked at as well."""
        self.lost.update(proto.output)
        for name in proto.output:
            shape, dtype = self.inferred.get(name, (None, None))
            if shape is None or dtype is None or not name:
                continue
            try:
                zeros = self.emit.constant(np.zeros(shape, np.int8)) if 0 not in shape else None
                if zeros is not None:
                    scope.names[name] = self.emit.cast(self.emit.computed(zeros, np.dtype(np.int8)), dtype)
            except Refused:
                continue

    def _node(self, proto: onnx.NodeProto, scope: Scope, opsets: dict[str, int]) -> None:
        inputs = [scope.find(name) if name else None for name in proto.input]
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        version = opsets.get(domain, 1 if domain else max(self.opsets.values()))
        attributes = self._attributes(proto, scope)
        depends = frozenset[str]().union(*(v.inputs for v in _tensors(inputs)))
        outputs = self._results(proto, domain, version, inputs, attributes, scope)
        for name, item in zip(proto.output, outputs, strict=False):
            if not name:
                continue
            if isinstance(item, list):
                scope.names[name] = [v.depending(depends) for v in item]
            else:
                scope.names[name] = item.depending(depends) if item is not None else None
        if any(proto.output[len(outputs) :]):
            raise Refused(f"its output {proto.output[len(outputs)]} has no lowering", "leave out what uses it")

    def _results(
        self,
        proto: onnx.NodeProto,
        domain: str,
        version: int,
        inputs: list[Item],
        attributes: Attributes,
        scope: Scope,
    ) -> Sequence[Item]:
        node = Node(proto.op_type, domain, version, inputs, attributes, len(proto.output), self.emit, self)
        if (folded := fold(proto, node, self.opsets)) is not None:
            return folded
        node.scope = scope
        lowering = LOWERINGS.get((domain, proto.op_type))
        if lowering is not None:
            result = lowering(node)
            return result if isinstance(result, tuple) else [result]  # pyright: ignore[reportReturnType]
        body = function_of(proto, node)
        if body is None:
            raise Refused("no lowering", "express it with other ops of ONNX, or run it on the host")
        return self.call(body, node)

    def call(self, body: onnx.FunctionProto, node: Node) -> list[Item]:
        """The outputs of a function that a node calls, which is written out."""
        names: dict[str, Item] = dict(zip(body.input, [*node.inputs, *[None] * len(body.input)], strict=False))
        attributes = {a.name: attribute(a) for a in body.attribute_proto} | defaults_of(node) | node.attributes
        opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in body.opset_import}
        scope = Scope(names, None, attributes, {**self.opsets, **opsets})
        self.nested(body.node, scope)
        return [scope.names.get(name) for name in body.output[: max(node.outputs, 1)]]

    def nested(self, nodes: Iterable[onnx.NodeProto], scope: Scope) -> None:
        """Imports the nodes of a function, branch or loop. Its refusals are those of the node that it is of."""
        if self.depth >= DEEPEST:
            raise Refused("functions and branches lie too deep inside each other", "write them out")
        self.depth += 1
        try:
            self.run(nodes, scope)
        finally:
            self.depth -= 1

    def graph(self, graph: onnx.GraphProto, arguments: Sequence[Item], outer: Scope) -> list[Item]:
        """The outputs of a branch or of the body of a loop."""
        names: dict[str, Item] = {i.name: v for i, v in zip(graph.input, arguments, strict=False)}
        names |= initializers(graph)
        scope = Scope(names, outer, outer.attributes, outer.opsets)
        self.nested(graph.node, scope)
        return [scope.find(output.name) for output in graph.output]

    def _attributes(self, proto: onnx.NodeProto, scope: Scope) -> Attributes:
        """The attributes of a node; those that refer to the function's own are taken from there, or are absent."""
        result: Attributes = {}
        given = scope_attributes(scope)
        for a in proto.attribute:
            if not a.ref_attr_name:
                result[a.name] = attribute(a)
            elif a.ref_attr_name in given:
                result[a.name] = given[a.ref_attr_name]
        return result


def scope_attributes(scope: Scope | None) -> Attributes:
    while scope is not None:
        if scope.attributes is not None:
            return scope.attributes
        scope = scope.outer
    return {}


def _tensors(items: Sequence[Item]) -> list[Value]:
    return [v for item in items for v in (item if isinstance(item, list) else [item]) if v is not None]


def initializers(graph: onnx.GraphProto) -> dict[str, Item]:
    """The constants of a graph by name."""
    from onnx import numpy_helper

    return {t.name: known(numpy_helper.to_array(t)) for t in graph.initializer}


def attribute(proto: onnx.AttributeProto) -> Any:
    """The value of an attribute: tensors as arrays, all else as protobuf has it."""
    import onnx
    from onnx import numpy_helper

    if proto.type == onnx.AttributeProto.TENSOR:
        return numpy_helper.to_array(proto.t)
    value = onnx.helper.get_attribute_value(proto)
    return [*value] if proto.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def function_of(proto: onnx.NodeProto, node: Node) -> onnx.FunctionProto | None:
    """The body with which ONNX defines an op, or None where it has none."""
    import onnx

    if node.domain == MICROSOFT:
        return None
    try:
        schema: Any = onnx.defs.get_schema(proto.op_type, node.version, node.domain)  # its stubs lack half of it
    except onnx.defs.SchemaError:
        raise Refused(f"operator set {node.version} has no such op") from None
    body = onnx.FunctionProto()
    if schema.has_function:
        versions = [v for v in schema.function_opset_versions if v <= node.version]
        if not versions:
            return None
        body.ParseFromString(schema.get_function_with_opset_version(max(versions)))
        return body
    if schema.has_context_dependent_function:
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= node.version]
        if not versions:
            return None
        whole = resolved(proto, node)
        types = [_type(item) for item in node.inputs]
        body.ParseFromString(
            schema.get_context_dependent_function_with_opset_version(
                max(versions), whole.SerializeToString(), [t.SerializeToString() for t in types]
            )
        )
        return body
    return None


def defaults_of(node: Node) -> Attributes:
    """The attributes that an op has where none are given."""
    import onnx

    schema: Any = onnx.defs.get_schema(node.op, node.version, node.domain)
    values = [a.default_value for a in schema.attributes.values()]
    return {a.name: attribute(a) for a in values if a.type != onnx.AttributeProto.UNDEFINED}


def resolved(proto: onnx.NodeProto, node: Node) -> onnx.NodeProto:
    """The node with the values of attributes that refer to those of a function around it."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    for a in [*copy.attribute]:
        if a.ref_attr_name:
            copy.attribute.remove(a)
            if a.name in node.attributes:
                copy.attribute.append(onnx.helper.make_attribute(a.name, node.attributes[a.name], attr_type=a.type))
    return copy


def _type(item: Item) -> onnx.TypeProto:
    import onnx

    if isinstance(item, list):
        return onnx.helper.make_sequence_type_proto(_type(item[0] if item else None))
    if item is None:
        return onnx.TypeProto()
    code = onnx.helper.np_dtype_to_tensor_dtype(item.dtype)
    return onnx.helper.make_tensor_type_proto(code, item.shape)
