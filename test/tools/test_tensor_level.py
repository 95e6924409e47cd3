"""The tensor level from the command line: a small network of every kind of layer, run, simplified, and run again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import opt, run

NETWORK = """
func.func @main(%image: tensor<1x8x8x4xi8> {tsp_tensor.name = "image"},
                %tokens: tensor<5xi32> {tsp_tensor.name = "tokens"}) -> (tensor<4xi32> {tsp_tensor.name = "classes"},
                                                                         tensor<5x8xf16> {tsp_tensor.name = "words"}) {
  %w = tsp_tensor.constant dense<3> : tensor<3x3x4x4xi8>
  %sums = tsp_tensor.conv %image, %w strides [2, 2] pads [0, 0, 1, 1]
    : tensor<1x8x8x4xi8>, tensor<3x3x4x4xi8> -> tensor<1x4x4x4xi32>
  %hidden = tsp_tensor.map %sums : (tensor<1x4x4x4xi32>) -> tensor<1x4x4x4xi8> {
  ^bb0(%s: i32):
    %0 = arith.constant 7 : i32
    %1 = arith.shrsi %s, %0 : i32
    %2 = arith.trunci %1 : i32 to i8
    tsp_tensor.yield %2 : i8
  }
  %pooled = tsp_tensor.pool "max" %hidden window [2, 2] strides [2, 2] : tensor<1x4x4x4xi8> -> tensor<1x2x2x4xi8>
  %classes = tsp_tensor.reduce "sum" %pooled axes [0, 1, 2] : tensor<1x2x2x4xi8> -> tensor<4xi32>

  %table = tsp_tensor.parameter "table" : tensor<10x8xf16>
  %scale = tsp_tensor.parameter "scale" : tensor<8xf32>
  %words = tsp_tensor.gather %table, %tokens : tensor<10x8xf16>, tensor<5xi32> -> tensor<5x8xf16>
  %normal = tsp_tensor.rms_norm %words, %scale epsilon 1.0e-05 : tensor<5x8xf16>, tensor<8xf32>
  %mixed = tsp_tensor.attention %normal, %normal, %words scale 0.35
    : tensor<5x8xf16>, tensor<5x8xf16>, tensor<5x8xf16> -> tensor<5x8xf16>
  %out = tsp_tensor.gelu "tanh" %mixed : tensor<5x8xf16>
  func.return %classes, %out : tensor<4xi32>, tensor<5x8xf16>
}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(1)
    text = f'builtin.module attributes {{tsp_tensor.weights = "w.safetensors"}} {{{NETWORK}\n}}'
    (tmp_path / "m.mlir").write_text(text, encoding="utf-8")
    table = rng.normal(size=(10, 8)).astype(np.float16)
    save_file({"table": table, "scale": rng.normal(1, 0.1, 8).astype(np.float32)}, tmp_path / "w.safetensors")
    image = rng.integers(-128, 128, (1, 8, 8, 4), np.int8)
    np.savez(tmp_path / "x.npz", image=image, tokens=np.array([0, 3, 9, 3, 12], np.int32))
    return tmp_path


def test_a_network_runs(folder: Path) -> None:
    out = run(folder / "m.mlir", "--level", "tensor", "--inputs", folder / "x.npz", "--output", folder / "y.npz")
    assert out == "classes: int32[4]\nwords: float16[5, 8]\n"
    image = np.load(folder / "x.npz")["image"].astype(np.int64)
    padded = np.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    hidden = (windows.sum(axis=(3, 4, 5)) * 3 >> 7).astype(np.int8)[0]
    expected = hidden.reshape(2, 2, 2, 2).max(axis=(1, 3)).sum()
    with np.load(folder / "y.npz") as outputs:
        assert outputs["classes"].tolist() == [expected] * 4


def test_simplifying_changes_no_bit(folder: Path) -> None:
    passes = "decompose-tensor-ops,tsp-tensor-canonicalize,fuse-maps,tsp-tensor-canonicalize"
    text = opt(folder / "m.mlir", "-p", passes, "--check-by-running", folder / "x.npz")
    assert "rms_norm" not in text and "attention" not in text
