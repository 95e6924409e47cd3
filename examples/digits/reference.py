"""The quantised digits model in plain numpy: what every level of the compiler and every engine must compute."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent


class Digits(NamedTuple):
    """The data set as the model takes it."""

    images: npt.NDArray[np.int8]
    """[1797, 8, 8], seven times the pixel, so 0..112."""
    labels: npt.NDArray[np.int8]
    """[1797], the digit, 0..9."""
    held_out: npt.NDArray[np.int64]
    """[360], ascending indices of the images that training never saw."""


def load() -> Digits:
    """The images, labels and held-out indices of `digits.npz`."""
    with np.load(HERE / "digits.npz") as data:
        return Digits(data["images"], data["labels"], data["held_out"])


def logits(images: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """The outputs [N, 10] of the model for images [N, 8, 8] (or [N, 64]), with the weights of `digits.safetensors`."""
    p = load_file(HERE / "digits.safetensors")
    x = images.reshape(-1, 64)
    h = requantise(linear(x, p["fc1.weight"], p["fc1.bias"]), p["fc1.requant_scale"])
    return linear(h, p["fc2.weight"], p["fc2.bias"])


def linear(x: npt.NDArray[np.int8], weight: npt.NDArray[np.int8], bias: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """x [N, K] by weight [K, M] plus bias [M], all of it in int32."""
    return x.astype(np.int32) @ weight.astype(np.int32) + bias


def requantise(acc: npt.NDArray[np.int32], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """acc [N, M] times scale [1] in float32, ReLU, saturated at 127, rounded half to even: int8 [N, M]."""
    scaled = acc.astype(np.float32) * scale
    return np.rint(np.minimum(np.maximum(scaled, np.float32(0)), np.float32(127))).astype(np.int8)


def correct(digits: Digits, indices: npt.NDArray[np.int64]) -> int:
    """How many of the images at `indices` [N] the model names correctly."""
    return int(np.sum(logits(digits.images[indices]).argmax(axis=1) == digits.labels[indices]))


if __name__ == "__main__":
    digits = load()
    hits, total = correct(digits, digits.held_out), len(digits.held_out)
    print(f"int8, held out: {hits} of {total} correct, {hits / total:.2%}")
