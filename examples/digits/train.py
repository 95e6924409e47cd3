"""Trains the digits model, quantises it to int8 and writes every data file and both `.mlir` files of this folder.

Every seed is fixed, so that a second run writes the same bytes. Training, calibration of the scales included, sees
only the images that are not held out.
"""

from __future__ import annotations

from string import Template

import numpy as np
import numpy.typing as npt
from reference import HERE, Digits, correct, load
from safetensors.numpy import save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HELD_OUT = 360
"""Images that training never sees; also the batch size of the modules."""

PIXEL_STEP = 7
"""What the model is given for one step of a pixel: 0..16 becomes 0..112, exact in int8."""

INPUT_SCALE = 1 / (16 * PIXEL_STEP)
"""The real value of one int8 step of the input, chosen so that a full pixel is 1.0."""

HIDDEN_PERCENTILE = 99.9
"""Hidden activations above this percentile of the training data saturate, which leaves finer steps for the rest."""

MODULE = Template("""\
// $summary:
//   tsp-run examples/digits/$file --inputs examples/digits/held_out.npz
builtin.module attributes {$attributes} {
  func.func @main(%images: tensor<${n}x8x8xi8> {tsp_tensor.name = "images"}) \
-> (tensor<${n}x10xi32> {tsp_tensor.name = "logits"}) {
    %x = tsp_tensor.reshape %images : tensor<${n}x8x8xi8> -> tensor<${n}x64xi8>
    %w1 = tsp_tensor.parameter "fc1.weight" : tensor<64x128xi8>
    %b1 = tsp_tensor.parameter "fc1.bias" : tensor<128xi32>
    %acc1 = tsp_tensor.matmul %x, %w1 : tensor<${n}x64xi8>, tensor<64x128xi8> -> tensor<${n}x128xi32>
    %h = tsp_tensor.map %acc1, %b1 : (tensor<${n}x128xi32>, tensor<128xi32>) -> tensor<${n}x128xi8> {
    ^bb0(%acc: i32, %bias: i32):
      %scale = arith.constant $scale : f32
      %zero = arith.constant 0.000000e+00 : f32
      %top = arith.constant 1.270000e+02 : f32
      %0 = arith.addi %acc, %bias : i32
      %1 = arith.sitofp %0 : i32 to f32
      %2 = arith.mulf %1, %scale : f32
      %3 = arith.maximumf %2, %zero : f32
      %4 = arith.minimumf %3, %top : f32
      %5 = math.roundeven %4 : f32
      %6 = arith.fptosi %5 : f32 to i8
      tsp_tensor.yield %6 : i8
    }
    %w2 = tsp_tensor.parameter "fc2.weight" : tensor<128x10xi8>
    %b2 = tsp_tensor.parameter "fc2.bias" : tensor<10xi32>
    %acc2 = tsp_tensor.matmul %h, %w2$chip : tensor<${n}x128xi8>, tensor<128x10xi8> -> tensor<${n}x10xi32>
    %logits = tsp_tensor.map %acc2, %b2 : (tensor<${n}x10xi32>, tensor<10xi32>) -> tensor<${n}x10xi32> {
    ^bb0(%acc: i32, %bias: i32):
      %0 = arith.addi %acc, %bias : i32
      tsp_tensor.yield %0 : i32
    }$chip
    func.return %logits : tensor<${n}x10xi32>
  }
}
""")


def module_text(scale: np.float32, chips: int) -> str:
    """The model for the held-out images as `.mlir` text, with the second layer on the last of one or two chips."""
    values = {"file": "digits.mlir", "summary": "A quantised 64-128-10 classifier of handwritten digits", "chip": ""}
    attributes = ['tsp_tensor.weights = "digits.safetensors"']
    if chips > 1:
        values["file"] = "digits_two_chips.mlir"
        values["summary"] += ", one layer on each of two chips"
        values["chip"] = f" {{c2c.chip = {chips - 1} : i64}}"
        attributes.append(f"tsp_isa.target = #tsp_isa.target<system.chips = {chips}>")
    # Nine significant digits are enough to name any float32, even for a parser that reads them as a float64 first.
    return MODULE.substitute(values, attributes=", ".join(attributes), n=HELD_OUT, scale=f"{scale:.8e}")


def prepare() -> tuple[Digits, npt.NDArray[np.int64]]:
    """The data set with a stratified held-out share, and the indices [1437] of the images to train on."""
    source = load_digits()
    images = (source.images * PIXEL_STEP).astype(np.int8)
    everything = np.arange(len(images))
    train, held_out = train_test_split(everything, test_size=HELD_OUT, stratify=source.target, random_state=0)
    return Digits(images, source.target.astype(np.int8), np.sort(held_out)), np.sort(train)


def inputs(digits: Digits, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The images at `indices` [N] as real values [N, 64] in 0..1."""
    return digits.images[indices].reshape(-1, 64) * INPUT_SCALE


def steps(values: npt.NDArray[np.float64], scale: float) -> npt.NDArray[np.float64]:
    """The real values in whole steps of `scale`, of the same shape."""
    return np.rint(values / scale)


def quantise(model: MLPClassifier, x: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.generic]]:
    """The tensors of the integer model, by name; the inputs `x` [N, 64] calibrate the hidden layer."""
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    hidden = np.maximum(x @ w1 + b1, 0)
    w1_scale, w2_scale = (float(np.abs(w).max()) / 127 for w in (w1, w2))
    h_scale = float(np.percentile(hidden, HIDDEN_PERCENTILE)) / 127
    return {
        "fc1.weight": steps(w1, w1_scale).astype(np.int8),
        "fc1.bias": steps(b1, INPUT_SCALE * w1_scale).astype(np.int32),
        "fc1.requant_scale": np.array([INPUT_SCALE * w1_scale / h_scale], np.float32),
        "fc2.weight": steps(w2, w2_scale).astype(np.int8),
        "fc2.bias": steps(b2, h_scale * w2_scale).astype(np.int32),
    }


def main() -> None:
    digits, train = prepare()
    model = MLPClassifier((128,), alpha=1e-2, batch_size=64, max_iter=1000, random_state=0)
    model.fit(inputs(digits, train), digits.labels[train])
    tensors = quantise(model, inputs(digits, train))

    (HERE / "digits.safetensors").write_bytes(save(tensors))
    np.savez_compressed(HERE / "digits.npz", **digits._asdict())
    np.savez_compressed(HERE / "held_out.npz", images=digits.images[digits.held_out])
    scale = tensors["fc1.requant_scale"][0]
    (HERE / "digits.mlir").write_text(module_text(scale, chips=1), encoding="utf-8")
    (HERE / "digits_two_chips.mlir").write_text(module_text(scale, chips=2), encoding="utf-8")

    written = load()
    for name, indices in (("training", train), ("held out", written.held_out)):
        total = len(indices)
        exact = model.score(inputs(digits, indices), digits.labels[indices])
        print(f"{name}: {total} images, float {exact:.2%}, int8 {correct(written, indices) / total:.2%}")


if __name__ == "__main__":
    main()
