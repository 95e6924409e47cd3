"""Where words are few: what is spared, that the bits stay, and how full a chip becomes before a program is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from harness import same_bits
from tensors import Array, module_of, random_array, tensor_type
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import CapacityError
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import STAGES, compile, make_context, parse
from tspc.passes.stream.analysis.timing import place_of
from tspc.passes.stream.placement.stream_allocate import holds_weights
from tspc.passes.tensor.lowering.convert_tensor_to_stream import ConvertTensorToStreamPass
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor
from xdsl.dialects.builtin import ModuleOp


def module(text: str, chip: ChipSpec) -> ModuleOp:
    parsed = parse(text)
    parsed.attributes[TARGET] = TargetAttr(SystemSpec(chip))
    return parsed


def lowered(text: str, chip: ChipSpec, tight: int) -> ModuleOp:
    made = module(text, chip)
    for stage in list(STAGES)[: list(STAGES).index("convert-tensor-to-stream")]:
        STAGES[stage]()().apply(make_context(), made)
    ConvertTensorToStreamPass(tight=tight).apply(make_context(), made)
    return made


def buffers(made: ModuleOp) -> list[ts.BufferOp]:
    return [op for op in made.walk() if isinstance(op, ts.BufferOp)]


def weights_of(made: ModuleOp) -> list[int]:
    """The words of all buffers from which planes load."""
    return [b.type.layout.depth for b in buffers(made) if holds_weights(b)]


def product(m: int, k: int, n: int) -> str:
    x, w, y = f"tensor<{m}x{k}xi8>", f"tensor<{k}x{n}xi8>", f"tensor<{m}x{n}xi32>"
    return f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}) -> ({y} {{tsp_tensor.name = "y"}}) {{
      %w = tsp_tensor.parameter "w" : {w}
      %y = tsp_tensor.matmul %x, %w : {x}, {w} -> {y}
      func.return %y : {y}
    }}"""


def test_weights_lie_once_for_both_hemispheres() -> None:
    """All four planes multiply rows by one tile: each pass takes the rows of a plane or more than its 20 words."""
    assert weights_of(lowered(product(2000, 320, 320), ChipSpec(), tight=0)) == [20, 20]
    assert weights_of(lowered(product(2000, 320, 320), ChipSpec(), tight=1)) == [20]


def test_long_weights_are_cut_into_tiles() -> None:
    """With 4 tiles of 2 passes: a plane's own two in one block, or where slices have few words each by itself."""
    text = product(1, 640, 8 * 320)
    assert weights_of(lowered(text, ChipSpec(), tight=1)) == [80] * 4
    assert weights_of(lowered(text, ChipSpec(words=512), tight=1)) == [40] * 8


def programmed(made: ModuleOp, inputs: dict[str, Array], weights: dict[str, Array]) -> dict[str, Array]:
    """What the program of a lowered module gives in the second of two runs."""
    loaded = Loaded(executable_from_module(compile(made), weights), JitEngine())
    loaded.run(inputs)
    return loaded.run(inputs)[0]


@pytest.mark.parametrize(
    ("kind", "element", "kernel", "properties", "places"),
    [
        ("max", "i8", (3, 3), "strides [2, 2]", (11, 11)),
        ("max", "f16", (7, 1), "pads [3, 0, 3, 0]", (24, 24)),
        ("sum", "i32", (2, 5), "dilations [3, 2]", (21, 16)),
    ],
)
def test_windows_slide_piece_by_piece(
    kind: str, element: str, kernel: tuple[int, int], properties: str, places: tuple[int, int]
) -> None:
    """No copy of the image, which has 576 words, is longer than the 160 of a slice."""
    x = random_array(np.random.default_rng(3), (1, 24, 24, 40), element)
    result = f"tensor<1x{places[0]}x{places[1]}x40x{element}>"
    pool = f'%y = tsp_tensor.pool "{kind}" %a window {[*kernel]} {properties} : {tensor_type(x)} -> {result}'
    text = module_of(pool, [x], result)
    made = lowered(text, ChipSpec(words=160), tight=1)
    copied = [b for b in buffers(made) if b.wanted.copies > 1 and b.kind.data == "scratch"]
    assert copied
    assert max(b.wanted.copies * b.type.layout.depth for b in copied) <= 160
    assert same_bits(programmed(made, {"a": x}, {}), run_tensor(parse(text), {"a": x}, {}))


def layers(sizes: list[int]) -> str:
    """Matrices one after the other, each with a map of its sums to i8."""
    lines: list[str] = []
    value = "%x"
    for i, (k, n) in enumerate(pairwise(sizes)):
        lines.append(f"""%w{i} = tsp_tensor.parameter "w{i}" : tensor<{k}x{n}xi8>
        %s{i} = tsp_tensor.matmul {value}, %w{i} : tensor<1x{k}xi8>, tensor<{k}x{n}xi8> -> tensor<1x{n}xi32>
        %y{i} = tsp_tensor.map %s{i} : (tensor<1x{n}xi32>) -> tensor<1x{n}xi8> {{
        ^bb0(%a: i32):
          %r = arith.trunci %a : i32 to i8
          tsp_tensor.yield %r : i8
        }}""")
        value = f"%y{i}"
    x, y, body = f"tensor<1x{sizes[0]}xi8>", f"tensor<1x{sizes[-1]}xi8>", "\n".join(lines)
    return f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}) -> ({y} {{tsp_tensor.name = "y"}}) {{ {body}
      func.return {value} : {y}
    }}"""


def filled(made: ModuleOp, chip: ChipSpec) -> float:
    """The part of all words that some buffer takes."""
    words = np.zeros((2 * chip.slices, chip.words), bool)
    for buffer in buffers(made):
        place = place_of(buffer.buffer)
        for slice_, address in place.address_of.items():
            words[slice_.unit(chip), address : address + place.depth_of(buffer.type.layout.depth)] = True
    return float(words.mean())


@pytest.mark.parametrize(("sizes", "words"), [([640] * 9, 128), ([640, 3200], 80)])
def test_weights_fill_a_chip(sizes: list[int], words: int) -> None:
    """Nine tenths of its words."""
    chip, rng = ChipSpec(words=words), np.random.default_rng(1)
    made = module(layers(sizes), chip)
    inputs = {"x": random_array(rng, (1, sizes[0]), "i8")}
    weights = {f"w{i}": random_array(rng, pair, "i8") for i, pair in enumerate(pairwise(sizes))}
    expected = run_tensor(parse(layers(sizes)), inputs, weights)
    assert filled(compile(made, until="stream-allocate"), chip) > 0.9
    assert same_bits(programmed(made, inputs, weights), expected)


def test_a_program_of_too_many_bytes_is_refused_by_them() -> None:
    """Nine matrices of four tiles of 20 words in 16 slices each, and vectors; the chip has 88 slices."""
    weights, total = 9 * 4 * 20 * 16 * 320, 88 * 128 * 320
    with pytest.raises(CapacityError) as refused:
        compile(module(layers([640] * 10), ChipSpec(words=128)))
    message = str(refused.value)
    assert f"more than the {total} of chip 0: {weights} by parameters and constants" in message
    assert "(input `x`: " in message


def test_a_buffer_is_cut_to_the_room_there_is() -> None:
    """`y` is wanted in four parts of 60 words that lie in one hemisphere, as what reads it goes from one to the next;
    three slices of 100 words are left of the east and none of the west."""
    b = "!tsp_stream.buffer<240x64xi8, words [240 of d0], side [1 of b], lanes [64 of d1]>"
    full = "!tsp_stream.buffer<100x64xi8, words [100 of d0], side [1 of b], lanes [64 of d1]>"
    s, all_ = "!tsp_stream.stream<240x320xi8>", "words <0, 240 step 1>"
    others = [f"E{i}" for i in range(9, 44)] + [f"W{i}" for i in range(44)]
    taken = "\n".join(
        f'%f{i} = tsp_stream.buffer "parameter" "f{i}" place <[{o}]> : {full}' for i, o in enumerate(others)
    )
    text = f"""func.func @main() {{
      {taken}
      %x = tsp_stream.buffer "input" "x" place <[E0, E1, E2], parts [0, 80, 160]> : {b}
      %y = tsp_stream.buffer "scratch" parts [0, 60, 120, 180] : {b}
      %z = tsp_stream.buffer "output" "z" place <[E6, E7, E3], parts [0, 80, 160]> : {b}
      %0 = tsp_stream.read %x {all_} : {b} -> {s}
      tsp_stream.write %0 to %y {all_} : {s}, {b}
      %1 = tsp_stream.read %y {all_} : {b} -> {s}
      tsp_stream.write %1 to %z {all_} : {s}, {b}
      func.return
    }}"""
    made = module(text, ChipSpec(words=100))
    compile(made, until="stream-allocate")
    (place,) = (place_of(op.buffer) for op in buffers(made) if op.kind.data == "scratch")
    assert place.depth_of(240) > 60
