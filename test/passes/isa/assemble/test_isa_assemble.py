"""The supply of queues with text: small queues make small programs need fetches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from harness import DIGITS, DIGITS_TIMED
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from tspc.dialects.errors import CapacityError, HazardError, MalformedProgram, ScheduleError
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import INSTRUCTION_BYTES, ElementType, Record, source_immediate, stream_code
from tspc.dialects.machine.instruction_fetch import Word, chunk_text, first_fault, room
from tspc.dialects.machine.target import ChipSpec, system_from_overrides
from tspc.dialects.programs.records import Program, check_program, program_from_module, program_length
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.dialects.tsp_isa import ProgramOp
from tspc.passes.isa.assemble.isa_assemble import IsaAssemblePass
from tspc.passes.isa.assemble.isa_disassemble import IsaDisassemblePass
from tspc.passes.isa.verify.isa_verify import IsaVerifyPass
from tspc.passes.isa.verify.proof import first_hazard
from tspc.passes.pipelines import compile, make_context, parse
from tspc.runtime.container import from_bytes, to_bytes
from tspc.runtime.engine import Engine
from tspc.runtime.executable import Loaded, executable_from_module, load_text
from tspc.runtime.interface import interface_of, load_inputs, load_weights
from tspc.runtime.jit import JitEngine
from tspc.runtime.reference import ReferenceEngine
from tspc.tools.report import text_cost
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64

TINY = {"chip.queue_bytes": 64, "chip.fetch_bytes": 32}
"""Four instructions in a queue, two in a fetch."""

ENGINES = (JitEngine(), JitEngine(mode="bulk"), ReferenceEngine())


def module(queues: dict[str, list[str]], overrides: dict[str, int], binds: str = "") -> ModuleOp:
    """The timed program of one chip: by queue, instructions such as `read at 40 address 0 stream E4`."""
    body = "".join(
        f'tsp_isa.queue "{name}" {{ {" ".join(f"tsp_isa.{line}" for line in lines)} }}\n'
        for name, lines in queues.items()
    )
    parsed = parse(f"tsp_isa.program @main chip 0 cycles 0 {{ {binds} {body} }}")
    system = system_from_overrides(overrides)
    if overrides:
        parsed.attributes[TARGET] = TargetAttr(system)
    program = parsed.body.block.first_op
    assert isinstance(program, ProgramOp)
    last = max(record.last for record, _ in program.records())
    program.properties["cycles"] = IntegerAttr(program_length(last, system), i64)
    return parsed


def assembled(subject: ModuleOp) -> Program:
    """Assembles a module, proves it, and checks that disassembling and assembling it again gives the same."""
    IsaAssemblePass().apply(make_context(), subject)
    IsaVerifyPass().apply(make_context(), subject)
    text = str(subject)
    again = parse(text)
    assert str(again) == text
    IsaDisassemblePass().apply(make_context(), again)
    assert "ifetch" not in str(again)
    IsaAssemblePass().apply(make_context(), again)
    assert str(again) == text
    return program_from_module(subject)


def fetch_places(program: Program, queue: str) -> list[int]:
    """The places of a queue's ifetches in its text."""
    return [i for i, opcode in enumerate(program.chips[0].packed[queue][::INSTRUCTION_BYTES]) if opcode == 0x07]


def apart(count: int, first: int = 60, every: int = 20) -> list[str]:
    """Reads that are no run, `every` cycles apart, on two streams in turn: two instructions each, nop and read."""
    return [f"read at {first + every * i} address {i} stream E{4 + i % 2}" for i in range(count)]


# -- the machine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fetch", "tiles", "slots"), [(640, 20, 40), (640, 10, 20), (33, 20, 2), (16, 20, 1)])
def test_a_fetch_brings_no_more_than_two_vectors(fetch: int, tiles: int, slots: int) -> None:
    assert ChipSpec(fetch_bytes=fetch, tiles=tiles).fetch_slots == slots


def test_where_an_ifetch_may_stand() -> None:
    """Default queues hold two fetches of 40 instructions: the first may come once 39 are dispatched before it, and must
    be one of the 80 that are there."""
    assert room(0, ChipSpec()) == range(39, 80)
    assert room(1, ChipSpec()) == range(79, 120)
    text = bytes(200 * INSTRUCTION_BYTES)
    assert first_fault(text, [39, 79, 119], ChipSpec()) is None
    assert first_fault(text, [79, 119, 159], ChipSpec()) is None
    assert first_fault(text, [38, 79, 119], ChipSpec()) == ("queue-full", 38)
    assert first_fault(text, [39, 120, 121], ChipSpec()) == ("queue-dry", 120)
    assert first_fault(text, [39, 79], ChipSpec()) == ("queue-dry", 160)


# -- placement -----------------------------------------------------------------------------------------------------


def test_a_queue_that_holds_its_text_fetches_nothing() -> None:
    """sync and 39 times nop and read make 79 instructions; one more read, and they are 81."""
    for count, fetches in ((39, 0), (40, 1)):
        program = assembled(module({"MEM.E0": apart(count)}, {}))
        assert len(program.chips[0].fetches) == fetches
        assert len(program.chips[0].text_image(ChipSpec())) == 2 * fetches


def test_every_fetch_has_room_and_comes_in_time() -> None:
    program = assembled(module({"MEM.E0": apart(30)}, TINY | {"chip.fetch_bytes": 64}))
    chip, spec = program.chips[0], program.system.chip
    for name, data in chip.packed.items():
        places = fetch_places(program, name)
        assert len(places) == len(chip.text.get(name, ()))
        assert all(place in room(i, spec) for i, place in enumerate(places))
        assert spec.queue_slots + len(places) * spec.fetch_slots >= len(data) // INSTRUCTION_BYTES
    assert len(fetch_places(program, "MEM.E0")) >= (61 - 4) // 4
    image = chip.text_image(spec)
    for name, chunks in chip.text.items():
        for i, (first, second) in enumerate(chunks):
            assert (image[first] + image[second]).startswith(chunk_text(chip.packed[name], i, spec))


def test_the_program_takes_no_longer() -> None:
    """Fetches stand in free cycles: every other dispatch stays where it was."""
    plain = assembled(module({"MEM.E0": apart(10)}, {}))
    fetched = assembled(module({"MEM.E0": apart(10)}, TINY))
    assert fetched.cycles == plain.cycles
    text = {w for chunks in fetched.chips[0].text.values() for chunk in chunks for w in chunk}
    own = [r for r in fetched.chips[0].records if Word("E", r.queue, r.values[0]) not in text]
    assert [r for r in own if r.queue == 0] == list(plain.chips[0].records)


def test_text_lies_where_nothing_else_does() -> None:
    """Bound words and words that the program touches are left alone, from the top down; slice 1 has one word left."""
    layout = "words [8191 of d0], side [], lanes []"
    bind = f'tsp_isa.bind "input" "x" : tensor<8191x1xi8> in <{layout}> at <[E1], address 1>'
    busy = [f"read at {40 + 2 * i} address 8191 stream E9 repeat 2" for i in range(2)]
    program = assembled(module({"MEM.E0": apart(6), "MEM.E2": busy}, TINY, bind))
    words = [w for chunks in program.chips[0].text.values() for chunk in chunks for w in chunk]
    assert len({*words}) == len(words)
    assert all(w.address == 0 for w in words if w[:2] == ("E", 1))
    assert all(w.address < 8191 for w in words if w[:2] == ("E", 2))


def test_a_fetch_overwrites_nothing_that_is_sampled() -> None:
    """While the streams E30 and W31 carry values past the queue to a write, the text takes others."""
    traffic: dict[str, list[str]] = {}
    for slice_, source, target, stream in ((40, "W", "E", "E30"), (36, "E", "W", "W31")):
        hops = 2 * (1 + slice_ // 4)
        traffic[f"MEM.{source}{slice_}"] = [f"read at 40 address 0 stream {stream} repeat 400"]
        traffic[f"MEM.{target}{slice_}"] = [f"write at {41 + hops} address 0 stream {stream} repeat 400"]
    program = assembled(module({"MEM.E0": apart(10)} | traffic, TINY))
    assert {f.record.values[0] for f in program.chips[0].fetches} == {stream_code("E", 28)}


# -- runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(64, 32), (64, 64), (1280, 640)])
def test_digits_on_small_queues(sizes: tuple[int, int]) -> None:
    subject = parse(DIGITS_TIMED.read_text())
    overrides = {"chip.queue_bytes": sizes[0], "chip.fetch_bytes": sizes[1]}
    subject.attributes[TARGET] = TargetAttr(system_from_overrides(overrides))
    program = assembled(subject)
    assert program.cycles == 925
    assert len(program.chips[0].fetches) == {(64, 32): 4, (64, 64): 3, (1280, 640): 0}[sizes]
    weights = load_weights(DIGITS / "digits.safetensors", interface_of(subject).parameters)
    executable = executable_from_module(subject, weights)
    inputs = load_inputs(DIGITS / "held_out.npz")
    assert JitEngine(mode="bulk").load(program).mode == "bulk"
    outputs = [
        Loaded(subject_, engine).run(inputs)[0]["logits"]
        for subject_ in (executable, from_bytes(to_bytes(executable)))
        for engine in ENGINES
    ]
    reference = parse(DIGITS_TIMED.read_text())
    expected = Loaded(executable_from_module(reference, weights), ReferenceEngine()).run(inputs)[0]["logits"]
    assert all(np.array_equal(out, expected) for out in outputs)


def layers(count: int, batch: int = 4, width: int = 64) -> str:
    """A chain of small matrix products, each with a map: many short runs in every queue."""
    i8, i32 = (f"tensor<{batch}x{width}x{t}>" for t in ("i8", "i32"))
    lines = [f'func.func @main(%x0: {i8} {{tsp_tensor.name = "x"}}) -> ({i8} {{tsp_tensor.name = "y"}}) {{']
    for i in range(count):
        lines += [
            f'  %w{i} = tsp_tensor.parameter "w{i}" : tensor<{width}x{width}xi8>',
            f"  %a{i} = tsp_tensor.matmul %x{i}, %w{i} : {i8}, tensor<{width}x{width}xi8> -> {i32}",
            f"  %x{i + 1} = tsp_tensor.map %a{i} : ({i32}) -> {i8} {{",
            "  ^bb0(%sum: i32):",
            "    %scale = arith.constant 3.0e-03 : f32",
            "    %0 = arith.sitofp %sum : i32 to f32",
            "    %1 = arith.mulf %0, %scale : f32",
            "    %2 = math.roundeven %1 : f32",
            "    %3 = arith.fptosi %2 : f32 to i8",
            "    tsp_tensor.yield %3 : i8",
            "  }",
        ]
    return "\n".join([*lines, f"  func.return %x{count} : {i8}", "}"])


def test_many_layers_on_small_queues() -> None:
    rng = np.random.default_rng(3)
    count = 30
    weights = {f"w{i}": rng.integers(-128, 128, (64, 64), np.int8) for i in range(count)}
    inputs = {"x": rng.integers(-128, 128, (4, 64), np.int8)}
    outputs, lengths, fetches = [], [], []
    for queue, fetch in ((1280, 640), (256, 128), (256, 256)):
        subject = parse(layers(count))
        overrides = {"chip.queue_bytes": queue, "chip.fetch_bytes": fetch}
        subject.attributes[TARGET] = TargetAttr(system_from_overrides(overrides))
        program = assembled(compile(subject, until="convert-stream-to-isa"))
        executable = executable_from_module(subject, weights)
        for engine in (JitEngine(), ReferenceEngine()):
            loaded = Loaded(executable, engine)
            outputs += [loaded.run(inputs)[0]["y"] for _ in range(2)]
        lengths.append(program.cycles)
        fetches.append(len(program.chips[0].fetches))
    assert all(np.array_equal(out, outputs[0]) for out in outputs)
    assert len({*lengths}) == 1
    assert fetches[0] == 0 and min(fetches[1:]) > 15


def test_a_long_chain_on_tiny_queues() -> None:
    """A fetch brings little more than it costs: hundreds of them leave hardly a free cycle, and some are taken back."""
    subject = parse(layers(100))
    subject.attributes[TARGET] = TargetAttr(system_from_overrides({"chip.queue_bytes": 128, "chip.fetch_bytes": 128}))
    compile(subject, until="isa-verify")
    program = program_from_module(subject)
    assert len(program.chips[0].fetches) > 500


def test_another_queue_starts_a_chip() -> None:
    """Behind what starts the chip the text of C2C.0 could not be fetched: the queue holds four instructions."""
    subject = parse((DIGITS / "digits_two_chips.mlir").read_text().replace("360x", "2x"))
    overrides = {"chip.queue_bytes": 64, "chip.fetch_bytes": 64, "system.chips": 2}
    subject.attributes[TARGET] = TargetAttr(system_from_overrides(overrides))
    compile(subject, until="isa-verify")
    program = program_from_module(subject)
    notify = TABLE.by_name["notify"].encode(())
    starts = [[name for name, text in chip.packed.items() if notify in text] for chip in program.chips]
    assert starts == [["C2C.1"], ["C2C.1"]]


SMALL = {
    "chip.tiles": 4,
    "chip.slices": 6,
    "chip.words": 256,
    "chip.streams": 16,
    "chip.weight_streams": 8,
    "chip.slices_per_hop": 2,
}


@settings(
    max_examples=40, deadline=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=[*HealthCheck]
)
@given(st.data())
def test_random_copies_on_a_crowded_chip(data: DataObject) -> None:
    """Copies from slice to slice with hardly a free stream: fetches change no bit of what they write."""
    draw = data.draw
    queues: dict[str, list[tuple[int, str]]] = {}
    clock = 60
    for i in range(draw(st.integers(10, 70))):
        clock += draw(st.integers(1, 20))
        source, target = draw(st.lists(st.integers(-6, 5), min_size=2, max_size=2, unique=True))
        places = [s // 2 + 1 if s >= 0 else -((-s - 1) // 2 + 1) for s in (source, target)]
        names = [f"MEM.E{s}" if s >= 0 else f"MEM.W{-s - 1}" for s in (source, target)]
        stream = ("E" if places[0] <= places[1] else "W") + str(draw(st.integers(12, 15)))
        late = clock + 1 + abs(places[0] - places[1])
        queues.setdefault(names[0], []).append((clock, f"read at {clock} address {i} stream {stream}"))
        queues.setdefault(names[1], []).append((late, f"write at {late} address {128 + i} stream {stream}"))
    lines = {name: [line for _, line in sorted(found)] for name, found in queues.items()}
    sizes = draw(st.sampled_from(((128, 80), (160, 80), (192, 96), (256, 128))))
    subject = module(lines, SMALL | {"chip.queue_bytes": sizes[0], "chip.fetch_bytes": sizes[1]})
    try:
        plain = program_from_module(subject)
    except HazardError:
        return  # two dispatches at once
    assume(first_hazard(plain) is None)
    try:
        program = assembled(subject)
    except (ScheduleError, CapacityError) as e:
        event(type(e).__name__)
        return
    event(f"fetches: {min(5, len(program.chips[0].fetches))}")
    contents = np.random.default_rng(1).integers(1, 256, (12, 128, 64), np.uint8)
    after = []
    for subject_ in (plain, program):
        session = ReferenceEngine().load(subject_)
        session.sram(0)[:, :128] = contents
        load_text(subject_, session)
        session.run()
        image = session.sram(0).copy()
        for word in program.chips[0].text_image(program.system.chip):
            image[word.unit(program.system.chip), word.address] = 0
        after.append(image)
    assert np.array_equal(*after)


# -- what is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"chip.fetch_bytes": 640}, CapacityError, "holds 4; a fetch brings 40, for which there is never room"),
        ({"chip.fetch_bytes": 16}, CapacityError, "a fetch brings 1, no more than the ifetch itself takes"),
        ({"chip.words": 2}, CapacityError, "no slice has a word free for its text"),
    ],
)
def test_a_chip_that_is_too_small(overrides: dict[str, int], error: type[Exception], message: str) -> None:
    small = TINY | {"chip.slices": 2, "chip.slices_per_hop": 1} | overrides
    queues = {"MEM.E0": apart(2) + apart(2, first=100) + apart(2, first=140)}
    if "chip.words" in overrides:  # both words of every other slice are read
        queues |= {
            f"MEM.{name}": [f"read at {40 + i} address {i} stream {stream}" for i in range(2)]
            for name, stream in (("E1", "E8"), ("W0", "W8"), ("W1", "W9"))
        }
    with pytest.raises(error, match=message):
        assembled(module(queues, small))


def test_a_queue_without_a_free_cycle() -> None:
    """Five different reads in five cycles; the queue holds four instructions, sync among them."""
    busy = [f"read at {35 + i} address {i * i} stream E{i}" for i in range(5)]
    with pytest.raises(ScheduleError, match=r"queue MEM\.E0 runs dry in cycle 38: .* it has no free cycle to fetch in"):
        assembled(module({"MEM.E0": busy}, TINY))


def test_a_fold_gives_way_to_a_fetch() -> None:
    """Reads at even distances are one run, which would keep the queue from fetching what comes after it."""
    run = [f"read at {50 + 10 * i} address {i} stream E4" for i in range(8)]
    rest = [f"read at {121 + i} address {100 + i * i} stream E{5 + i}" for i in range(3)]
    program = assembled(module({"MEM.E0": run + rest}, TINY | {"chip.fetch_bytes": 64, "chip.queue_bytes": 96}))
    assert program.chips[0].fetches


@pytest.mark.parametrize("engine", ENGINES, ids=("jit", "bulk", "reference"))
def test_text_that_arrives_damaged(engine: Engine) -> None:
    """What is in SRAM is compared with what was decoded, in every run."""
    program = assembled(module({"MEM.E0": apart(6)}, TINY))
    session = engine.load(program)
    load_text(program, session)
    first, second = session.run(), session.run()
    assert (first.issues == second.issues).all() and first.cycles == second.cycles == (program.cycles,)
    chunk = program.chips[0].text["MEM.E0"][1]
    session.sram(0)[chunk[0].unit(program.system.chip), chunk[0].address, 3] ^= 1
    with pytest.raises(HazardError) as e:
        session.run()
    assert e.value.kind == "text-wrong"
    assert e.value.cycle == program.chips[0].fetches[1].record.at


@pytest.mark.parametrize("engine", ENGINES, ids=("jit", "bulk", "reference"))
def test_a_scatter_to_text(engine: Engine) -> None:
    """Engines see where it writes: the map of 255s gives word 65535 of 8192, which is the last."""
    program = assembled(module({"MEM.E0": apart(3)}, TINY))
    chip, numbers = program.chips[0], program.system.chip.queue_numbers
    assert chip.text["MEM.E0"][0][0] == Word("E", 1, 8191)
    code, at = stream_code("E", 5), chip.cycles + 10
    copy = Record(numbers["VXM.0"], at, TABLE.by_name["copy"], (ElementType.I8, source_immediate(255), code))
    later = Record(numbers["MEM.E1"], at + 5, TABLE.by_name["scatter"], (0, code, code))
    records = tuple(sorted((*chip.records, copy, later), key=lambda r: r[:2]))
    longer = replace(chip, records=records, cycles=program_length(at + 5, program.system))
    subject = check_program(replace(program, chips=(longer,)))
    session = engine.load(subject)
    load_text(subject, session)
    with pytest.raises(HazardError) as e:
        session.run()
    assert e.value.key == ("text-overwritten", 0, "word E1[8191]", at + 5)
    proven = first_hazard(subject)
    assert proven is not None and (proven.kind, proven.cycle) == (e.value.kind, e.value.cycle)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<E1[8191] E2[8191]", "<E1[8191] E1[8190]", "but its words are read side by side"),
        ("<E1[8191] E2[8191]", "<E1[8192] E2[8191]", "a word that the chip does not have"),
        ("<E1[8191] E2[8191], ", "<", "its text lies in 2 chunks, but what does not fit into the queue makes 3"),
    ],
)
def test_places_of_text_that_cannot_be(old: str, new: str, message: str) -> None:
    subject = module({"MEM.E0": apart(3)}, TINY)
    assembled(subject)
    text = str(subject)
    assert old in text
    with pytest.raises(Exception, match=message):
        parse(text.replace(old, new))


def test_text_and_tensors_lie_apart() -> None:
    subject = module({"MEM.E0": apart(3)}, TINY)
    assembled(subject)
    bind = 'tsp_isa.bind "input" "x" : tensor<2x1xi8> in <words [2 of d0], side [], lanes []> at <[E1], address 8190>\n'
    text = str(subject).replace('tsp_isa.packed "C2C.0"', bind + 'tsp_isa.packed "C2C.0"')
    with pytest.raises(MalformedProgram, match=r'program text and input "x" lie in E1\[8191\]'):
        program_from_module(parse(text))


def test_the_report_says_what_text_costs() -> None:
    program = assembled(module({"MEM.E0": apart(3)}, TINY))
    spec, chip = program.system.chip, program.chips[0]
    size = sum(map(len, chip.packed.values()))
    assert len(chip.fetches) == 3
    slots, words = 9 / (144 * program.cycles), 6 / (2 * spec.slices * spec.words)
    assert text_cost(program) == f"{size} bytes, 3 fetches: {slots:.3%} of the issue slots, {words:.3%} of the SRAM"
