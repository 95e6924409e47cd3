"""Tensors that no chip can hold are refused before anything is lowered for each of their tiles."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute
from xdsl.utils.hints import isa

from ....dialects.elements import element_of
from ....dialects.tsp_tensor.sizes import check_size


def check_sizes(module: ModuleOp) -> None:
    """Raises CapacityError for the first tensor, of a result or of an argument, with more bytes than a chip's SRAM."""
    for op in module.walk():
        arguments = [a for region in op.regions for block in region.blocks for a in block.args]
        for value in (*arguments, *op.results):
            if isa(value.type, TensorType[Attribute]) and element_of(value.type.element_type) is not None:
                check_size(op, value)
