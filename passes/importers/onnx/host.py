"""What the host does before and after a run: arrays of ONNX's element types become carriers and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....dialects.errors import InputError
from ....dialects.names import quoted
from .elements import Array, Shape, carried, uncarried
from .values import Item, Value


@dataclass(frozen=True)
class Port:
    """An input or output of the model."""

    name: str
    shape: Shape | None
    dtype: np.dtype[Any] | None
    on_chip: bool
    """Whether the program has it; else it is empty, or known."""
    known: Item = None


@dataclass(frozen=True)
class Host:
    """The inputs and outputs of a model, and of its program."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def to_program(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The inputs of the program. Raises InputError that lists all that is missing, unknown or misfits."""
        problems: list[str] = []
        result: dict[str, Array] = {}
        names = {port.name for port in self.inputs}
        problems += [f"input {quoted(name)} is unknown" for name in inputs if name not in names]
        for port in self.inputs:
            if port.dtype is None or port.shape is None:
                if port.name in inputs and isinstance(port.known, Value) and port.known.array is not None:
                    same = np.array_equal(np.asarray(inputs[port.name]), port.known.array)
                    if not same:
                        problems.append(f"input {quoted(port.name)} has another value than that compiled for")
                continue
            wanted = f"{'x'.join(map(str, port.shape)) or 'no dimensions'} of {port.dtype}"
            if port.name not in inputs:
                problems.append(f"input {quoted(port.name)} ({wanted}) is missing")
                continue
            array = np.asarray(inputs[port.name])
            if array.shape != port.shape or array.dtype != port.dtype:
                have = f"{'x'.join(map(str, array.shape)) or 'no dimensions'} of {array.dtype}"
                problems.append(f"input {quoted(port.name)} must be {wanted}, not {have}")
            elif port.on_chip:
                try:
                    result[port.name] = carried(array, port.name)
                except InputError as e:
                    problems.append(str(e))
        if problems:
            raise InputError("\n".join(problems))
        return result

    def to_model(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of the model, from those of the program."""
        result: dict[str, Array] = {}
        for port in self.outputs:
            if port.on_chip:
                assert port.dtype is not None
                result[port.name] = uncarried(outputs[port.name], port.dtype)
            elif isinstance(port.known, Value) and port.known.array is not None:
                result[port.name] = port.known.array
        return result
