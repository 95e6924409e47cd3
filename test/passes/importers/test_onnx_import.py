"""What an imported model looks like: layouts instead of transposes, folded shapes, functions written out, and precise
products."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_graphs import at_tensor_level, by_reference, model, node, on_chip
from tspc.dialects.errors import InputError, UnsupportedModel
from tspc.passes.importers.onnx import UnknownValues, import_for, import_model
from tspc.passes.pipelines import compile
from xdsl.dialects.builtin import ModuleOp

RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ops(module: ModuleOp) -> Counter[str]:
    names = (op.name.partition(".") for op in module.body.block.first_op.body.block.ops)
    return Counter(name for dialect, _, name in names if dialect == "tsp_tensor")


def network() -> onnx.ModelProto:
    """A residual block and a classifier, as exporters write them."""
    return model(
        [
            node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1]),
            node("BatchNormalization", "c1 s s m v", "n1"),
            node("Relu", "n1", "r1"),
            node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]),
            node("Add", "c2 r1", "a"),
            node("MaxPool", "a", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", "p", "g"),
            node("Flatten", "g", "f"),
            node("Gemm", "f w3 b3", "y", transB=1),
        ],
        {"x": (np.float32, (2, 3, 8, 8))},
        ["y"],
        {
            "w1": normal(8, 3, 3, 3), "b1": normal(8), "s": normal(8), "m": normal(8), "v": np.abs(normal(8)) + 0.5,
            "w2": normal(8, 8, 3, 3), "w3": normal(10, 8), "b3": normal(10),
        },
    )  # fmt: skip


def test_images_are_transposed_once() -> None:
    """ONNX has [N, C, H, W], the tensor dialect [N, H, W, C]: in between nothing moves."""
    module = compile(import_model(network(), precision="f16").module, until="tsp-tensor-canonicalize")
    assert ops(module)["transpose"] == 1
    assert ops(module)["conv"] == 2


def test_flattened_images_meet_weights_as_they_lie() -> None:
    """The rows of the weights are brought into the order of the image, on the host."""
    proto = model(
        [node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("Gemm", "f v", "y")],
        {"x": (np.float32, (2, 3, 6, 6))},
        ["y"],
        {"w": normal(8, 3, 3, 3), "v": normal(128, 5)},
    )
    module = compile(import_model(proto, precision="f16").module, until="tsp-tensor-canonicalize")
    assert ops(module)["transpose"] == 1
    x = normal(2, 3, 6, 6)
    want = by_reference(proto, {"x": x})["y"]
    np.testing.assert_allclose(at_tensor_level(proto, {"x": x})["y"], want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize(("precision", "tolerance"), [("f16", 2e-2), ("f16x3", 2e-5)])
def test_a_network_is_as_precise_as_asked_for(precision: str, tolerance: float) -> None:
    proto, x = network(), normal(2, 3, 8, 8)
    want = by_reference(proto, {"x": x})["y"]
    got = at_tensor_level(proto, {"x": x}, precision)["y"]
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def test_a_network_has_its_bits_on_the_chip() -> None:
    proto, x = network(), normal(2, 3, 8, 8)
    assert on_chip(proto, {"x": x}, "f16")["y"].tobytes() == at_tensor_level(proto, {"x": x}, "f16")["y"].tobytes()


@pytest.mark.parametrize("size", [1e-15, 1.0, 1e35])
def test_a_product_of_f32_neither_overflows_nor_underflows(size: float) -> None:
    """Each row has the scale of its greatest element."""
    proto = model([node("MatMul", "a b", "y")], {"a": (np.float32, (5, 40)), "b": (np.float32, (40, 6))}, ["y"])
    a, b = normal(5, 40) * np.float32(size), normal(40, 6)
    a[0] *= np.float32(1e-15)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    terms = np.abs(a).astype(np.float64).max(1, keepdims=True) * np.abs(b).max(0) * 40
    assert (np.abs(at_tensor_level(proto, {"a": a, "b": b})["y"] - exact) / terms).max() < 2**-21


def test_a_product_with_zeros_is_zero_and_one_with_an_infinity_is_not_finite() -> None:
    """The second part of an infinity is NaN. Other rows are not touched by it."""
    proto = model([node("MatMul", "a b", "y")], {"a": (np.float32, (3, 2)), "b": (np.float32, (2, 1))}, ["y"])
    a = np.array([[0, 0], [np.inf, 1], [2, 1]], np.float32)
    got = at_tensor_level(proto, {"a": a, "b": np.float32([[1], [1]])})["y"]
    assert got[0] == 0 and not np.isfinite(got[1]) and abs(got[2] - 3) < 2**-20


def test_shape_arithmetic_is_folded() -> None:
    """What exporters write to flatten all but the batch."""
    proto = model(
        [
            node("Shape", "x", "shape"),
            node("Gather", "shape zero", "batch"),
            node("Unsqueeze", "batch axes", "rows"),
            node("Concat", "rows rest", "target", axis=0),
            node("Reshape", "x target", "y"),
        ],
        {"x": (np.float32, (4, 3, 2))},
        ["y"],
        {"zero": np.int64(0), "axes": np.int64([0]), "rest": np.int64([-1])},
    )
    found = import_model(proto)
    assert ops(found.module) == {"reshape": 1}
    x = normal(4, 3, 2)
    np.testing.assert_array_equal(at_tensor_level(proto, {"x": x})["y"], x.reshape(4, 6))


def test_a_loop_is_written_out_and_a_branch_taken() -> None:
    float_ = onnx.TensorProto.FLOAT
    body = helper.make_graph(
        [node("Mul", "v v", "w"), node("Identity", "going", "still")],
        "body",
        [
            helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("going", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", float_, [3]),
        ],
        [
            helper.make_tensor_value_info("still", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", float_, [3]),
        ],
    )
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(op, "z", f"{name}_y")], name, [], [helper.make_tensor_value_info(f"{name}_y", float_, [3])]
        )
        for name, op in (("then", "Neg"), ("else", "Sqrt"))
    }
    proto = model(
        [node("Loop", "turns _ x", "z", body=body), node("If", "yes", "y", **branches)],
        {"x": (np.float32, (3,))},
        ["y"],
        {"turns": np.int64(3), "yes": np.array(True)},
    )
    x = np.float32([1, -2, 0.5])
    np.testing.assert_array_equal(at_tensor_level(proto, {"x": x})["y"], -(x**8))


def test_a_branch_that_is_computed_is_selected() -> None:
    float_ = onnx.TensorProto.FLOAT
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(op, "x", f"{name}_y")], name, [], [helper.make_tensor_value_info(f"{name}_y", float_, [3])]
        )
        for name, op in (("then", "Neg"), ("else", "Abs"))
    }
    proto = model([node("If", "c", "y", **branches)], {"c": (np.bool_, ()), "x": (np.float32, (3,))}, ["y"])
    x = np.float32([1, -2, 3])
    for c in (True, False):
        got = at_tensor_level(proto, {"c": np.array(c), "x": x})["y"]
        np.testing.assert_array_equal(got, -x if c else np.abs(x))


def test_ops_that_onnx_defines_by_others_are_written_out() -> None:
    """CenterCropPad has no lowering of its own."""
    proto = model(
        [node("CenterCropPad", "x size", "y", axes=[1])], {"x": (np.float32, (2, 7))}, ["y"], {"size": np.int64([4])}
    )
    x = normal(2, 7)
    np.testing.assert_array_equal(at_tensor_level(proto, {"x": x})["y"], by_reference(proto, {"x": x})["y"])


# -- what cannot be imported -----------------------------------------------------------------------------------


def test_all_that_is_refused_is_said_at_once() -> None:
    """By node, with a remedy; what hangs on a refused node is looked at too."""
    proto = model(
        [
            node("NonZero", "x", "places"),
            node("Dropout", "x _ training", "d"),
            node("MaxPool", "d", "p i", kernel_shape=[2, 2]),
            node("Relu", "p", "y"),
        ],
        {"x": (np.float32, (1, 1, 4, 4))},
        ["y", "i"],
        {"training": np.array(True)},
    )
    with pytest.raises(UnsupportedModel) as refused:
        import_model(proto)
    text = str(refused.value)
    assert "NonZero of places: NonZero: " in text
    assert "Dropout of d: Dropout: it is to drop elements by chance, as in training; export the model for" in text
    assert "MaxPool of p: MaxPool: the places of the maxima have no lowering; leave out the output Indices" in text
    assert "Relu" not in text


def test_an_input_that_decides_about_shapes_is_named_and_can_be_given() -> None:
    proto = model([node("Reshape", "x shape", "y")], {"x": (np.float32, (2, 6)), "shape": (np.int64, (2,))}, ["y"])
    with pytest.raises(UnknownValues, match="Reshape of y: Reshape: the new shape is computed from shape") as refused:
        import_model(proto)
    assert refused.value.names == ("shape",)
    inputs = {"x": normal(2, 6), "shape": np.int64([3, 4])}
    np.testing.assert_array_equal(at_tensor_level(proto, inputs)["y"], inputs["x"].reshape(3, 4))
    found = import_for(proto, inputs)
    with pytest.raises(InputError, match="`shape` has another value than that compiled for"):
        found.host.to_program({**inputs, "shape": np.int64([4, 3])})


def test_open_shapes_are_asked_for_and_taken_from_inputs() -> None:
    proto = model([node("Relu", "x", "y")], {"x": (np.float32, ("batch", 3))}, ["y"])
    with pytest.raises(UnsupportedModel, match=r"input `x` has the shape batchx3: .*--shape NAME="):
        import_model(proto)
    assert at_tensor_level(proto, {"x": normal(5, 3)})["y"].shape == (5, 3)
    assert import_model(proto, {"x": (4, 3)}).host.inputs[0].shape == (4, 3)
    with pytest.raises(InputError, match=r"of shape batchx3 does not take \[4, 5\]"):
        import_model(proto, {"x": (4, 5)})
    with pytest.raises(InputError, match="input `z` is unknown"):
        import_model(proto, {"z": (4, 3)})


# -- the host --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.uint32, np.bool_])
def test_every_integer_type_comes_and_goes(dtype: type) -> None:
    """Also through arithmetic, which wraps in its own width."""
    x = np.array([0, 1, 100, 127], dtype)
    proto = model([node("Identity", "x", "y")], {"x": x}, ["y"])
    np.testing.assert_array_equal(at_tensor_level(proto, {"x": x})["y"], x)
    if dtype is np.bool_:
        return
    proto = model([node("Mul", "x x", "y")], {"x": x}, ["y"])
    got = at_tensor_level(proto, {"x": x})["y"]
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, (x.astype(np.int64) ** 2).astype(dtype))


def test_unsigned_numbers_have_all_of_their_32_bits() -> None:
    x = np.array([0, 5, 2**31, 2**32 - 1], np.uint32)
    proto = model(
        [node("Cast", "x", "f", to=onnx.TensorProto.FLOAT), node("Cast", "f", "y", to=onnx.TensorProto.UINT32),
         node("Div", "x three", "z"), node("Greater", "x three", "g")],
        {"x": x}, ["f", "y", "z", "g"], {"three": np.uint32(3)},
    )  # fmt: skip
    got = at_tensor_level(proto, {"x": x})
    np.testing.assert_array_equal(got["f"], x.astype(np.float32))
    np.testing.assert_array_equal(got["y"][:3], x[:3])
    np.testing.assert_array_equal(got["z"], x // 3)
    np.testing.assert_array_equal(got["g"], x > 3)


def test_numbers_beyond_32_bits_are_refused() -> None:
    proto = model([node("Neg", "x", "y")], {"x": (np.int64, (1,))}, ["y"])
    with pytest.raises(InputError, match="input `x` of int64 has numbers of more than 32 bits"):
        at_tensor_level(proto, {"x": np.int64([2**31])})


def test_all_that_misfits_is_said_at_once() -> None:
    proto = model([node("Add", "a b", "y")], {"a": (np.float32, (2,)), "b": (np.float32, (2,))}, ["y"])
    host = import_model(proto).host
    with pytest.raises(InputError) as refused:
        host.to_program({"a": np.zeros(3, np.float32), "c": np.zeros(2)})
    assert str(refused.value).splitlines() == [
        "input `c` is unknown",
        "input `a` must be 2 of float32, not 3 of float32",
        "input `b` (2 of float32) is missing",
    ]


# -- real graphs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "convolutions"), [("squeezenet", 26), ("resnet50", 53)])
def test_a_network_of_the_package_is_as_short_as_one_by_hand(name: str, convolutions: int) -> None:
    """As many convolutions as layers, batch norms and biases in their maps, and one transpose, at the input."""
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    module = compile(import_model(path, precision="f16").module, until="fuse-maps")
    found = ops(module)
    assert found["conv"] == convolutions
    assert found["transpose"] == 1
    assert found["map"] <= 1.5 * convolutions
