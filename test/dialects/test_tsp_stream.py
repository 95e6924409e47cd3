"""What the stream level refuses to say, each with its reason."""

from __future__ import annotations

import pytest
from tspc.dialects.tsp_stream.types import FlightType, StreamType
from tspc.passes.pipelines import parse
from xdsl.dialects.builtin import i8, i32
from xdsl.utils.exceptions import ParseError, VerifyException

FUNCTION = """
func.func @main(
  %s8: !tsp_stream.stream<4x320xi8>, %s32: !tsp_stream.stream<4x320xi32>, %rows: !tsp_stream.stream<2x16x320xi8>,
  %short: !tsp_stream.stream<4x64xi8>, %many: !tsp_stream.stream<300x320xi8>,
  %w: !tsp_stream.weights<1x32x8xi8>, %w2: !tsp_stream.weights<2x32x8xi8>,
  %h: !tsp_stream.stream<4x320xf16>, %s9: !tsp_stream.stream<9x320xi8>, %m2: !tsp_stream.stream<600x320xi8>
) {{
  %b8 = tsp_stream.buffer "scratch" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
  %b32 = tsp_stream.buffer "scratch" : !tsp_stream.buffer<4x64xi32, words [4 of d0], side [4 of b], lanes [64 of d1]>
  {}
  func.return
}}
"""

S8, S32 = "!tsp_stream.stream<4x320xi8>", "!tsp_stream.stream<4x320xi32>"
B8 = "!tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>"
B32 = "!tsp_stream.buffer<4x64xi32, words [4 of d0], side [4 of b], lanes [64 of d1]>"
MANY = "!tsp_stream.stream<300x320xi8>"
M2 = "!tsp_stream.stream<600x320xi8>"
W, W2 = "!tsp_stream.weights<1x32x8xi8>", "!tsp_stream.weights<2x32x8xi8>"


def check(op: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(FUNCTION.format(op))
    name = next(word for word in op.split() if word.startswith("tsp_stream."))
    assert str(e.value).startswith(f"<text>:10:3: `{name}`: {reason}")


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (f'"inputs" "x" : {B8}', "kind `inputs` is none of input, output, parameter, constant, scratch"),
        (f'"input" "x" value dense<1> : tensor<4x64xi8> : {B8}', "a constant, and nothing else, has a value"),
        (f'"constant" "c" : {B8}', "a constant, and nothing else, has a value"),
        (f'"constant" "c" value "seven" : {B8}', "the value of a constant is dense<...> : tensor<4x64xi8>, not"),
        (
            f'"constant" "c" value dense<1> : tensor<4xi8> : {B8}',
            "the value of a constant is dense<...> : tensor<4x64xi8>, not",
        ),
        (f'"input" "x" as tensor<4x65xi8> : {B8}', "tensor<4x65xi8> has not the elements of tensor<4x64xi8>"),
        (f'"input" "x" as tensor<4x64xi16> : {B8}', "tensor<4x64xi16> has not the elements of tensor<4x64xi8>"),
        (f'"input" "x" chip 1 : {B8}', "chip 1: the system has 1 (target field `system.chips`)"),
        # Layouts.
        (
            '"input" "x" : !tsp_stream.buffer<4x64xi8, words [4 of d2], side [], lanes [64 of d1]>',
            "tensor<4x64xi8> cannot lie so: axis `4 of d2` walks along d2, the tensor has 2 dimensions",
        ),
        (
            '"input" "x" : !tsp_stream.buffer<4x640xi8, words [4 of d0], side [], lanes [640 of d1]>',
            "tensor<4x640xi8> cannot lie so: 640 elements side by side do not fit into 320 lanes",
        ),
        (
            '"input" "x" : !tsp_stream.buffer<4x64xi32, words [4 of d0], side [2 of b], lanes [64 of d1]>',
            "tensor<4x64xi32> cannot lie so: its axes visit 2 bytes of an element of 4",
        ),
        # Places.
        (
            f'"input" "x" place <[E0 to E3]> : {B8}',
            "tensor<4x64xi8> cannot lie so: 1 copies of 1 groups of 1 slices side by side need 1 different slices, got "
            "[E0 to E3]",
        ),
        (
            f'"input" "x" place <[E0 to E2, E2]> : {B32}',
            "tensor<4x64xi32> cannot lie so: 1 copies of 1 groups of 4 slices side by side need 4 different slices, "
            "got [E0 to E2, E2]",
        ),
        (
            f'"input" "x" place <[E0 to E7], parts [0, 2], copies 2> : {B32}',
            "tensor<4x64xi32> cannot lie so: 2 copies of 2 groups of 4 slices side by side need 16 different slices",
        ),
        (
            f'"input" "x" place <[E0, E1], parts [0, 4]> : {B8}',
            "tensor<4x64xi8> cannot lie so: parts start at 0 and ascend below the block's 4 words, not [0, 4]",
        ),
        (
            f'"input" "x" place <[E0, E1], parts [1, 2]> : {B8}',
            "tensor<4x64xi8> cannot lie so: parts start at 0 and ascend below the block's 4 words, not [1, 2]",
        ),
        (
            f'"input" "x" place <[E0, E1], parts [0, 2] in [0, 2]> : {B8}',
            "tensor<4x64xi8> cannot lie so: the 2 parts lie in groups numbered from 0 on, not [0, 2]",
        ),
        (
            f'"input" "x" place <[E41 to E44]> : {B32}',
            "tensor<4x64xi32> cannot lie so: slice E44 is none of the hemispheres' E0..43 and W0..43",
        ),
        (
            f'"input" "x" place <[W0], address 8189> : {B8}',
            "tensor<4x64xi8> cannot lie so: the place ends at word 8193, but a slice has 8192",
        ),
    ],
)
def test_a_buffer_that_makes_no_sense(op: str, reason: str) -> None:
    check(f"%0 = tsp_stream.buffer {op}", reason)


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        # The words of a buffer, and as many vectors.
        (f"%b8 words <1, 4 step 1> : {B8} -> {S8}", "words 1..4 are outside the buffer's 0..3"),
        (f"%b8 words <2, 4 step -1> : {B8} -> {S8}", "words -1..2 are outside the buffer's 0..3"),
        (f"%b8 words <0, 3 step 1> : {B8} -> {S8}", "the pattern visits 3 words, the stream has 4 vectors"),
        # A slice for each byte of the element, or one of them.
        (f"%b32 words <0, 4 step 1> : {B32} -> {S8}", f"{S8} has 1 streams side by side, but 4 slices take part"),
        (
            f"%b32 words <0, 4 step 1> byte 0 : {B32} -> {S32}",
            f"{S32} has 4 streams side by side, but 1 slices take part",
        ),
        (f"%b32 words <0, 4 step 1> byte 4 : {B32} -> {S8}", "byte 4 is outside the element's 0..3"),
        (
            f"%b8 words <0, 4 step 1> : {B8} -> !tsp_stream.stream<4x64xi8>",
            "!tsp_stream.stream<4x64xi8> has vectors of 64 lanes, the chip has 320",
        ),
        # Streams come in groups.
        (
            f"%b32 words <0, 4 step 1> on 2 : {B32} -> {S32}",
            "stream 2: a group of 4 starts at a multiple of it in 0..28",
        ),
        (
            f"%b32 words <0, 4 step 1> on 32 : {B32} -> {S32}",
            "stream 32: a group of 4 starts at a multiple of it in 0..28",
        ),
        (f'%b8 words <0, 4 step 1> toward "N" : {B8} -> {S8}', 'direction "N" is neither E nor W'),
    ],
)
def test_a_read_that_makes_no_sense(op: str, reason: str) -> None:
    check(f"%0 = tsp_stream.read {op}", reason)


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (f"tsp_stream.write %s8 to %b8 words <4, 4 step 0> : {S8}, {B8}", "words 4..4 are outside the buffer's 0..3"),
        (
            f"tsp_stream.write %s8 to %b32 words <0, 4 step 1> : {S8}, {B32}",
            f"{S8} has 1 streams side by side, but 4 slices take part",
        ),
        # Weights.
        (
            "%0 = tsp_stream.load_weights %rows : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.weights<1x33x8xi8>",
            "a plane holds 320 x 320 weights in groups of 16 rows, not 33 x 8",
        ),
        (
            "%0 = tsp_stream.load_weights %rows : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.weights<1x32x321xi8>",
            "a plane holds 320 x 320 weights in groups of 16 rows, not 32 x 321",
        ),
        (
            "%0 = tsp_stream.load_weights %rows : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.weights<2x32x8xi8>",
            f"{W2} come as !tsp_stream.stream<4x16x320xi8>, not !tsp_stream.stream<2x16x320xi8>",
        ),
        (
            "%0 = tsp_stream.load_weights %rows : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.weights<1x32x8xi16>",
            "weights are i8 or f16, not i16",
        ),
        (
            f"%0 = tsp_stream.load_weights %rows plane 4 : !tsp_stream.stream<2x16x320xi8> -> {W}",
            "plane 4: the chip has 0..3",
        ),
        (
            "%0 = tsp_stream.load_weights %rows plane 1 : !tsp_stream.stream<2x16x320xi8> -> "
            "!tsp_stream.weights<1x16x8xf16>",
            "plane 1 is not the first of a pair",
        ),
        (
            f"%0 = tsp_stream.load_weights %rows : !tsp_stream.stream<2x16x320xi8> -> {W}\n"
            f"%1 = tsp_stream.matmul %s8, %0 : {S8}, {W} -> {S32}\n%2 = tsp_stream.matmul %s8, %0 : {S8}, {W} -> {S32}",
            "weights are used by one product; load them once for each",
        ),
        # Products.
        (
            f"%0 = tsp_stream.matmul %s32, %w : {S32}, {W} -> {S32}",
            f"i8 gives i32 and f16 gives f32, not {S32} gives {S32}",
        ),
        (
            f"%0 = tsp_stream.matmul %h, %w : !tsp_stream.stream<4x320xf16>, {W} -> !tsp_stream.stream<4x320xf32>",
            f"activations !tsp_stream.stream<4x320xf16> do not meet weights {W}",
        ),
        (
            f"%0 = tsp_stream.matmul %s9, %w2 : !tsp_stream.stream<9x320xi8>, {W2} -> {S32}",
            "9 vectors, 2 passes of weights and 4 sums do not fit: each pass takes as many vectors as there are sums",
        ),
        (
            f"%0 = tsp_stream.matmul %s8, %w2 : {S8}, {W2} -> {S32}",
            "4 vectors, 2 passes of weights and 4 sums do not fit: each pass takes as many vectors as there are sums",
        ),
        (f"%0 = tsp_stream.matmul %s8, %w plane 9 : {S8}, {W} -> {S32}", "plane 9: the chip has 0..3"),
        (
            f"%0 = tsp_stream.matmul %m2, %w2 : {M2}, {W2} -> !tsp_stream.stream<300x320xi32>",
            "300 sums over several passes do not fit into 256 accumulators",
        ),
        # Links.
        (
            f"%0 = tsp_stream.send %s32 link 0 : {S32} -> !tsp_stream.flight<4x320xi32>",
            f"a link carries one vector at a time, {S32} has 4 side by side",
        ),
        (f"%0 = tsp_stream.send %s8 link 16 : {S8} -> !tsp_stream.flight<4x320xi8>", "link 16: a chip has 0..15"),
    ],
)
def test_an_op_that_makes_no_sense(op: str, reason: str) -> None:
    check(op, reason)


@pytest.mark.parametrize(
    ("head", "region", "reason"),
    [
        (
            f"%s8 : ({S8}) -> {S32}",
            "^bb0(%a: i32): tsp_stream.yield %a : i32",
            f"input {S8} does not fit result {S32} and argument i32",
        ),
        (
            f"%s32 : ({S32}) -> {S32}",
            "^bb0(%a: i32, %b: i32): tsp_stream.yield %a : i32",
            "1 inputs but 2 region arguments",
        ),
        (
            f"%s32 : ({S32}) -> {S8}",
            "^bb0(%a: i32): tsp_stream.yield %a : i32",
            f"the region yields i32, the stream is {S8}",
        ),
        (
            "%short : (!tsp_stream.stream<4x64xi8>) -> !tsp_stream.stream<4x64xi8>",
            "^bb0(%a: i8): tsp_stream.yield %a : i8",
            "!tsp_stream.stream<4x64xi8> has vectors of 64 lanes, the chip has 320",
        ),
        (
            f"%s32 alus [0, 0] : ({S32}) -> {S32}",
            "^bb0(%a: i32): %b = arith.addi %a, %a : i32 %c = arith.addi %b, %b : i32 tsp_stream.yield %c : i32",
            "2 ops need as many different ALUs, got [0, 0]",
        ),
        (
            f"%s32 alus [16] : ({S32}) -> {S32}",
            "^bb0(%a: i32): %b = arith.addi %a, %a : i32 tsp_stream.yield %b : i32",
            "ALUs [16]: the chip has 0..15",
        ),
        (
            f"%s32 : ({S32}) -> {S32}",
            "^bb0(%a: i32): %b = arith.divsi %a, %a : i32 tsp_stream.yield %b : i32",
            "no ALU executes `arith.divsi`; there are arith.constant, arith.addi",
        ),
    ],
)
def test_a_region_that_makes_no_sense(head: str, region: str, reason: str) -> None:
    check(f"%0 = tsp_stream.vxm {head} {{ {region} }}", reason)


@pytest.mark.parametrize("cls", [StreamType, FlightType])
def test_types_are_equal_when_their_tensors_are(cls: type[StreamType | FlightType]) -> None:
    assert cls.of((4, 320), i8) == cls.of((4, 320), i8)
    assert cls.of((4, 320), i8) != cls.of((5, 320), i8)
    assert cls.of((4, 320), i8) != cls.of((4, 320), i32)
    assert len({cls.of((n, 320), i8) for n in (1, 2, 2)}) == 2


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("!tsp_stream.stream<4x320xi64>", "element type i64 is none of i8, i16, i32, f16, f32"),
        ("!tsp_stream.stream<0x320xi8>", "dimensions are static and at least 1"),
        ("!tsp_stream.stream<320xi8>", "a stream is vectors x lanes, or vectors x side by side x lanes"),
        (
            "!tsp_stream.buffer<4x?xi8, words [4 of d0], side [], lanes [4 of d1]>",
            "cannot lie in SRAM: dimensions are static and at least 1",
        ),
        (
            "!tsp_stream.buffer<4x4xi1, words [4 of d0], side [], lanes [4 of d1]>",
            "cannot lie in SRAM: .* elements i8, i16, i32, f16 or f32",
        ),
        ("!tsp_stream.buffer<4x4xi8, words [4 of e0], side [], lanes []>", "expected a dimension: d0, d1, ... or b"),
        ("!tsp_stream.weights<32x8xi8>", "weights are passes x rows x lanes"),
    ],
)
def test_a_type_that_makes_no_sense(type_: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse(f"func.func @main(%a: {type_}) {{ func.return }}")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("<rows>", "'[' expected"),
        ("<[N0]>", "expected a slice such as E4 or W12"),
        ("<[E]>", "expected a slice such as E4 or W12"),
        ("<[]>", "need 1 different slices, got []"),
        ("<[E3 to E1]>", "slices E3 to E1 are no run of one hemisphere below 65536"),
        ("<[E0 to W1]>", "slices E0 to W1 are no run of one hemisphere below 65536"),
        ("<[E0 to E99999]>", "slices E0 to E99999 are no run of one hemisphere below 65536"),
        ("<[E0], copies 0>", "0 copies; give at least 1"),
        ("<[E0], adress 0>", "Expected 'address'"),
    ],
)
def test_a_place_that_makes_no_sense(place: str, reason: str) -> None:
    with pytest.raises((ParseError, VerifyException)) as e:
        parse(FUNCTION.format(f'%0 = tsp_stream.buffer "input" "x" place {place} : {B8}'))
    assert reason in str(e.value)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ("%b = arith.constant true tsp_stream.yield %a : i32", "`arith.constant` has a value of i1; ALUs know i8"),
        (
            "%b = arith.addi %a, %a : i32 tsp_stream.yield %a : i32",
            "nothing uses the result of `arith.addi`; leave it out",
        ),
        (
            "%b = arith.sitofp %a : i32 to f32 %c = tsp_stream.add_sat %b, %b : f32 "
            "%d = tsp_stream.convert %c : f32 -> i32 tsp_stream.yield %d : i32",
            "`tsp_stream.add_sat` takes i8, i16, i32, not f32",
        ),
        ("%b = arith.cmpi eq, %a, %a : i32 tsp_stream.yield %a : i32", "no ALU executes `arith.cmpi`; there are"),
    ],
)
def test_what_no_alu_does(region: str, reason: str) -> None:
    check(f"%0 = tsp_stream.vxm %s32 : ({S32}) -> {S32} {{ ^bb0(%a: i32): {region} }}", reason)


def test_a_relation_that_is_none() -> None:
    region = '%b = tsp_stream.compare "olt" %a, %a : i32 -> i8 tsp_stream.yield %b : i8'
    with pytest.raises(VerifyException, match="relation `olt` is none of eq, ne, lt, le, gt, ge"):
        parse(FUNCTION.format(f"%0 = tsp_stream.vxm %s32 : ({S32}) -> {S8} {{ ^bb0(%a: i32): {region} }}"))


ROWS16 = "!tsp_stream.stream<2x16x320xi8>"


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (f'shift %s32 by 1 "up" : {S32} -> {S32}', f"{S32} is not one stream of i8; move a wider element byte by byte"),
        (f'shift %s8 by 1 "left" : {S8} -> {S8}', 'way "left" is neither up nor down'),
        (f'shift %s8 by 4096 "up" : {S8} -> {S8}', "by 4096 lanes; an instruction says 0..4095"),
        (f'shift %s8 by 1 "up" side "N" : {S8} -> {S8}', 'side "N" is neither E nor W'),
        (f'shift %s8 by 1 "up" toward "N" : {S8} -> {S8}', 'direction "N" is neither E nor W'),
        (f'shift %many by 1 "up" : {MANY} -> {S8}', f"{MANY} and {S8} have different numbers of vectors"),
        (f"lane_select %s8, %s8, %s32 : {S8}, {S8}, {S32} -> {S8}", f"{S32} is not one stream of i8"),
        (f"permute %s8 by %s8 : {S8}, {S8} -> {S8}", f"the map is a stream of i16, not {S8}"),
        (f"distribute %s8 by %s32 : {S8}, {S32} -> {S8}", f"{S32} is not one stream of i8"),
        (f"rotate %rows : {ROWS16} -> {ROWS16}", f"{ROWS16} is not 3 or 4 vectors of i8 side by side"),
        (f"transpose %s8 : {S8} -> {S8}", f"{S8} is not 16 vectors of i8 side by side"),
        (f"transpose %rows unit 2 : {ROWS16} -> {ROWS16}", "unit 2: a side has transposers 0..1"),
        (f"part %rows[16] : {ROWS16} -> {S8}", f"{ROWS16} has no vector 16 side by side"),
        (f"part %s8[0] : {S8} -> {S8}", f"{S8} has no vector 0 side by side"),
        (f"part %rows[3] : {ROWS16} -> {S8}", f"a vector of {ROWS16} is !tsp_stream.stream<2x320xi8>, not {S8}"),
    ],
)
def test_a_move_between_lanes_that_makes_no_sense(op: str, reason: str) -> None:
    check(f"%0 = tsp_stream.{op}", reason)


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (
            f"%0 = tsp_stream.gather %s32, %b8 words <0, 4 step 1> : {S32}, {B8} -> {S8}",
            f"the map of {S8} is one stream of i8 with as many vectors, not {S32}",
        ),
        (
            f"%0 = tsp_stream.gather %s8, %b8 words <0, 300 step 0> : {S8}, {B8} -> {MANY}",
            f"the map of {MANY} is one stream of i8 with as many vectors, not {S8}",
        ),
        (
            f"%0 = tsp_stream.gather %s8, %b32 words <0, 4 step 1> : {S8}, {B32} -> {S8}",
            f"{S8} has 1 streams side by side, but 4 slices take part",
        ),
        (
            f"%0 = tsp_stream.gather %s8, %b8 words <1, 4 step 1> : {S8}, {B8} -> {S8}",
            "words 1..4 are outside the buffer's 0..3",
        ),
        (
            f"tsp_stream.scatter %s8, %s32 to %b32 words <0, 4 step 1> byte 1 : {S8}, {S32}, {B32}",
            f"{S32} has 4 streams side by side, but 1 slices take part",
        ),
    ],
)
def test_a_gather_or_scatter_that_makes_no_sense(op: str, reason: str) -> None:
    check(op, reason)
