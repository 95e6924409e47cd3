"""What the JIT engine takes for an instruction, per vector of 320 lanes, and for products, on every path of the host.

`python bench/instructions.py` prints nanoseconds and GMAC/s, each the best of several runs of a loop of one instruction
beside the reads that feed it, whose time is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import ElementType, FieldKind, Loop, Record, stream_code
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, check_program, program_length
from tspc.runtime.jit import JitEngine
from tspc.runtime.jit.cache import available_paths

COUNT = 4000
SYSTEM = SystemSpec(chip=ChipSpec(words=64))
CHIP = SYSTEM.chip
Row = tuple[str, int, str, Sequence[int], Sequence[Loop]]
"""A queue, a cycle, a mnemonic, values and loops."""


def east(number: int) -> int:
    return stream_code("E", number)


def west(number: int) -> int:
    return stream_code("W", number)


def seconds(rows: Sequence[Row], engine: JitEngine) -> float:
    """The least time of a run."""
    numbers = CHIP.queue_numbers
    records = [Record(numbers[q], at, TABLE.by_name[name], tuple(v), tuple(loops)) for q, at, name, v, loops in rows]
    ordered = tuple(sorted(records, key=lambda r: r[:2]))
    length = program_length(max(r.last for r in ordered), SYSTEM)
    program = check_program(Program(SYSTEM, Topology(()), (ChipProgram(0, length, ordered, (), {}),)))
    session = engine.load(program)
    session.sram(0)[:] = np.random.default_rng(0).integers(0, 60, session.sram(0).shape, np.uint8)
    times: list[float] = []
    for _ in range(9):
        started = time.perf_counter()
        session.run()
        times.append(time.perf_counter() - started)
    return min(times)


def repeated(queue: str, at: int, name: str, values: Sequence[int], every: int = 1) -> Row:
    return queue, at, name, values, (Loop(COUNT, every, 0),)


def position(queue: str) -> int:
    return CHIP.queues[CHIP.queue_numbers[queue]].position


def feed(slice_: str, stream: int, where: int, when: int, every: int = 1) -> Row:
    """Reads that are at position `where` from cycle `when` on."""
    at = when - CHIP.latency_read - abs(where - position(slice_))
    return repeated(slice_, at, "read", (0, stream), every)


def alu(name: str, element: ElementType, result: ElementType, engine: JitEngine) -> float:
    """Nanoseconds of an ALU instruction from streams to streams."""
    fields = TABLE.by_name[name].fields
    first = {"a": west(0), "b": east(0), "condition": west(4)}
    named = {"type": element, "result_type": result, "to": east(8), **first}
    reads: list[Row] = []
    for f in fields:
        if f.kind == FieldKind.SOURCE:
            for i in range(1 if f.name == "condition" else element.bytes):
                side, slice_ = ("W", i) if f.name == "b" else ("E", i + 4 * (f.name == "condition"))
                reads.append(feed(f"MEM.{side}{slice_}", first[f.name] + i, 0, 20))
    issue = repeated("VXM.0", 20, name, [named[f.name] for f in fields])
    return (seconds([*reads, issue], engine) - seconds(reads, engine)) / COUNT * 1e9


def move(unit: str, name: str, values: Sequence[int], sources: int, results: int, engine: JitEngine) -> float:
    """Nanoseconds for each vector that an instruction of the SXM or of MEM drives."""
    reads = [feed(f"MEM.E{i}", east(i), position(unit), 60) for i in range(sources)]
    issue = repeated(unit, 60, name, values)
    return (seconds([*reads, issue], engine) - seconds(reads, engine)) / COUNT / results * 1e9


def product(name: str, engine: JitEngine) -> float:
    """GMAC/s of one plane, or of a pair of planes for fp16."""
    width, every = (2, 2) if name == "abc_f16" else (1, 1)
    rows: list[Row] = []
    at = 40
    for plane in range(width):
        steps = (Loop(CHIP.load_cycles, 1, 1),)
        for i in range(CHIP.weight_streams):
            queue, start, read, values, _ = feed(f"MEM.E{i}", east(i), CHIP.mxm_distance, at)
            rows.append((queue, start, read, values, steps))
        rows.append((f"MXM.{plane}.weights", at, "lw", (0, east(0)), steps))
        rows.append((f"MXM.{plane}.weights", at + CHIP.load_cycles, "iw", (), ()))
        at += CHIP.load_cycles + 1
    rows += [feed(f"MEM.E{20 + i}", east(16 + i), CHIP.mxm_distance, at, every) for i in range(width)]
    rows.append(("MXM.0.activations", at, name, (COUNT, east(16)), ()))
    rows.append(repeated("MXM.0.accumulators", at + CHIP.latency_array, "acc", (0, 0), every))
    return COUNT * CHIP.lanes**2 / seconds(rows, engine) / 1e9


def main() -> None:
    i8, i16, i32, f16, f32 = ElementType
    for path in available_paths():
        engine = JitEngine(path)
        print(f"path {path}")
        for name in ("add", "mul", "max", "add_sat", "shl", "lt", "select", "relu", "exp", "log", "tanh", "rsqrt"):
            types = [t for t in (i8, i32, f16, f32) if t in TABLE.by_name[name].fields[0].types]
            print(f"  {name:12}", "".join(f"{t.text:>6} {alu(name, t, t, engine):5.0f} ns" for t in types))
        pairs = [(i8, f32), (i32, i8), (f32, i8), (i16, f16), (f16, f32), (f32, f16)]
        print("  convert     ", "".join(f" {a.text}->{b.text} {alu('convert', a, b, engine):.0f} ns" for a, b in pairs))
        for unit, name, values, sources, results in (
            ("MEM.E4", "gather", (0, east(0), east(2)), 1, 1),
            ("MEM.E4", "scatter", (0, east(0), east(1)), 2, 1),
            ("SXM.E.shift", "shift", (7, 0, east(0), west(0)), 1, 1),
            ("SXM.E.shift", "lane_select", (east(0), east(1), east(2), west(0)), 3, 1),
            ("SXM.E.permute", "permute", (east(0), east(2), west(0)), 3, 1),
            ("SXM.E.distribute", "distribute", (east(0), east(1), west(0)), 2, 1),
            ("SXM.E.rotate", "rotate4", (east(0), west(0)), 4, 16),
            ("SXM.E.transpose0", "transpose", (east(0), west(0)), 16, 16),
        ):
            print(f"  {name:12} {move(unit, name, values, sources, results, engine):12.0f} ns")
        for name in ("abc", "abc_f16"):
            print(f"  {name:12} {product(name, engine):12.1f} GMAC/s")


if __name__ == "__main__":
    main()
