"""Windows and padding of any size: the same bits before and after canonicalization, few steps, and no work for padding.

Pixel by pixel, the tensor level is held against its definition in test/dialects/semantics; here against that level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, module_of, random_array, tensor_type
from tspc.dialects.errors import CapacityError, UnsupportedModel
from tspc.dialects.verify import verify_module
from tspc.passes.pipelines import PASSES, compile, make_context, parse
from tspc.passes.stream.schedule.account import scheduled_length
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp

FAR = 1_000_000


def type_of(shape: Sequence[int], element: str) -> str:
    return f"tensor<{''.join(f'{d}x' for d in shape)}{element}>"


class Windowed:
    """A convolution or a pool as text, with its operands."""

    def __init__(
        self,
        op: str,
        operands: Sequence[Array],
        kernel: Sequence[int],
        strides: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
        element: str = "",
    ):
        self.operands = operands
        n, height, width, channels = operands[0].shape
        places = [
            (size + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i, size in enumerate((height, width))
        ]
        properties = f"strides {[*strides]} pads {[*pads]} dilations {[*dilations]}"
        types = ", ".join(map(tensor_type, operands))
        if op == "conv":
            self.result = type_of((n, *places, operands[1].shape[3]), "i32" if operands[0].itemsize == 1 else "f32")
            self.text = f"%y = tsp_tensor.conv %a, %b {properties} : {types} -> {self.result}"
        else:
            of = next(name for name, dtype in DTYPES.items() if dtype == operands[0].dtype)
            self.result = type_of((n, *places, channels), element or of)
            self.text = f'%y = tsp_tensor.pool "{op}" %a window {[*kernel]} {properties} : {types} -> {self.result}'

    @property
    def module(self) -> ModuleOp:
        return parse(module_of(self.text, self.operands, self.result))

    def run(self, module: ModuleOp) -> Array:
        """What a module at the tensor level gives."""
        return run_module(module, dict(zip("ab", self.operands, strict=False)), {}).outputs["y"]

    def compiled(self) -> tuple[Array, int]:
        """What the compiled program gives, and its cycles."""
        executable = executable_from_module(compile(self.module), {})
        got, _ = Loaded(executable, JitEngine()).run(dict(zip("ab", self.operands, strict=False)))
        return got["y"], executable.program.cycles


@st.composite
def windows(draw: st.DrawFn) -> Windowed:
    """Of all sorts: many meet padding alone, or have a single place, or taps further apart than the image is wide."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    op, element = draw(st.sampled_from(("max", "sum", "conv"))), draw(st.sampled_from(sorted(DTYPES)))
    size = [draw(st.integers(1, 8)) for _ in "rc"]
    kernel, strides = [draw(st.integers(1, 6)) for _ in "rc"], [draw(st.sampled_from((1, 1, 2, 3, 30))) for _ in "rc"]
    dilations, pads = [draw(st.sampled_from((1, 1, 2, 3, 9))) for _ in "rc"], [0] * 4
    for d in range(2):
        if draw(st.integers(0, 3)) == 0:
            kernel[d], dilations[d] = size[d], 1
        extent = dilations[d] * (kernel[d] - 1) + 1
        reach = st.sampled_from((0, 0, 1, 2, extent - 1, extent + 3, 60))
        pads[d], pads[d + 2] = draw(reach), draw(reach)
        pads[d + 2] = max(pads[d + 2], extent - size[d] - pads[d])
    channels, wide = draw(st.integers(1, 3)), ""
    element = element if op != "conv" else draw(st.sampled_from(("i8", "f16")))
    operands = [random_array(rng, (draw(st.integers(1, 2)), *size, channels), element)]
    if op == "conv":
        operands.append(random_array(rng, (*kernel, channels, 2), element))
    elif op == "sum" and element in ("i8", "i16"):
        wide = draw(st.sampled_from((element, "i32")))
    return Windowed(op, operands, kernel, strides, pads, dilations, wide)


QUIET = settings(deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])


@settings(QUIET, max_examples=150)
@given(windows())
def test_canonicalization_changes_no_bit(window: Windowed) -> None:
    """Infinities and NaNs in weights that meet padding, zeros of either sign and the payloads of NaN included."""
    module = window.module
    expected = window.run(module)
    PASSES["tsp-tensor-canonicalize"]()().apply(make_context(), module)
    verify_module(module)
    assert_bits(window.run(module), expected)


@settings(QUIET, max_examples=30)
@given(windows())
def test_compiled_windows(window: Windowed) -> None:
    assert_bits(window.compiled()[0], window.run(window.module))


@pytest.mark.parametrize("element", ["i8", "i16", "i32", "f16", "f32"])
@pytest.mark.parametrize("kernel", [(1, 18), (15, 15), (3, 40)])
def test_sides_longer_than_a_chain_of_alus(kernel: tuple[int, int], element: str) -> None:
    x = random_array(np.random.default_rng(5), (1, 18, 40, 3), element)
    for op in ("max", "sum") if element[0] == "i" else ("max",):
        window = Windowed(op, [x], kernel, (2, 1), (3, 0, 1, 5))
        assert_bits(window.compiled()[0], window.run(window.module))


def cycles(text: str, x: Array, result: str) -> int:
    return scheduled_length(compile(parse(module_of(text, [x], result)), until="stream-schedule"))


@pytest.mark.parametrize(("kind", "element"), [("max", "i8"), ("sum", "i8"), ("max", "f32"), ("sum", "i32")])
def test_a_window_that_spans_the_image_is_a_reduction(kind: str, element: str) -> None:
    """With padding too: a window of 30 x 30 on an image of 28 x 28 with one pixel around it."""
    x, result = np.zeros((1, 28, 28, 4), DTYPES[element]), type_of((1, 1, 1, 4), element)
    reduced = cycles(f'%y = tsp_tensor.reduce "{kind}" %a axes [1, 2] : {tensor_type(x)} -> {result}', x, result)
    for kernel, pad in ((28, 0), (30, 1)):
        window = Windowed(kind, [x], (kernel, kernel), pads=(pad,) * 4)
        assert cycles(window.text, x, result) == reduced


def test_floating_point_sums_over_the_image_too() -> None:
    x, result = np.zeros((1, 6, 5, 4), np.float32), type_of((1, 1, 1, 4), "f32")
    reduced = cycles(f'%y = tsp_tensor.reduce "sum" %a axes [1, 2] : {tensor_type(x)} -> {result}', x, result)
    assert cycles(Windowed("sum", [x], (6, 5)).text, x, result) == reduced


def test_long_windows_take_few_steps() -> None:
    """Over 64 of 128 columns: of 4 neighbours, of 4 of these, and of 4 of those."""
    x = np.zeros((1, 1, 128, 64), np.int8)
    window = Windowed("max", [x], (1, 64))
    module = compile(window.module, until="convert-tensor-to-stream")
    assert Counter(op.name for op in module.walk())["tsp_stream.vxm"] == 3
    assert cycles(window.text, x, window.result) == 299


@pytest.mark.parametrize(("side", "length"), [(3, 657), (7, 1261), (13, 1476)])
def test_cycles_of_sliding_windows(side: int, length: int) -> None:
    """On 28 x 28 pixels of 64 channels, each dimension in one step, two or three."""
    x = np.zeros((1, 28, 28, 64), np.int8)
    window = Windowed("max", [x], (side, side), pads=(side // 2,) * 4)
    assert cycles(window.text, x, window.result) == length


# -- padding -----------------------------------------------------------------------------------------------------------


def far(element: str) -> list[Windowed]:
    """Windows in a million pixels of padding."""
    x = random_array(np.random.default_rng(1), (1, 4, 4, 3), element, wild=False)
    w = random_array(np.random.default_rng(2), (3, 3, 3, 2), element, wild=False)
    one = x[:, :1, :1]
    pools = [
        Windowed(kind, [x], *numbers)
        for kind in ("max", "sum")
        for numbers in (
            ((2 * FAR + 1,) * 2, (1, 1), (FAR,) * 4),
            ((3, 3), (1, 1), (FAR,) * 4, (FAR, FAR)),
            ((2, 2), (FAR, FAR), (FAR,) * 4, (2 * FAR, 2 * FAR)),
        )
    ]
    convolutions = [
        Windowed("conv", [one, w[:1, :1]], (1, 1), (2 * FAR, 2 * FAR), (FAR,) * 4),
        Windowed("conv", [x, w], (3, 3), (1, 1), (FAR,) * 4, (FAR, FAR)),
        Windowed("conv", [x, w], (3, 3), (FAR, FAR), (FAR + 1, FAR + 2, FAR + 3, FAR)),
    ]
    return [*pools, *convolutions]


@pytest.mark.parametrize("element", ["i8", "f16"])
def test_padding_that_few_places_meet(element: str) -> None:
    """Would take a day if it were made: 4 * 10^12 pixels."""
    for window in far(element):
        got, length = window.compiled()
        assert_bits(got, window.run(window.module))
        assert length < 1500


def test_a_slice_of_padding() -> None:
    """Of 2 * 10^18 elements, those that are shown."""
    x = random_array(np.random.default_rng(1), (4, 5), "i8")
    whole = f"tensor<{2 * 10**9 + 4}x{10**9 + 7}xi8>"
    pad = (
        f"%p = tsp_tensor.pad %a low [{10**9}, 2] high [{10**9}, {10**9}] value 3 : i8 : {tensor_type(x)} -> {whole}\n"
    )
    around = np.pad(x, ((2, 8), (2, 0)), constant_values=3)[0:8:2, 1:6]
    for first, expected in ((10**9 - 2, around), (7, np.full((4, 5), 3, np.int8))):
        text = f"{pad}%y = tsp_tensor.slice %p [{first}, 1] [4, 5] [2, 1] : {whole} -> {tensor_type(x)}"
        module = parse(module_of(text, [x], tensor_type(x)))
        assert_bits(run_module(module, {"a": x}, {}).outputs["y"], expected)
        got, _ = Loaded(executable_from_module(compile(module), {}), JitEngine()).run({"a": x})
        assert_bits(got["y"], expected)


def test_padding_before_a_window_is_its_own() -> None:
    x = random_array(np.random.default_rng(1), (1, 4, 4, 3), "i8")
    own = Windowed("max", [x], (3, 3), pads=(1, 2, 1, 2))
    pad = "%p = tsp_tensor.pad %a low [0, 1, 2, 0] high [0, 1, 2, 0] value -128 : i8"
    text = f"""{pad} : {tensor_type(x)} -> tensor<1x6x8x3xi8>
        %y = tsp_tensor.pool "max" %p window [3, 3] : tensor<1x6x8x3xi8> -> {own.result}"""
    modules = [parse(module_of(text, [x], own.result)), own.module]
    for module in modules:
        PASSES["tsp-tensor-canonicalize"]()().apply(make_context(), module)
    assert str(modules[0]) == str(modules[1])


def test_what_no_chip_can_hold_is_refused_at_every_level() -> None:
    x, whole, size = np.zeros((4, 5), np.int8), "tensor<2147483646x5xi8>", 5 * 2147483646
    numbers = "low [2, 0] high [2147483640, 0] value 3 : i8"
    text = f"%y = tsp_tensor.pad %a {numbers} : {tensor_type(x)} -> {whole}"
    module = parse(module_of(text, [x], whole))
    reason = f"`tsp_tensor.pad`: .* has {size} bytes, the SRAM of a chip 230686720: {size - 230686720} too many"
    with pytest.raises(CapacityError, match=reason):
        run_module(module, {"a": x}, {})
    with pytest.raises(CapacityError, match=reason):
        compile(module)


def test_sums_of_too_many_floats_are_refused() -> None:
    x = np.zeros((1, 100, 100, 1), np.float32)
    with pytest.raises(UnsupportedModel, match=r"adds 9801 floating-point numbers .*, 1609 more than 8192; pool with"):
        compile(Windowed("sum", [x], (99, 99)).module)
