"""The lowerings of ONNX's ops, by kind."""

from __future__ import annotations

from importlib import import_module

KINDS = (
    "elementwise", "logic", "movement", "products", "windows", "reductions", "indexing", "normalisation", "quantised",
    "control", "recurrent", "resize", "signal", "sampling", "microsoft",
)  # fmt: skip


def load_lowerings() -> None:
    """Makes all lowerings known to the registry."""
    for kind in KINDS:
        import_module(f".{kind}", __package__)
