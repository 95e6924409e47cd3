"""Tensors that no chip can hold are refused before anything of their size is allocated."""

from __future__ import annotations

from math import prod

from xdsl.ir import Operation, SSAValue

from ..elements import element_bytes
from ..errors import CapacityError
from ..locations import describe
from ..target_attr import target_of
from .types import tensor_of


def check_size(op: Operation, value: SSAValue) -> None:
    """Raises CapacityError, which names `op`, for a tensor with more bytes than a chip's SRAM."""
    type_, most = tensor_of(value), target_of(op).chip.sram_bytes
    size = prod(type_.get_shape()) * element_bytes(type_.element_type)
    if size > most:
        raise CapacityError(
            f"{describe(op)}: {type_} has {size} bytes, the SRAM of a chip {most}: {size - most} too many; "
            "split the tensor"
        )
