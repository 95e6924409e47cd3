"""Hand-written stream programs with the ops of the SXM, gather and scatter: every level and every engine against numpy.

The numpy here is written once more, element by element, and shares nothing with the project.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import ENGINES, ISA_STAGES, same_bits
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import InputError, MalformedProgram, ScheduleError
from tspc.dialects.machine.layout import rows, weights
from tspc.dialects.machine.target import ChipSpec, SystemSpec, load_toml
from tspc.dialects.placement import layout_text
from tspc.dialects.target_attr import TargetAttr
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp

Array = npt.NDArray[Any]

NAMES = {"int8": "i8", "int16": "i16", "int32": "i32", "float16": "f16", "float32": "f32"}


def dims(shape: tuple[int, ...], dtype: Any) -> str:
    return "".join(f"{d}x" for d in shape) + NAMES[str(np.dtype(dtype))]


def stream(shape: tuple[int, ...], dtype: Any = np.int8) -> str:
    return f"!tsp_stream.stream<{dims(shape, dtype)}>"


@dataclass
class Text:
    """A stream program that is being written."""

    chip: ChipSpec = field(default_factory=ChipSpec)
    inputs: dict[str, Array] = field(default_factory=dict[str, Array])
    outputs: dict[str, Array] = field(default_factory=dict[str, Array])
    lines: list[str] = field(default_factory=list[str])
    buffers: list[str] = field(default_factory=list[str])

    @property
    def text(self) -> str:
        target = f"tsp_isa.target = {TargetAttr(SystemSpec(chip=self.chip))}"
        head = f"builtin.module attributes {{{target}}} {{ func.func @main() {{"
        return "\n".join([head, *self.buffers, *self.lines, "func.return", "}}"])

    def buffer(
        self, kind: str, name: str, shape: tuple[int, ...], dtype: Any, place: str = "", layout: str = "rows"
    ) -> str:
        size, chip = np.dtype(dtype).itemsize, self.chip
        if layout == "rows":
            lay = rows(shape, size, chip.lanes)
        else:
            lay = weights((), shape[0], shape[1], size, chip.lanes, chip.weight_streams)
        type_ = f"!tsp_stream.buffer<{dims(shape, dtype)}, {layout_text(lay)}>"
        at = f"place <{place}> " if place else ""
        named = f'"{kind}"' if kind == "scratch" else f'"{kind}" "{name}"'
        self.buffers.append(f"%{name} = tsp_stream.buffer {named} {at}: {type_}")
        return type_

    def read(self, name: str, value: Array, side: int = 0, place: str = "", layout: str = "rows") -> str:
        """The stream of an input; of `side` vectors side by side, where that is given. `value` is what it reads."""
        shape = value.shape
        if layout == "weights":
            shape = (shape[0] * shape[1], shape[2])
        self.inputs[name] = value.reshape(shape)
        buffer = self.buffer("input", name, shape, value.dtype, place, layout)
        count = value.shape[0]
        type_ = stream((count, side, self.chip.lanes) if side else value.shape, np.int8 if side else value.dtype)
        self.lines.append(f"%{name}s = tsp_stream.read %{name} words <0, {count} step 1> : {buffer} -> {type_}")
        return f"%{name}s"

    def write(self, source: str, name: str, value: Array, place: str = "") -> None:
        """Writes a stream to an output, which must then hold `value`."""
        self.outputs[name] = value
        buffer = self.buffer("output", name, value.shape, value.dtype, place)
        words = f"words <0, {value.shape[0]} step 1>"
        self.lines.append(
            f"tsp_stream.write {source} to %{name} {words} : {stream(value.shape, value.dtype)}, {buffer}"
        )

    def op(self, text: str) -> None:
        self.lines.append(text)


def check(program: Text) -> ModuleOp:
    """Runs a program after every stage, from the isa level on with every engine. Gives the scheduled module."""
    module = parse(program.text)
    scheduled: ModuleOp | None = None
    assert same_bits(run_module(module, program.inputs, {}).outputs, program.outputs)
    for stage, factory in STAGES.items():
        factory()().apply(make_context(), module)
        if stage == "stream-schedule":
            module = parse(str(module))  # as handed on by file
            scheduled = module.clone()
        for name in ENGINES if stage in ISA_STAGES else ("none",):
            engine = ENGINES[name]() if name in ENGINES else None
            outputs = run_module(module, program.inputs, {}, engine).outputs
            assert same_bits(outputs, program.outputs), f"{stage}, engine {name}"
    assert scheduled is not None
    return scheduled


def lowered(program: Text) -> ModuleOp:
    module = parse(program.text)
    for stage in list(STAGES)[: list(STAGES).index("stream-schedule") + 1]:
        STAGES[stage]()().apply(make_context(), module)
    return module


def random(rng: np.random.Generator, *shape: int, dtype: Any = np.int8) -> Array:
    return rng.integers(-(2**31), 2**31, shape, np.int32).astype(dtype)


# -- lanes ---------------------------------------------------------------------------------------------------------

S = stream((5, 320))


def by_lane(vectors: Array, numbers: Array, run: int) -> Array:
    """Lane numbers[i] of the same run of lanes for every lane; 0 from the run's end on."""
    result = np.zeros_like(vectors)
    for v, lane in np.ndindex(*vectors.shape):
        wanted = int(numbers[v, lane])
        if wanted < run:
            result[v, lane] = vectors[v, lane // run * run + wanted]
    return result


def a_shift(rng: np.random.Generator, count: int, way: str) -> Text:
    program, x = Text(), random(rng, 5, 320)
    source = program.read("x", x)
    program.op(f'%r = tsp_stream.shift {source} by {count} "{way}" : {S} -> {S}')
    moved = np.zeros_like(x)
    for lane in range(320):
        target = lane + (count if way == "up" else -count)
        if 0 <= target < 320:
            moved[:, target] = x[:, lane]
    program.write("%r", "y", moved)
    return program


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 319, 320, 4095])
def test_shift(count: int, way: str) -> None:
    check(a_shift(np.random.default_rng(count), count, way))


def test_lane_select() -> None:
    rng, program = np.random.default_rng(1), Text()
    m, a, b = random(rng, 5, 320) * rng.integers(0, 2, (5, 320), np.int8), random(rng, 5, 320), random(rng, 5, 320)
    sources = [program.read(name, value) for name, value in (("m", m), ("a", a), ("b", b))]
    program.op(f"%r = tsp_stream.lane_select {', '.join(sources)} : {S}, {S}, {S} -> {S}")
    program.write(
        "%r",
        "y",
        np.array([y if x else z for x, y, z in zip(m.flat, a.flat, b.flat, strict=True)], np.int8).reshape(5, 320),
    )
    check(program)


def test_permute() -> None:
    rng, program = np.random.default_rng(2), Text()
    x, numbers = random(rng, 5, 320), rng.permuted(np.tile(np.arange(320, dtype=np.int16), (5, 1)), axis=1)
    numbers[rng.integers(0, 4, (5, 320)) == 0] = rng.choice(np.array([320, 511, 512, 32767, -1, -320], np.int16))
    sources = [program.read("x", x), program.read("n", numbers)]
    program.op(f"%r = tsp_stream.permute {sources[0]} by {sources[1]} : {S}, {stream((5, 320), np.int16)} -> {S}")
    program.write("%r", "y", by_lane(x, numbers.view(np.uint16), 320))
    check(program)


def test_distribute() -> None:
    rng, program = np.random.default_rng(3), Text()
    x, numbers = random(rng, 5, 320), rng.integers(-3, 20, (5, 320), np.int8)
    sources = [program.read("x", x), program.read("n", numbers)]
    program.op(f"%r = tsp_stream.distribute {sources[0]} by {sources[1]} : {S}, {S} -> {S}")
    program.write("%r", "y", by_lane(x, numbers.view(np.uint8), 16))
    check(program)


def parts(program: Text, group: str, size: int, expected: Array) -> None:
    """Writes each vector of a group side by side to an output of its own; `expected` is [vectors, size, lanes]."""
    vectors, _, lanes = expected.shape
    for i in range(size):
        whole, one = stream((vectors, size, lanes)), stream((vectors, lanes))
        program.op(f"%p{i} = tsp_stream.part {group}[{i}] : {whole} -> {one}")
        program.write(f"%p{i}", f"y{i}", expected[:, i])


def rotated(vectors: Array, n: int, tile: int) -> Array:
    """[vectors, n, lanes] to [vectors, n * n, lanes]."""
    count, _, lanes = vectors.shape
    result = np.zeros((count, n * n, lanes), vectors.dtype)
    for r, c, lane in np.ndindex(n, n, lanes):
        inside = lane % tile
        if inside < tile // n * n:
            start = lane - inside % n
            result[:, n * r + c, lane] = vectors[:, r, start + (inside % n + c) % n]
    return result


def test_rotate_four() -> None:
    """The four bytes of i32 are four vectors side by side."""
    rng, program = np.random.default_rng(4), Text()
    x = random(rng, 5, 320, dtype=np.int32)
    source = program.read("x", x, side=4)
    program.op(f"%r = tsp_stream.rotate {source} : {stream((5, 4, 320))} -> {stream((5, 16, 320))}")
    bytes_ = x.view(np.int8).reshape(5, 320, 4).transpose(0, 2, 1)
    parts(program, "%r", 16, rotated(bytes_, 4, 16))
    check(program)


def test_rotate_three() -> None:
    """On a chip that takes weights three rows at a time, so that three vectors lie side by side."""
    chip = load_toml("[chip]\nlanes_per_tile = 12\nweight_streams = 3\ntiles = 10").chip
    rng, program = np.random.default_rng(5), Text(chip)
    x = random(rng, 4, 3, 120)
    source = program.read("x", x, side=3, layout="weights")
    program.op(f"%r = tsp_stream.rotate {source} : {stream((4, 3, 120))} -> {stream((4, 9, 120))}")
    parts(program, "%r", 9, rotated(x, 3, 12))
    check(program)


def test_transpose_twice_and_back() -> None:
    """Through both transposers of a side; what comes out in between is the transpose of every tile."""
    rng, program = np.random.default_rng(6), Text()
    x = random(rng, 3, 16, 320)
    source, group = program.read("x", x, side=16, layout="weights"), stream((3, 16, 320))
    program.op(f"%t = tsp_stream.transpose {source} : {group} -> {group}")
    transposed = np.zeros_like(x)
    for s, tile, lane in np.ndindex(16, 20, 16):
        transposed[:, lane, tile * 16 + s] = x[:, s, tile * 16 + lane]
    for i in (0, 7):
        program.op(f"%p{i} = tsp_stream.part %t[{i}] : {group} -> {stream((3, 320))}")
        program.write(f"%p{i}", f"y{i}", transposed[:, i])
    module = check(program)
    (op,) = (o for o in module.walk() if isinstance(o, ts.TransposeOp))
    assert op.unit is not None and op.side is not None


def test_what_is_read_late_is_written_in_time() -> None:
    """Ops that streams join are one body, which starts with its first op, while SRAM keeps the order of the ops."""
    a, b = (random(np.random.default_rng(seed), 5, 320) for seed in (1, 2))
    program = Text()
    early, given = program.read("a", a), program.read("b", b)
    scratch = program.buffer("scratch", "rest", a.shape, a.dtype)
    program.op(f"tsp_stream.write {given} to %rest words <0, 5 step 1> : {S}, {scratch}")
    program.op(f"%late = tsp_stream.read %rest words <0, 5 step 1> : {scratch} -> {S}")
    program.op(f"%sum = tsp_stream.vxm {early}, %late : ({S}, {S}) -> {S} {{")
    program.op("^bb0(%x: i8, %y: i8):\n%z = arith.addi %x, %y : i8\ntsp_stream.yield %z : i8\n}")
    program.write("%sum", "c", a + b)
    check(program)


def test_two_bodies_that_wait_for_each_other() -> None:
    """Each reads what the other writes, and all of a body happens at one time."""
    a = random(np.random.default_rng(1), 5, 320)
    program = Text()
    given = program.read("a", a)
    one, two = (program.buffer("scratch", name, a.shape, a.dtype) for name in ("one", "two"))
    program.op(f"tsp_stream.write {given} to %one words <0, 5 step 1> : {S}, {one}")
    program.op(f"%first = tsp_stream.read %one words <0, 5 step 1> : {one} -> {S}")
    program.op(f"tsp_stream.write %first to %two words <0, 5 step 1> : {S}, {two}")
    program.op(f"%second = tsp_stream.read %two words <0, 5 step 1> : {two} -> {S}")
    program.op(f"%sum = tsp_stream.vxm {given}, %second : ({S}, {S}) -> {S} {{")
    program.op("^bb0(%x: i8, %y: i8):\n%z = arith.addi %x, %y : i8\ntsp_stream.yield %z : i8\n}")
    program.write("%sum", "c", a + a)
    with pytest.raises(ScheduleError, match="uses words of SRAM both before and after what they join to"):
        lowered(program)


def test_one_op_feeds_the_next() -> None:
    """A shift, then a permutation of what it gives: two units of one cluster; and a product takes the result."""
    rng, program = np.random.default_rng(7), Text()
    x, numbers, w = random(rng, 5, 320), np.tile(np.arange(320, dtype=np.int16)[::-1], (5, 1)), random(rng, 32, 8)
    program.inputs["w"] = w
    weights = program.buffer("input", "w", w.shape, w.dtype, layout="weights")
    program.op(f"%ws = tsp_stream.read %w words <0, 2 step 1> : {weights} -> {stream((2, 16, 320))}")
    program.op(f"%wl = tsp_stream.load_weights %ws : {stream((2, 16, 320))} -> !tsp_stream.weights<1x32x8xi8>")
    sources = [program.read("x", x), program.read("n", np.ascontiguousarray(numbers))]
    program.op(f'%r = tsp_stream.shift {sources[0]} by 300 "up" : {S} -> {S}')
    program.op(f"%q = tsp_stream.permute %r by {sources[1]} : {S}, {stream((5, 320), np.int16)} -> {S}")
    sums = stream((5, 320), np.int32)
    program.op(f"%m = tsp_stream.matmul %q, %wl : {S}, !tsp_stream.weights<1x32x8xi8> -> {sums}")
    moved = np.concatenate([np.zeros((5, 300), np.int8), x[:, :20]], axis=1)[:, ::-1].astype(np.int32)
    product = np.zeros((5, 320), np.int32)
    product[:, :8] = moved[:, :32] @ w.astype(np.int32)
    program.write("%m", "y", product)
    module = check(program)
    sides = {op.side.data for op in module.walk() if isinstance(op, ts.LaneOp) and op.side}
    assert sides == {"E"}, "the weights are on plane 0, which is in the east"


# -- ALUs ----------------------------------------------------------------------------------------------------------

TYPES: tuple[Any, ...] = (np.int8, np.int16, np.int32, np.float16, np.float32)
NAN = {2: np.uint16(0x7E00).view(np.float16), 4: np.uint32(0x7FC00000).view(np.float32)}


def edges(rng: np.random.Generator, dtype: Any) -> Array:
    """Vectors of all patterns, and of the numbers at the ends of the types and about zero."""
    bits = rng.integers(0, 2**32, (3, 320), np.uint32)
    value = bits.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
    ends = [
        -(2.0**31),
        -32769,
        -32768.5,
        -129,
        -128.5,
        -128,
        -1.5,
        -0.5,
        -0.0,
        0,
        0.5,
        1,
        2.5,
        127,
        127.5,
        128,
        32767,
        65504,
    ]
    ends += [2.0**31, np.inf, -np.inf, np.nan] if np.dtype(dtype).kind == "f" else []
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    with np.errstate(all="ignore"):
        near = np.clip(np.array(ends), float(limits.min), float(limits.max)) if np.dtype(dtype).kind == "i" else ends
        value[1, : len(ends)] = np.array(near).astype(dtype)
    return value


def saturated(exact: Array, dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return np.array([min(max(int(v), limits.min), limits.max) for v in exact.flat], dtype).reshape(exact.shape)


def canonical(a: Array) -> Array:
    return np.where(np.isnan(a), NAN[a.dtype.itemsize], a) if a.dtype.kind == "f" else a


def converted(a: Array, dtype: Any) -> Array:
    with np.errstate(all="ignore"):
        if np.dtype(dtype).kind == "f":
            return canonical(a.astype(dtype))
        wide = np.where(np.isnan(a), 0, np.rint(np.clip(a.astype(np.float64), -1e10, 1e10)))
    return saturated(wide, dtype)


def alu_program(region: str, inputs: list[Array], expected: Array) -> Text:
    program = Text()
    sources = [program.read(f"in_{n}", value) for n, value in zip("abc", inputs, strict=False)]
    types = ", ".join(stream(v.shape, v.dtype) for v in inputs)
    arguments = ", ".join(f"%{n}: {NAMES[str(v.dtype)]}" for n, v in zip("abc", inputs, strict=False))
    result = stream(expected.shape, expected.dtype)
    body = f"^bb0({arguments}): {region} tsp_stream.yield %r : {NAMES[str(expected.dtype)]}"
    program.op(f"%v = tsp_stream.vxm {', '.join(sources)} : ({types}) -> {result} {{ {body} }}")
    program.write("%v", "y", expected)
    return program


@pytest.mark.parametrize("name", ["add_sat", "sub_sat", "mul_sat"])
@pytest.mark.parametrize("dtype", TYPES[:3], ids=lambda t: t.__name__)
def test_saturating_arithmetic(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(13)
    a, b = edges(rng, dtype), rng.permuted(edges(rng, dtype), axis=1)
    x, y = a.astype(object), b.astype(object)
    exact = {"add_sat": x + y, "sub_sat": x - y, "mul_sat": x * y}[name]
    check(alu_program(f"%r = tsp_stream.{name} %a, %b : {NAMES[dtype.__name__]}", [a, b], saturated(exact, dtype)))


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_relu(dtype: Any) -> None:
    a = edges(np.random.default_rng(14), dtype)
    expected = canonical(np.where(np.isnan(a) | (a > 0), a, np.zeros_like(a)))
    check(alu_program(f"%r = tsp_stream.relu %a : {NAMES[dtype.__name__]}", [a], expected))


@pytest.mark.parametrize("to", TYPES, ids=lambda t: t.__name__)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_convert(dtype: Any, to: Any) -> None:
    a = edges(np.random.default_rng(15), dtype)
    text = f"%r = tsp_stream.convert %a : {NAMES[dtype.__name__]} -> {NAMES[to.__name__]}"
    check(alu_program(text, [a], converted(a, to)))


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_a_mask_selects(dtype: Any) -> None:
    """Also one that comes on a stream, where any byte but 0 is set; bits are kept, and a value waits for its mask."""
    rng = np.random.default_rng(16)
    a, b, m = edges(rng, dtype), rng.permuted(edges(rng, dtype), axis=1), random(rng, 3, 320) & 3
    t = NAMES[dtype.__name__]
    region = f'%0 = tsp_stream.compare "le" %a, %b : {t} -> i8 %1 = arith.andi %0, %c : i8 '
    region += f"%r = tsp_stream.select %1, %a, %b : {t}"
    with np.errstate(all="ignore"):
        expected = np.where((a <= b) & ((m & 1) == 1), a, b)
    check(alu_program(region, [a, b, m], expected))


# -- gather and scatter --------------------------------------------------------------------------------------------


def map_of(numbers: Array) -> Array:
    """The vectors [n, 320] of i8 whose tiles begin with these numbers [n, 20], low byte first."""
    vectors = np.random.default_rng(0).integers(-128, 128, (len(numbers), 20, 16), np.int8)
    vectors[:, :, 0] = (numbers & 0xFF).astype(np.uint8).view(np.int8)
    vectors[:, :, 1] = (numbers >> 8).astype(np.uint8).view(np.int8)
    return vectors.reshape(-1, 320)


def gathered(table: Array, words: Array) -> Array:
    return np.stack([[table[w, lane] for lane, w in enumerate(np.repeat(row, 16))] for row in words])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32], ids=str)
def test_gather(dtype: Any) -> None:
    """Every tile from a word of its own, counted from the pattern's, also backward."""
    rng, program = np.random.default_rng(8), Text()
    table, wanted = random(rng, 300, 320, dtype=dtype), rng.integers(0, 300, (7, 20))
    program.inputs["t"] = table
    buffer = program.buffer("input", "t", table.shape, dtype)
    numbers = program.read("n", map_of((wanted - 100 - np.arange(7)[:, None]) % 8192))
    result = stream((7, 320), dtype)
    program.op(f"%r = tsp_stream.gather {numbers}, %t words <100, 7 step 1> : {stream((7, 320))}, {buffer} -> {result}")
    program.write("%r", "y", gathered(table, wanted))
    check(program)


@pytest.mark.parametrize("dtype", [np.int8, np.int32], ids=str)
def test_scatter(dtype: Any) -> None:
    """The last vector for a word stays; what no vector meets is zero."""
    rng, program = np.random.default_rng(9), Text()
    values, wanted = random(rng, 9, 320, dtype=dtype), rng.integers(0, 6, (9, 20))
    expected = np.zeros((6, 320), dtype)
    for i, row in enumerate(np.repeat(wanted, 16, axis=1)):
        expected[row, np.arange(320)] = values[i]
    program.outputs["y"] = expected
    buffer = program.buffer("output", "y", expected.shape, dtype)
    numbers, source = program.read("n", map_of(wanted)), program.read("x", values)
    types = f"{stream((9, 320))}, {stream((9, 320), dtype)}, {buffer}"
    program.op(f"tsp_stream.scatter {numbers}, {source} to %y words <0, 9 step 0> : {types}")
    check(program)


def test_scatter_then_gather_through_one_buffer() -> None:
    """What is scattered is there when it is gathered, whichever words the maps name."""
    rng, program = np.random.default_rng(10), Text()
    values, order = random(rng, 12, 320), np.stack([rng.permutation(12) for _ in range(20)], axis=1)
    buffer = program.buffer("scratch", "t", (12, 320), np.int8)
    numbers, source = program.read("n", map_of(order)), program.read("x", values)
    s = stream((12, 320))
    program.op(f"tsp_stream.scatter {numbers}, {source} to %t words <0, 12 step 0> : {s}, {s}, {buffer}")
    back = program.read("k", map_of(order[::-1]))
    program.op(f"%r = tsp_stream.gather {back}, %t words <0, 12 step 0> : {s}, {buffer} -> {s}")
    program.write("%r", "y", values[::-1])
    module = check(program)
    scatter, gather = (next(o for o in module.walk() if isinstance(o, kind)) for kind in (ts.ScatterOp, ts.GatherOp))
    assert scatter.start is not None and gather.start == scatter.start + 13, (
        "it waits for the last of all, and an `ifetch`"
    )


def test_a_word_past_the_buffer() -> None:
    program = Text()
    program.inputs["t"] = np.zeros((3, 320), np.int8)
    buffer = program.buffer("input", "t", (3, 320), np.int8)
    numbers = program.read("n", map_of(np.array([[0] * 20, [0] * 6 + [3] + [0] * 13])))
    s = stream((2, 320))
    program.op(f"%r = tsp_stream.gather {numbers}, %t words <0, 2 step 0> : {s}, {buffer} -> {s}")
    program.write("%r", "y", np.zeros((2, 320), np.int8))
    with pytest.raises(InputError, match=r"the map's vector 1 names word 3 for tile 6, but the buffer has 0\.\.2"):
        run_module(parse(program.text), program.inputs, {})


def test_bytes_of_a_gathered_buffer_share_a_position() -> None:
    """Then the map may come from the west and the words go back there."""
    rng, program = np.random.default_rng(11), Text()
    table, wanted = random(rng, 30, 320, dtype=np.int32), rng.integers(0, 30, (4, 20))
    program.inputs["t"] = table
    buffer = program.buffer("input", "t", table.shape, np.int32)
    numbers, s = program.read("n", map_of(wanted), place="[W0]"), stream((4, 320), np.int32)
    program.op(f"%r = tsp_stream.gather {numbers}, %t words <0, 4 step 0> : {stream((4, 320))}, {buffer} -> {s}")
    program.write("%r", "y", gathered(table, wanted), place="[W20 to W23]")
    module = check(program)
    table_buffer = next(
        o for o in module.walk() if isinstance(o, ts.BufferOp) and (o.tensor_name and o.tensor_name.data) == "t"
    )
    assert table_buffer.place is not None
    assert len({s.number // ChipSpec().slices_per_hop for s in table_buffer.place.data.slices}) == 1


def test_streams_that_cannot_meet_at_all_slices() -> None:
    program = Text()
    program.inputs["t"] = np.zeros((3, 320), np.int16)
    buffer = program.buffer("input", "t", (3, 320), np.int16, place="[E0, E8]")
    numbers, s = (
        program.read("n", map_of(np.zeros((2, 20), int)), place="[W0]"),
        stream((2, 320), np.int16),
    )
    program.op(f"%r = tsp_stream.gather {numbers}, %t words <0, 2 step 0> : {stream((2, 320))}, {buffer} -> {s}")
    program.write("%r", "y", np.zeros((2, 320), np.int16), place="[W20 to W21]")
    with pytest.raises(ScheduleError, match=r"gather`: its streams flow both ways, .* put the bytes of the buffer"):
        lowered(program)


# -- where and when ------------------------------------------------------------------------------------------------


def test_the_time_of_a_shift() -> None:
    """The SXM is 12 hops from the VXM; a shift takes 2 cycles into and out of the unit and 4 in it."""
    program = a_shift(np.random.default_rng(0), 1, "up")
    program.buffers = [
        line.replace(f'"{kind}" "{name}"', f'"{kind}" "{name}" place <{place}>')
        for line, (kind, name, place) in zip(
            program.buffers, (("input", "x", "[W0]"), ("output", "y", "[E40]")), strict=True
        )
    ]
    chip = ChipSpec()
    module = check(program)
    shift, write = (next(o for o in module.walk() if isinstance(o, kind)) for kind in (ts.ShiftOp, ts.WriteOp))
    assert shift.side is not None and shift.start is not None and write.start is not None
    distance = chip.sxm_distance - 11 if shift.side.data == "E" else chip.sxm_distance + 11
    assert write.start == shift.start + chip.latency_sxm_io + chip.latency_shift + distance


def test_ops_of_one_cluster_take_different_units() -> None:
    """Two shifts one after the other: one in each hemisphere, for each has one shifter."""
    program, x = Text(), random(np.random.default_rng(12), 40, 320)
    source, s = program.read("x", x), stream((40, 320))
    program.op(f'%r = tsp_stream.shift {source} by 1 "up" : {s} -> {s}')
    program.op(f'%q = tsp_stream.shift %r by 1 "down" : {s} -> {s}')
    program.write("%q", "y", np.concatenate([x[:, :-1], np.zeros((40, 1), np.int8)], axis=1))
    sides = [op.side and op.side.data for op in check(program).walk() if isinstance(op, ts.ShiftOp)]
    assert sorted(map(str, sides)) == ["E", "W"]


def test_an_op_without_a_side() -> None:
    module = parse(a_shift(np.random.default_rng(0), 1, "up").text)
    for stage in ("stream-place", "stream-allocate"):
        STAGES[stage]()().apply(make_context(), module)
    for op in module.walk():
        if isinstance(op, ts.ShiftOp):
            op.side = None
    with pytest.raises(MalformedProgram, match=r"shift`: has no `side` or `unit`; run stream-place first"):
        STAGES["stream-schedule"]()().apply(make_context(), module)
