"""Our dialects as IRDL, with which mlir-opt (19 and newer) reads and checks what tsp-opt prints in generic form.

    tsp-opt --print-irdl tsp_tensor > tsp_tensor.irdl.mlir
    tsp-opt model.mlir --print-op-generic --print-no-properties | mlir-opt --irdl-file=tsp_tensor.irdl.mlir

It says of every op its operands, results and regions and which attributes it must have. MLIR has no properties for ops
that are defined at run time, so they stand as attributes there. IRDL cannot express three things, and with
`--irdl-file` mlir-opt refuses what needs them: a syntax of their own for types and attributes, as those of
`tsp_stream`, `tsp_isa` and `c2c` have; which op ends a region, as that of a `map`; variadic operands of several types,
as `concat` may have. With `--allow-unregistered-dialect` in its place mlir-opt reads all levels, and checks none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

from xdsl.dialects.builtin import I32, ArrayAttr, IntegerAttr, ModuleOp, StringAttr, i32
from xdsl.dialects.irdl import AnyOp
from xdsl.dialects.irdl.irdl import (
    AttributeOp,
    AttributesOp,
    DialectOp,
    OperationOp,
    ParametersOp,
    RegionOp,
    RegionsOp,
    RegionType,
    TypeOp,
)
from xdsl.dialects.irdl.pyrdl_to_irdl import depython_name, op_def_to_irdl
from xdsl.ir import Attribute, Block, Dialect, Operation, ParametrizedAttribute, Region, TypeAttribute
from xdsl.irdl import IRDLOperation, OptionalDef, SingleBlockRegionDef, VariadicDef
from xdsl.printer import Printer


def irdl_text(dialects: Sequence[Dialect]) -> str:
    """The definitions of dialects as a module. Generic form without properties is what MLIR has read since 19: it has
    given names to operands and regions since then."""
    text = StringIO()
    parts = [ModuleOp([part]) for dialect in dialects for part in _parts(dialect)]
    Printer(text, print_generic_format=True, print_properties_as_attributes=True).print_op(ModuleOp(list(parts)))
    return text.getvalue()


def _parts(dialect: Dialect) -> Iterator[DialectOp]:
    """The types and attributes of a dialect, and apart from them its ops: of what is defined together no two may have
    the same name, and of ours a type and an op have."""
    if attributes := [_attribute(attribute) for attribute in dialect.attributes]:
        yield DialectOp(dialect.name, Region(Block(attributes)))
    operations: list[Operation] = []
    for op in dialect.operations:
        assert issubclass(op, IRDLOperation)
        operations.append(_operation(op))
    yield DialectOp(dialect.name, Region(Block(operations)))


def _attribute(attribute: type[Attribute]) -> AttributeOp | TypeOp:
    """A type or attribute with its parameters; one whose syntax is its own has them as one."""
    names = ["data"]
    if issubclass(attribute, ParametrizedAttribute):
        names = [depython_name(name) for name, _ in attribute.get_irdl_definition().parameters]
    any_of = [AnyOp() for _ in names]
    parameters = ParametersOp([one.output for one in any_of], ArrayAttr(StringAttr(name) for name in names))
    body = Region(Block([*any_of, parameters] if names else []))
    kind = TypeOp if issubclass(attribute, TypeAttribute) else AttributeOp
    return kind(Dialect.split_name(attribute.name)[1], body)


def _operation(op: type[IRDLOperation]) -> OperationOp:
    """An op with its operands and results, as xDSL makes it, and with the attributes that it must have and its
    regions."""
    definition = op.get_irdl_definition()
    made = op_def_to_irdl(op)
    body = made.body.block
    required = [
        depython_name(name)
        for name, one in (*definition.properties.items(), *definition.attributes.items())
        if not isinstance(one, OptionalDef) and one.default_value is None
    ]
    if required:
        any_of = {name: AnyOp() for name in required}
        attributes = AttributesOp.get({name: one.output for name, one in any_of.items()})
        attributes.attributes["attributeValueNames"] = attributes.attribute_value_names  # what MLIR calls it
        body.add_ops([*any_of.values(), attributes])
    if definition.regions:
        assert not any(isinstance(one, VariadicDef) for _, one in definition.regions), "IRDL has no such regions"
        regions = [_region(isinstance(one, SingleBlockRegionDef)) for _, one in definition.regions]
        names = ArrayAttr(StringAttr(name) for name, _ in definition.regions)
        body.add_ops([*regions, RegionsOp([region.output for region in regions], names)])
    return made


def _region(single_block: bool) -> RegionOp:
    if not single_block:
        return RegionOp.create(result_types=[RegionType()])
    one = IntegerAttr[I32](1, i32)
    ours, of_mlir = {"number_of_blocks": one}, {"numberOfBlocks": one}
    return RegionOp.create(properties=ours, attributes=of_mlir, result_types=[RegionType()])
