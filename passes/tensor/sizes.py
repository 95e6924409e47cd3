"""Tensors that no chip can hold are refused before anything is lowered for each of their tiles."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute
from xdsl.utils.hints import isa

from ...dialects.elements import element_bytes, element_of
from ...dialects.errors import CapacityError
from ...dialects.locations import describe
from ...dialects.target_attr import target_of


def check_sizes(module: ModuleOp) -> None:
    """Raises CapacityError for the first tensor, of a result or of an argument, with more bytes than a chip's SRAM."""
    most = target_of(module).chip.sram_bytes
    for op in module.walk():
        arguments = [a for region in op.regions for block in region.blocks for a in block.args]
        for value in (*arguments, *op.results):
            type_ = value.type
            if not isa(type_, TensorType[Attribute]) or element_of(type_.element_type) is None:
                continue
            size = prod(type_.get_shape()) * element_bytes(type_.element_type)
            if size > most:
                raise CapacityError(
                    f"{describe(op)}: {type_} has {size} bytes, the SRAM of a chip {most}: {size - most} too many; "
                    "split the tensor"
                )
