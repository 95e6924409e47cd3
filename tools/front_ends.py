"""Models of other formats on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..passes.importers import PRECISIONS
from .diagnostics import UsageError

if TYPE_CHECKING:
    from ..passes.importers.onnx import Imported


def onnx_options(parser: argparse.ArgumentParser) -> None:
    """The options for ONNX models; `imported` becomes the model that is read."""
    add = parser.add_argument_group("ONNX models").add_argument
    add(
        "--shape",
        type=_shape,
        action="append",
        default=[],
        metavar="NAME=1x3x224x224",
        help="the shape of an input whose shape the model leaves open; repeatable",
    )
    add("--precision", choices=PRECISIONS, help="how products of f32 are done; f16x3 without it")
    parser.set_defaults(imported=None)


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    parts = sizes.split("x") if sizes else []
    if not name or not equals or not all(p.isascii() and p.isdigit() for p in parts):
        raise argparse.ArgumentTypeError(f"`{text}` is no shape of an input; write NAME=1x3x224x224")
    return name, tuple(int(p) for p in parts)


def check_onnx_options(args: argparse.Namespace) -> None:
    """Raises UsageError for options of ONNX models beside another file."""
    if (args.shape or args.precision) and args.file.suffix != ".onnx":
        raise UsageError(f"--shape and --precision are for .onnx models, which {args.file} is not")


def imported(args: argparse.Namespace) -> Imported | None:
    """The model of an .onnx file, which `args.imported` then is; None for another file. What its inputs decide about
    shapes is taken from `--inputs`."""
    if args.file.suffix != ".onnx":
        return None
    from ..passes.importers.onnx import import_for
    from ..runtime.interface import load_inputs

    if getattr(args, "weights", None):
        raise UsageError("an .onnx model has its weights inside; leave out --weights")
    inputs = load_inputs(args.inputs) if getattr(args, "inputs", None) else {}
    args.imported = import_for(args.file, inputs, dict(args.shape), args.precision or PRECISIONS[0])
    return args.imported
