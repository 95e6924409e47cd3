"""An MLIR-style compiler and simulator for deterministic tensor streaming processors.

import tspc
program = tspc.compile("model.mlir")  # MLIR text, a path, an xDSL module or an ONNX model
outputs = program.run({"x": x})       # numpy arrays by name

This is the package `tspc` itself; its other parts are the folders `dialects`, `passes`, `runtime` and `tools`. What is
used is imported when it is first used.
"""

# A type checker finds these modules where the package is installed, which is not where this file lies.
# pyright: reportMissingImports=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tools.api import Program as Program
    from .tools.api import compile as compile
    from .tools.api import load as load

    __version__: str

__all__ = ["Program", "compile", "load", "__version__"]


def __getattr__(name: str) -> object:
    """What is public, as it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version(__name__)
    elif name in __all__:
        from importlib import import_module

        value = getattr(import_module(".tools.api", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
