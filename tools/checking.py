"""--check-by-running: a pass must not change a bit of what a module computes, at whatever level it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from ..dialects.errors import MismatchError
from ..runtime.interface import Array, Tensors, interface_of, load_inputs, load_weights, weights_path
from ..runtime.levels import run_module


@dataclass(frozen=True)
class RunningCheck:
    """The inputs, the weights, and the outputs that every later form of the module must give."""

    inputs: Tensors
    weights: Tensors
    expected: dict[str, Array]

    @staticmethod
    def of(module: ModuleOp, inputs: Path, folder: Path, weights: str | None, allow_outside: bool) -> RunningCheck:
        """Runs the module as it is. Raises InputError for what misfits."""
        path = Path(weights) if weights else weights_path(module, folder, allow_outside)
        values = load_weights(path, interface_of(module).parameters)
        given = load_inputs(inputs)
        return RunningCheck(given, values, run_module(module, given, values).outputs)

    def after(self, name: str, module: ModuleOp) -> None:
        """Runs the module after pass `name`. Raises MismatchError that says where the bits first differ."""
        outputs = run_module(module, self.inputs, self.weights).outputs
        for key, expected in self.expected.items():
            if key not in outputs:
                raise MismatchError(f"after pass `{name}`: output `{key}` is gone")
            if difference := first_difference(outputs[key], expected):
                raise MismatchError(f"after pass `{name}`: output `{key}` {difference}")


def first_difference(got: Array, expected: Array) -> str | None:
    """Where and how two arrays first differ in bits, or None when they do not."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f"is {got.dtype}{list(got.shape)}, was {expected.dtype}{list(expected.shape)}"
    raw = f"V{got.dtype.itemsize}"
    different = np.argwhere(np.ascontiguousarray(got).view(raw) != np.ascontiguousarray(expected).view(raw))
    if not len(different):
        return None
    at = tuple(int(i) for i in different[0])
    return (
        f"differs in {len(different)} of {got.size} elements, first at {list(at)}: {_shown(got[at])}, "
        f"was {_shown(expected[at])}"
    )


def _shown(value: np.generic) -> str:
    """A number, with its bits if it is a float: NaNs and zeros are several."""
    return f"{value} (0x{value.tobytes()[::-1].hex()})" if isinstance(value, np.floating) else str(value)
