"""Writes a convolutional network in its true shapes as a module with random weights, in i8 or f16.

    python examples/networks/build.py resnet50 --precision i8 --size 224 -o resnet50.mlir

The weights go to a file beside the module, an input to another; zoo.py says which networks there are, module.py what
the precisions are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from networks.layers import Network
from networks.module import PRECISIONS, build, image_of
from networks.zoo import NETWORKS


def shape_options(parser: argparse.ArgumentParser, more: Sequence[str] = ()) -> None:
    """The options that say which network it is; `more` are other words in place of its name."""
    parser.add_argument("network", choices=[*NETWORKS, *more])
    parser.add_argument("--precision", choices=PRECISIONS, default="i8")
    parser.add_argument("--size", type=int, default=224, help="rows and columns of the image")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--width", type=float, default=1.0, help="multiplies the channels of all layers")
    parser.add_argument("--depth", type=float, default=1.0, help="multiplies the blocks in a row")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)


def network(args: argparse.Namespace, name: str = "") -> Network:
    """The network that the options ask for, or another in the shape that they ask for."""
    net = Network(args.size, args.batch, args.width, args.depth, args.classes)
    NETWORKS[name or args.network](net)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description="write a convolutional network with random weights")
    shape_options(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .mlir file; an input goes beside it")
    parser.add_argument("--weights", type=Path, help="the .safetensors file; by default beside the module")
    args = parser.parse_args()
    net = network(args)
    file: Path = args.weights or args.output.with_suffix(".safetensors")
    beside = os.path.relpath(file.resolve(), args.output.resolve().parent)
    text, weights = build(net, args.precision, beside, args.seed)
    args.output.write_text(text, encoding="utf-8")
    save_file(weights, file)
    np.savez(args.output.with_suffix(".npz"), image=image_of(net, args.precision, args.seed + 1))


if __name__ == "__main__":
    main()
