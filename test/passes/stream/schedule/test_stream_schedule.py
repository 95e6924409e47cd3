"""When things happen: every cycle of a schedule follows from latencies and distances, whatever the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TypeVar

import pytest
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import MalformedProgram, ScheduleError
from tspc.dialects.machine.target import DEFAULT_SYSTEM, ChipSpec, SystemSpec
from tspc.dialects.programs.records import program_from_module
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import STAGES, compile, make_context, parse
from xdsl.dialects.builtin import ModuleOp

OpT = TypeVar("OpT", bound=ts.TimedOp)

CHIP = ChipSpec()
LATENCIES = {f.name: getattr(CHIP, f.name) for f in fields(ChipSpec) if f.name.startswith("latency_")}

MACHINES = {
    "default": DEFAULT_SYSTEM,
    "doubled latencies": SystemSpec(chip=replace(CHIP, barrier=70, **{name: 2 * n for name, n in LATENCIES.items()})),
    "one slice per hop": SystemSpec(chip=ChipSpec(slices_per_hop=1)),
    "late writes": SystemSpec(chip=ChipSpec(latency_write=7)),
    "half the tiles": SystemSpec(chip=ChipSpec(tiles=10)),
    "few slices": SystemSpec(chip=ChipSpec(slices=24, slices_per_hop=3)),
    "two chips": SystemSpec(chips=2),
}
on_every_machine = pytest.mark.parametrize("system", MACHINES.values(), ids=MACHINES.keys())


def lower(text: str, system: SystemSpec = DEFAULT_SYSTEM, until: str = "stream-schedule") -> ModuleOp:
    module = parse(f"builtin.module attributes {{{TARGET} = {TargetAttr(system)}}} {{ {text} }}")
    return compile(module, until=until)


def only(module: ModuleOp, kind: type[OpT], buffer: str | None = None) -> OpT:
    """The one op of a kind, which reads or writes the buffer of this name."""
    (op,) = every(module, kind, buffer)
    return op


def every(module: ModuleOp, kind: type[OpT], buffer: str | None = None) -> Iterator[OpT]:
    for op in module.walk():
        if isinstance(op, kind) and (buffer is None or name_of(op) == buffer):
            yield op


def name_of(op: ts.TimedOp) -> str:
    assert isinstance(op, ts.ReadOp | ts.WriteOp) and isinstance(op.buffer.owner, ts.BufferOp)
    return op.buffer.owner.tensor_name.data if op.buffer.owner.tensor_name else "scratch"


def start(op: ts.TimedOp) -> int:
    assert op.start is not None
    return op.start


def position(op: ts.ReadOp | ts.WriteOp, system: SystemSpec) -> int:
    """Where the first slice stands that an op visits."""
    assert isinstance(op.buffer.owner, ts.BufferOp) and op.buffer.owner.place is not None
    queue = op.buffer.owner.place.data.slices[0].queue
    return system.chip.queues[system.chip.queue_numbers[queue]].position


# -- one product ---------------------------------------------------------------------------------------------------

ROWS, K, N = 5, 64, 32

PRODUCT = f"""
func.func @main(%x: tensor<{ROWS}x{K}xi8> {{tsp_tensor.name = "x"}}) -> tensor<{ROWS}x{N}xi32> {{
  %w = tsp_tensor.parameter "w" : tensor<{K}x{N}xi8>
  %y = tsp_tensor.matmul %x, %w : tensor<{ROWS}x{K}xi8>, tensor<{K}x{N}xi8> -> tensor<{ROWS}x{N}xi32>
  func.return %y : tensor<{ROWS}x{N}xi32>
}}
"""


def one_product(lanes: int = CHIP.lanes) -> str:
    """The same on one plane, all rows one after the other."""
    x = f"!tsp_stream.buffer<{ROWS}x{K}xi8, words [{ROWS} of d0], side [], lanes [{K} of d1]>"
    w = f"!tsp_stream.buffer<{K}x{N}xi8, words [{K // 16} of d0 * 16], side [16 of d0], lanes [{N} of d1]>"
    y = f"!tsp_stream.buffer<{ROWS}x{N}xi32, words [{ROWS} of d0], side [4 of b], lanes [{N} of d1]>"
    rows, xs = f"!tsp_stream.stream<{K // 16}x16x{lanes}xi8>", f"!tsp_stream.stream<{ROWS}x{lanes}xi8>"
    ws, ys = f"!tsp_stream.weights<1x{K}x{lanes}xi8>", f"!tsp_stream.stream<{ROWS}x{lanes}xi32>"
    return f"""func.func @main() {{
      %w = tsp_stream.buffer "parameter" "w" : {w}
      %x = tsp_stream.buffer "input" "x" : {x}
      %y = tsp_stream.buffer "output" "y" : {y}
      %0 = tsp_stream.read %w words <0, {K // 16} step 1> : {w} -> {rows}
      %1 = tsp_stream.load_weights %0 plane 0 : {rows} -> {ws}
      %2 = tsp_stream.read %x words <0, {ROWS} step 1> : {x} -> {xs}
      %3 = tsp_stream.matmul %2, %1 plane 0 : {xs}, {ws} -> {ys}
      tsp_stream.write %3 to %y words <0, {ROWS} step 1> : {ys}, {y}
      func.return
    }}"""


@on_every_machine
def test_every_cycle_of_a_product(system: SystemSpec) -> None:
    module = lower(one_product(system.chip.lanes), system)
    chip, mxm = system.chip, system.chip.mxm_distance
    weights, activations = only(module, ts.ReadOp, "w"), only(module, ts.ReadOp, "x")
    load, product, write = only(module, ts.LoadWeightsOp), only(module, ts.MatmulOp), only(module, ts.WriteOp)

    # The weights are first: as soon as the queues are released, to the plane, 16 rows a cycle, and installed.
    assert start(weights) == system.release
    assert start(load) == start(weights) + chip.latency_read + mxm - position(weights, system)
    installed = start(load) + -(-K // chip.weight_streams) + chip.latency_install
    # The activations come as soon as the weights are in, or as soon as they can.
    soonest = system.release + chip.latency_read + mxm - position(activations, system)
    assert start(product) == max(installed, soonest)
    assert start(activations) == start(product) - (soonest - system.release)
    # The sums go through the array, out of it, and back to SRAM.
    way = chip.latency_array + chip.latency_egress + mxm - position(write, system)
    assert start(write) == start(product) + way - chip.latency_write


@on_every_machine
def test_the_length_of_a_product(system: SystemSpec) -> None:
    """The last dispatch is that of the last row's write; after its cycle the tiles follow once."""
    scheduled = lower(one_product(system.chip.lanes), system)
    program = program_from_module(lower(one_product(system.chip.lanes), system, until="isa-verify"))
    assert program.cycles == start(only(scheduled, ts.WriteOp)) + ROWS - 1 + 1 + system.chip.tiles


def test_the_numbers_of_the_default_machine() -> None:
    """35 barrier; 1 read, 5 hops from the first of the 16 slices next to the MXM, 4 groups, 1 install; 13 array,
    20 egress, 12 hops; 5 rows, 20 tiles."""
    program = program_from_module(lower(one_product(), until="isa-verify"))
    assert program.cycles == 35 + (1 + 5 + 4 + 1) + (13 + 20 + 12) + 5 + 20


def test_all_weights_in_under_40_cycles() -> None:
    """Published: 409,600 weights go from SRAM into the four planes in under 40 cycles.

    Each hemisphere has two planes, that load 16 rows a cycle from 16 slices each over all of its 32 outward streams.
    """
    chip, lines, ends = CHIP, list[str](), list[int]()
    for plane in range(chip.planes):
        side, sign = ("E", 1) if plane < chip.planes // 2 else ("W", -1)
        first = (plane % (chip.planes // 2)) * chip.weight_streams
        slices = range(chip.slices - first - chip.weight_streams, chip.slices - first)
        positions = [sign * chip.queues[chip.queue_numbers[f"MEM.{side}{s}"]].position for s in slices]
        at_mxm = 35 + chip.latency_read + chip.mxm_distance - min(positions)
        for i, (s, hop) in enumerate(zip(slices, positions, strict=True)):
            at = 35 + hop - min(positions)
            read = f"tsp_isa.read at {at} address 0 stream {side}{first + i} repeat {chip.load_cycles} step 1"
            lines.append(f'tsp_isa.queue "MEM.{side}{s}" {{ {read} }}')
        load = f"tsp_isa.lw at {at_mxm} row 0 stream {side}{first} repeat {chip.load_cycles} step 1"
        install = at_mxm + chip.load_cycles
        lines.append(f'tsp_isa.queue "MXM.{plane}.weights" {{ {load} tsp_isa.iw at {install} }}')
        ends.append(install + chip.latency_install)
    length = max(ends) - chip.latency_install + 1 + chip.tiles
    compile(parse("\n".join([f"tsp_isa.program @load chip 0 cycles {length} {{", *lines, "}"])), until="isa-verify")
    assert max(ends) - 35 < 40


# -- several bodies ------------------------------------------------------------------------------------------------

S8, S32 = "!tsp_stream.stream<5x320xi8>", "!tsp_stream.stream<5x320xi32>"
B8, BW = (
    "!tsp_stream.buffer<5x64xi8, words [5 of d0], side [1 of b], lanes [64 of d1]>",
    "!tsp_stream.buffer<64x32xi8, words [4 of d0 * 16], side [16 of d0], lanes [32 of d1]>",
)
B32 = "!tsp_stream.buffer<5x32xi32, words [5 of d0], side [4 of b], lanes [32 of d1]>"
ROWS_OF_W, W = "!tsp_stream.stream<4x16x320xi8>", "!tsp_stream.weights<1x64x32xi8>"
ALL = "words <0, 5 step 1>"


def function(body: str) -> str:
    return f"func.func @main() {{\n{body}\nfunc.return\n}}"


def buffer(name: str, place: str, type_: str = B8, kind: str = "input", chip: int = 0) -> str:
    return f'%{name} = tsp_stream.buffer "{kind}" "{name}" chip {chip} place <{place}> : {type_}'


def copy(source: str, target: str, type_: str = B8, stream: str = S8) -> str:
    """A cluster of its own: from buffer to buffer."""
    return (
        f"%{source}{target} = tsp_stream.read %{source} {ALL} : {type_} -> {stream}\n"
        f"tsp_stream.write %{source}{target} to %{target} {ALL} : {stream}, {type_}"
    )


def product(result: str, weights: str, activations: str, plane: int) -> str:
    """Two clusters: the weights of a plane, and a product that is written to a buffer."""
    return f"""
      %{result}w = tsp_stream.read %{weights} words <0, 4 step 1> : {BW} -> {ROWS_OF_W}
      %{result}l = tsp_stream.load_weights %{result}w plane {plane} : {ROWS_OF_W} -> {W}
      %{result}a = tsp_stream.read %{activations} {ALL} : {B8} -> {S8}
      %{result}p = tsp_stream.matmul %{result}a, %{result}l plane {plane} : {S8}, {W} -> {S32}
      tsp_stream.write %{result}p to %{result} {ALL} : {S32}, {B32}"""


def test_a_read_waits_until_its_words_are_written() -> None:
    """Through `t`, which lies in a slice that can read while nothing else is written there."""
    places = {"x": "[W0]", "t": "[E0]", "y": "[E8]"}
    buffers = [buffer(n, f"{place}, address 0") for n, place in places.items()]
    module = lower(function("\n".join([*buffers, copy("x", "t"), copy("t", "y")])))
    written = start(only(module, ts.WriteOp, "t"))
    # From position -1 to 1; then the queue of the slice is busy with the five words, and free for a cycle.
    assert written == 35 + CHIP.latency_read + 2
    assert start(only(module, ts.ReadOp, "t")) == written + 5 + 1
    assert start(only(module, ts.WriteOp, "y")) == written + 5 + 1 + CHIP.latency_read + 2


def test_words_are_read_before_they_are_overwritten() -> None:
    """`a` and `b` share their words: `b` is written only behind the read of `a`, in another slice's time."""
    buffers = [
        buffer("x", "[W0], address 0"),
        buffer("a", "[E0], address 0", kind="scratch"),
        buffer("b", "[E0], address 0", kind="scratch"),
        buffer("y", "[E4], address 0", kind="output"),
        buffer("z", "[E8], address 0", kind="output"),
    ]
    steps = [copy("x", "a"), copy("a", "y"), copy("x", "b"), copy("b", "z")]
    module = lower(function("\n".join([*buffers, *steps])))
    assert start(only(module, ts.WriteOp, "b")) >= start(only(module, ts.ReadOp, "a")) + 5
    assert start(only(module, ts.ReadOp, "b")) >= start(only(module, ts.WriteOp, "b")) + 5


def two_products(planes: tuple[int, int]) -> ModuleOp:
    buffers = [
        buffer("x", "[W0], address 0"),
        buffer("w", "[E4 to E19], address 0", BW, "parameter"),
        buffer("v", "[E20 to E35], address 0", BW, "parameter"),
        buffer("y", "[E0 to E3], address 0", B32, "output"),
        buffer("z", "[W8 to W11], address 0", B32, "output"),
    ]
    body = [product("y", "w", "x", planes[0]), product("z", "v", "x", planes[1])]
    return lower(function("\n".join([*buffers, *body])))


def test_products_on_two_planes_overlap() -> None:
    """The second takes the queue of `x` as soon as the first leaves it, with a cycle for an `ifetch` between them."""
    first, second = every(two_products((0, 1)), ts.MatmulOp)
    assert start(second) == start(first) + ROWS + 1


def test_weights_are_loaded_behind_those_in_use() -> None:
    """On one plane the next weights are installed just before the next activations, which leave a cycle for an `ifetch`
    behind the last ones."""
    module = two_products((0, 0))
    first, second = every(module, ts.MatmulOp)
    _, load = every(module, ts.LoadWeightsOp)
    assert start(load) + 4 + CHIP.latency_install == start(first) + ROWS + 1
    assert start(second) == start(first) + ROWS + 1


@pytest.mark.parametrize("slices_per_hop", [1, 4])
def test_a_transfer_between_chips(slices_per_hop: int) -> None:
    """Vectors leave one every slot of the link, and arrive with the link's latency on the other chip's clock."""
    system = SystemSpec(chip=ChipSpec(slices_per_hop=slices_per_hop), chips=2)
    chip = system.chip
    body = [
        buffer("x", "[E43], address 0"),
        buffer("y", "[E20], address 0", kind="output", chip=1),
        f"%s = tsp_stream.read %x {ALL} : {B8} -> {S8}",
        f"%t = c2c.transfer %s from 0 to 1 : {S8} -> {S8}",
        f"tsp_stream.write %t to %y {ALL} chip 1 : {S8}, {B8}",
    ]
    module = lower(function("\n".join(body)), system)
    read, write = only(module, ts.ReadOp), only(module, ts.WriteOp)
    assert read.cycles is not None
    assert read.cycles.data.levels == ((5, system.link_slot),) == ((5, 24),)
    assert start(read) == system.release
    hops = chip.sxm_distance - position(read, system), chip.sxm_distance - position(write, system)
    assert start(only(module, ts.SendOp)) == start(read) + chip.latency_read + hops[0]
    assert start(write) == start(read) + chip.latency_read + hops[0] + system.hop + hops[1] - chip.latency_write
    first, second = program_from_module(lower(function("\n".join(body)), system, until="isa-verify")).chips
    assert second.cycles == start(write) + 4 * 24 + 1 + chip.tiles
    assert first.cycles == start(only(module, ts.SendOp)) + 4 * 24 + 1 + chip.tiles


# -- what cannot be scheduled --------------------------------------------------------------------------------------

X = buffer("x", "[E0], address 0")
Y = buffer("y", "[E8], address 0", kind="output")
READ = f"%s = tsp_stream.read %x {ALL} : {B8} -> {S8}"
WRITE = f"tsp_stream.write %t to %y {ALL} : {S8}, {B8}"


def vxm(operands: str, *region: str) -> str:
    body = "\n".join(["^bb0(%a: i8, %b: i8):", *region])
    return f"%t = tsp_stream.vxm {operands} : ({S8}, {S8}) -> {S8} {{\n{body}\n}}"


ADD = [
    "%c = tsp_stream.convert %a : i8 -> i32",
    "%d = tsp_stream.convert %b : i8 -> i32",
    "%e = arith.addi %c, %d : i32",
    "%f = arith.trunci %e : i32 to i8",
    "tsp_stream.yield %f : i8",
]

TWICE = [
    "%c = tsp_stream.convert %a : i8 -> i32",
    "%d = tsp_stream.convert %c : i32 -> i8",
    "%e = arith.maxsi %d, %b : i8",
    "%f = arith.maxsi %e, %e : i8",
    "tsp_stream.yield %f : i8",
]
"""Takes its second argument two ALUs after the first."""

APART = [line.replace("%e, %e", "%e, %d") for line in TWICE]
"""Its last op takes one operand an ALU too late."""


def test_operands_that_do_not_meet() -> None:
    reason = (
        "<text>:10:1: `arith.maxsi`: its operands come 1 ALUs apart; leave out `alus`, and stream-place inserts delays"
    )
    with pytest.raises(MalformedProgram) as e:
        lower(function("\n".join([X, Y, READ, vxm("%s, %s alus [0, 1, 2, 3]", *APART), WRITE])))
    assert str(e.value) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            [X, Y, READ, READ.replace("%s", "%r"), vxm("%s, %r", *ADD), WRITE],
            "<text>:5:1: `tsp_stream.read`: needs MEM.E0 for 5 cycles in which <text>:4:1: `tsp_stream.read`, joined "
            "to it by streams, still does; give one of them another buffer, or let a value rest in SRAM in between",
        ),
        (
            [X, Y, READ, vxm("%s, %s alus [0, 1, 2, 3]", *TWICE), WRITE],
            "<text>:5:1: `tsp_stream.vxm`: two streams that meet here come 6 cycles apart; let one rest in SRAM",
        ),
    ],
    ids=["one slice twice at once", "streams that do not meet"],
)
def test_a_program_that_has_no_schedule(body: list[str], reason: str) -> None:
    with pytest.raises(ScheduleError) as e:
        lower(function("\n".join(body)))
    assert str(e.value) == reason


def test_more_streams_at_once_than_there_are() -> None:
    """Five operands of four streams each, all from the east, on a chip that has sixteen westward streams."""
    system = SystemSpec(chip=ChipSpec(streams=16))
    reads = [f"%s{i} = tsp_stream.read %x{i} {ALL} : {B32} -> {S32}" for i in range(5)]
    buffers = [buffer(f"x{i}", f"[E{8 * i} to E{8 * i + 3}], address 0", B32) for i in range(5)]
    types = ", ".join([S32] * 5)
    region = [
        f"%t = tsp_stream.vxm {', '.join(f'%s{i}' for i in range(5))} : ({types}) -> {S32} {{",
        "^bb0(%a: i32, %b: i32, %c: i32, %d: i32, %e: i32):",
        "%f = arith.addi %a, %b : i32",
        "%g = arith.addi %c, %d : i32",
        "%h = arith.addi %e, %e : i32",
        "%i = arith.addi %f, %g : i32",
        "%j = arith.addi %h, %i : i32",
        "tsp_stream.yield %j : i32",
        "}",
    ]
    y = buffer("y", "[W0 to W3], address 0", B32, "output")
    write = f"tsp_stream.write %t to %y {ALL} : {S32}, {B32}"
    with pytest.raises(ScheduleError, match=r"the 6 joined to it by streams need more streams at once than the 16 of"):
        lower(function("\n".join([*buffers, y, *reads, *region, write])), system)


# -- what an earlier pass decides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passes", "reason"),
    [
        (["stream-allocate"], "`tsp_stream.buffer`: has no `place`; run stream-place first"),
        (["stream-schedule"], "run stream-place first"),
        (["stream-place", "stream-schedule"], "its buffer has no address; run stream-allocate first"),
        (["convert-stream-to-isa"], "has no `at`; run stream-schedule first"),
        (["stream-place", "stream-allocate", "convert-stream-to-isa"], "has no `at`; run stream-schedule first"),
    ],
)
def test_a_pass_says_which_one_it_misses(passes: list[str], reason: str) -> None:
    module = lower(PRODUCT, until="convert-tensor-to-stream")
    with pytest.raises(MalformedProgram) as e:
        for name in passes:
            STAGES[name]()().apply(make_context(), module)
    assert reason in str(e.value)


# -- schedules that are there --------------------------------------------------------------------------------------

SCHEDULED = """func.func @main() {
  %a = tsp_stream.buffer "input" "a" place <[E0], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[E9], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %0 = tsp_stream.read %a words <0, 4 step 1> toward "E" on 5 at 70 : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  tsp_stream.write %0 to %y words <0, 4 step 1> at 73 : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  func.return
}"""  # noqa: E501
"""It begins later than need be: who wrote it so may have his reasons."""


def test_a_schedule_is_taken_as_it_is() -> None:
    module = parse(SCHEDULED)
    before = str(module)
    assert str(compile(module, until="stream-schedule")) == before
    program = program_from_module(compile(module))
    assert min(r.at for r in program.chips[0].records if r.instruction.name == "read") == 70


@pytest.mark.parametrize(
    ("written", "instead", "reason"),
    [
        (
            "at 73",
            "at 74",
            "starts in cycle 74, but by the streams that join it to <text>:4:3",
        ),
        ("at 70", "at 12", "starts in cycle 73, but by the streams"),
        (" at 73", "", "lacks its `at`, while the module has others; a schedule is checked as it is, never completed"),
        (" on 5", "", "lacks its `on`, while the module has others"),
        (" on 5 at 70", "", "lacks its `at`, as do 1 others, while the module has others"),
    ],
)
def test_a_schedule_that_is_wrong_or_not_whole_is_refused(written: str, instead: str, reason: str) -> None:
    """And not made anew: whoever wrote it would not get what he wrote."""
    with pytest.raises(ScheduleError) as e:
        compile(parse(SCHEDULED.replace(written, instead)))
    assert reason in str(e.value)
