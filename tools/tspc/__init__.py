"""An MLIR-style compiler and simulator for deterministic tensor streaming processors.

import tspc
program = tspc.compile("model.mlir")  # MLIR text, a path, an xDSL module or an ONNX model
outputs = program.run({"x": x})       # numpy arrays by name
host = tspc.compile_host(module)      # host code around programs

This is the package `tspc` itself; its other parts are the folders `dialects`, `passes`, `runtime` and `tools`. What is
used is imported when it is first used.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (what is imported below cannot be read by older versions)
    raise ImportError("tspc needs Python 3.11 or newer, and this is Python {}.{}".format(*sys.version_info[:2]))

# A type checker finds these modules where the package is installed, which is not where this file lies.
# pyright: reportMissingImports=false, reportUnknownVariableType=false

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tools.api import Program as Program
    from .tools.api import compile as compile
    from .tools.api import load as load
    from .tools.host import Host as Host
    from .tools.host import compile_host as compile_host

    __version__: str

_MODULES = {"Program": "api", "compile": "api", "load": "api", "Host": "host", "compile_host": "host"}
"""The module of `tools` in which each public thing is."""

__all__ = ["Host", "Program", "compile", "compile_host", "load", "__version__"]


def __getattr__(name: str) -> object:
    """What is public, as it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version(__name__)
    elif name in _MODULES:
        from importlib import import_module

        value = getattr(import_module(".tools." + _MODULES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
