"""Constants keep all bits, at every level and from text to text; and resources of the file are constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import ENGINES, same_bits
from tspc.dialects.literals import dense_value
from tspc.dialects.tsp_tensor import ConstantOp
from tspc.dialects.verify import verify_module
from tspc.passes.pipelines import STAGES, compile, parse
from tspc.runtime.container import from_bytes, to_bytes
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import BytesAttr, DenseIntOrFPElementsAttr
from xdsl.utils.exceptions import ParseError, VerifyException

Array = npt.NDArray[Any]

F32 = np.array([0x7FA00001, 0x7F800001, 0xFFFFFFFF, 0x7FC00000, 0xFF800000, 0x80000000, 0x3F800000], "<u4")
F16 = np.array([0x7D01, 0x7C01, 0xFFFF, 0x7E00, 0xFC00, 0x8000, 0x3C00], "<u2")
"""A signalling NaN, the least one, a quiet negative one, the canonical one, -infinity, -0, 1."""


def constant(literal: str) -> Array:
    """The value of `dense<literal type>`."""
    module = parse(f"func.func @main() {{ %c = tsp_tensor.constant {literal} func.return }}")
    return dense_value(next(op for op in module.walk() if isinstance(op, ConstantOp)).value)


# -- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("element", "bits"), [("f32", F32), ("f16", F16)], ids=["f32", "f16"])
def test_hexadecimal_elements_are_bits(element: str, bits: Array) -> None:
    listed = ", ".join(f"0x{int(b):X}" for b in bits)
    raw = bits.tobytes()
    assert constant(f"dense<[{listed}]> : tensor<7x{element}>").tobytes() == raw
    assert constant(f'dense<"0x{raw.hex()}"> : tensor<7x{element}>').tobytes() == raw
    first = raw[: bits.itemsize]
    assert constant(f"dense<0x{int(bits[0]):X}> : tensor<2x3x{element}>").tobytes() == first * 6
    assert constant(f'dense<"0x{first.hex()}"> : tensor<2x3x{element}>').tobytes() == first * 6
    mixed = constant(f"dense<[1.0, 0x{int(bits[0]):X}, 2.0]> : tensor<3x{element}>")
    assert mixed[1:2].tobytes() == first
    assert list(mixed[::2]) == [1, 2]


REFUSED = {
    "dense<300> : tensor<2xi8>": "1:52: 300 is outside i8",
    "dense<[1, -129]> : tensor<2xi8>": "1:56: -129 is outside i8",
    "dense<1.0e6> : tensor<2xf16>": "1:52: 1.0e6 is outside f16; infinities are written as their bits",
    "dense<-1.0e300> : tensor<2xf32>": "1:52: -1.0e300 is outside f32",
    "dense<0x10000> : tensor<2xf16>": "1:52: 0x10000 has more bits than f16",
    'dense<"7FC00000"> : tensor<1xf32>': '1:51: the hexadecimal string of a dense literal begins with "0x"',
    'dense<"0x7FC0"> : tensor<1xf32>': "Shape mismatch in dense literal",
    "dense_resource<w> : tensor<1xf32>": "1:61: the file has no resource `w`; print it with the section",
}


@pytest.mark.parametrize("literal", REFUSED)
def test_literals_that_are_none_name_the_place(literal: str) -> None:
    with pytest.raises(ParseError) as error:
        constant(literal)
    message = f"{str(error.value).splitlines()[0].removeprefix('<text>:')}: {error.value.msg}"
    assert REFUSED[literal] in message


def test_a_scalar_that_cannot_hold_a_payload_is_refused() -> None:
    """xDSL holds a scalar as a Python float. Which payloads survive that is the interpreter's affair; none is lost."""
    for bits, element in ((0x7E01, "f16"), (0x7C01, "f16"), (0x7F800001, "f32")):
        text = f"func.func @main() {{ %c = arith.constant 0x{bits:X} : {element} func.return }}"
        try:
            assert f"0x{bits:x} : {element}" in str(parse(text))
        except ParseError as e:
            assert f"a scalar of {element} does not keep the payload of NaN 0x{bits:X}, which would" in e.msg
    assert "0x7e00 : f16" in str(parse("func.func @main() { %c = arith.constant 0x7E00 : f16 func.return }"))
    assert "0xffc00123 : f32" in str(parse("func.func @main() { %c = arith.constant 0xFFC00123 : f32 func.return }"))


def test_a_scalar_out_of_range_is_named() -> None:
    for literal in ("300 : i8", "1.0e40 : f32", "0x1FFFFFFFF : f32"):
        with pytest.raises(ParseError, match=f"`{literal}` is out of range; write a number that the type has"):
            parse(f"func.func @main() {{ %c = arith.constant {literal} func.return }}")


def test_a_literal_that_code_builds_has_the_bytes_of_its_type() -> None:
    module = parse("func.func @main() { %c = tsp_tensor.constant dense<1> : tensor<4xi8> func.return }")
    op = next(op for op in module.walk() if isinstance(op, ConstantOp))
    op.properties["value"] = DenseIntOrFPElementsAttr(op.value.type, BytesAttr(b"\1"))
    with pytest.raises(VerifyException, match="a literal of 1 bytes; tensor<4xi8> has 4"):
        verify_module(module)


# -- every level ---------------------------------------------------------------------------------------------------

MOVED = """func.func @main(%x: tensor<7xf32>)
    -> (tensor<7xf32>, tensor<7xf16>, tensor<2x3xf32>, tensor<9xf16>, tensor<7xf32>) {
  %a = tsp_tensor.constant dense<"0xF32"> : tensor<7xf32>
  %b = tsp_tensor.constant dense<"0xF16"> : tensor<7xf16>
  %s = tsp_tensor.constant dense<0x7FA00001> : tensor<2x3xf32>
  %p = tsp_tensor.pad %b low [1] high [1] value 0xFC00 : f16 : tensor<7xf16> -> tensor<9xf16>
  %m = tsp_tensor.map %x, %a : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xf32> {
  ^bb0(%v: f32, %c: f32):
    %k = arith.constant 0xFFC00123 : f32
    %less = arith.cmpf olt, %v, %v : f32
    %q = arith.cmpf oeq, %v, %k : f32
    %n = arith.select %less, %k, %c : f32
    %r = arith.select %q, %n, %k : f32
    %any = arith.cmpf oeq, %v, %v : f32
    %t = arith.select %any, %n, %r : f32
    tsp_tensor.yield %t : f32
  }
  func.return %a, %b, %s, %p, %m : tensor<7xf32>, tensor<7xf16>, tensor<2x3xf32>, tensor<9xf16>, tensor<7xf32>
}""".replace("0xF32", f"0x{F32.tobytes().hex()}").replace("0xF16", f"0x{F16.tobytes().hex()}")
"""Constants that are returned, padded, and chosen by a select: the second where x is a NaN, the first elsewhere."""


def test_constants_keep_their_bits_at_every_level_and_from_text_to_text() -> None:
    x = np.array([0, 1, np.nan, 2, np.nan, 3, 4], np.float32)
    border = np.array([0xFC00], "<u2")
    expected = {
        "result0": F32.view(np.float32),
        "result1": F16.view(np.float16),
        "result2": np.full((2, 3), 0x7FA00001, np.uint32).view(np.float32),
        "result3": np.concatenate([border, F16, border]).view(np.float16),
        "result4": np.where(np.isnan(x), np.uint32(0xFFC00123), F32).astype(np.uint32).view(np.float32),
    }
    text = MOVED
    for stage in (None, *STAGES):
        text = compile(text, stage) if stage else str(parse(text))
        if stage in (
            None,
            "tsp-tensor-canonicalize",
            "convert-tensor-to-stream",
            "convert-stream-to-isa",
            "isa-verify",
        ):
            assert same_bits(run_module(parse(text), {"arg0": x}, {}).outputs, expected), stage
    executable = from_bytes(to_bytes(executable_from_module(parse(text), {})))
    for engine in ENGINES.values():
        assert same_bits(Loaded(executable, engine()).run({"arg0": x})[0], expected)


# -- resources -----------------------------------------------------------------------------------------------------

RESOURCE = """func.func @main() -> tensor<2xi16> {{
  %c = tsp_tensor.constant dense_resource<{key}> : tensor<2xi16>
  func.return %c : tensor<2xi16>
}}
{{-#
  dialect_resources: {{ builtin: {{ other: "0x00", {key}: "{blob}" }} }},
  external_resources: {{ mlir_reproducer: {{ pipeline: "builtin.module()", disable_threading: true }} }}
#-}}"""


@pytest.mark.parametrize("key", ["w", '"layer 1"'])
def test_a_resource_of_the_file_is_a_constant(key: str) -> None:
    text = RESOURCE.format(key=key, blob="0x020000000100FEFF")
    for _ in range(2):  # one text leaves nothing behind for the next
        assert "tsp_tensor.constant dense<[1, -2]> : tensor<2xi16>" in str(parse(text))


@pytest.mark.parametrize("blob", ["0x0200000001", "0x020000000100FEF", "020000000100FEFF", "0x020000000100FEFF00", ""])
def test_a_resource_of_another_size_is_refused(blob: str) -> None:
    with pytest.raises(
        ParseError, match=r'resource `w` is not a string "0x\.\.\.", in hexadecimal, of 4 bytes of alignment'
    ):
        parse(RESOURCE.format(key="w", blob=blob))
