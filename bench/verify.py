"""Issues per second that the static verifier proves, on one core.

The program is made of rounds as a compiler would lay them out, one 320 cycles after the other: install weights, stream
256 activations through a plane, requantise the sums in a chain of ALUs, copy eight words per cycle across the chip and
add two int32 tensors.

    python bench/verify.py [--short]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import (
    CHAIN,
    ElementType,
    Loop,
    Record,
    source_alu,
    source_immediate,
    stream_code,
)
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, check_program, program_length
from tspc.passes.isa.verify.proof import first_hazard

CHIP = DEFAULT_SYSTEM.chip
VECTORS = 256
PERIOD = 320
SCALE = source_immediate(0x3C000000)
EAST, WEST = (stream_code(d, 0) for d in "EW")


def issue(queue: str, at: int, name: str, *values: int, count: int = VECTORS, step: int = 0) -> Record:
    """`count` issues of an instruction in consecutive cycles."""
    loops = (Loop(count, 1, step),) if count > 1 else ()
    return Record(CHIP.queue_numbers[queue], at, TABLE.by_name[name], values, loops)


def hops(a: str, b: str) -> int:
    """Cycles that a value takes from one queue's unit to another's."""
    return abs(CHIP.queues[CHIP.queue_numbers[a]].position - CHIP.queues[CHIP.queue_numbers[b]].position)


def feed(source: str, stream: int, consumer: str, at: int, count: int = VECTORS) -> Record:
    """The reads that bring words 0, 1, ... to a unit from cycle `at` on."""
    return issue(source, at - hops(source, consumer) - CHIP.latency_read, "read", 0, stream, count=count, step=1)


def drain(driver: str, target: str, stream: int, at: int) -> Record:
    """The writes of what a unit drives from cycle `at` on to words 0, 1, ..."""
    return issue(target, at + hops(driver, target) - CHIP.latency_write, "write", 0, stream, step=1)


def matmul(start: int) -> Iterator[Record]:
    """A plane's weights and vectors, and the requantised sums back to memory."""
    weights, activations, accumulators = (f"MXM.0.{part}" for part in ("weights", "activations", "accumulators"))
    for i in range(CHIP.weight_streams):
        yield feed(f"MEM.E{i}", EAST + i, weights, start, count=CHIP.load_cycles)
    yield issue(weights, start, "lw", 0, EAST, count=CHIP.load_cycles, step=1)
    install = start + CHIP.load_cycles
    yield issue(weights, install, "iw", count=1)
    entry = install + CHIP.latency_install
    yield feed("MEM.E20", EAST + 16, activations, entry)
    yield issue(activations, entry, "abc", VECTORS, EAST + 16, count=1)
    taken = entry + CHIP.latency_array
    yield issue(accumulators, taken, "acc_emit", 0, 0, WEST, step=1)
    at = taken + CHIP.latency_egress + hops(accumulators, "VXM.0")
    alu = CHIP.latency_alu
    yield issue("VXM.0", at, "convert", ElementType.I32, WEST, ElementType.F32, CHAIN)
    yield issue("VXM.1", at + alu, "mul", ElementType.F32, source_alu(0), SCALE, CHAIN)
    yield issue("VXM.2", at + 2 * alu, "convert", ElementType.F32, source_alu(1), ElementType.I8, WEST + 4)
    yield drain("VXM.2", "MEM.W8", WEST + 4, at + 3 * alu + CHIP.latency_vxm_entry)


def copies(start: int) -> Iterator[Record]:
    """Eight words a cycle from the eastern hemisphere to the western."""
    for i in range(8):
        source, target = f"MEM.E{24 + i}", f"MEM.W{16 + i}"
        yield issue(source, start, "read", 0, WEST + 8 + i, step=1)
        yield drain(source, target, WEST + 8 + i, start + CHIP.latency_read)


def addition(start: int) -> Iterator[Record]:
    """The sum of two int32 tensors, from the western hemisphere to the eastern."""
    for i in range(8):
        yield feed(f"MEM.W{24 + i}", EAST + 20 + i, "VXM.4", start)
    yield issue("VXM.4", start, "add", ElementType.I32, EAST + 20, EAST + 24, EAST + 28)
    for i in range(4):
        driven = start + CHIP.latency_vxm_entry + CHIP.latency_alu
        yield drain("VXM.4", f"MEM.E{32 + i}", EAST + 28 + i, driven)


def program(rounds: int) -> Program:
    """A valid program of one chip, with so many rounds."""
    records = [
        record
        for r in range(rounds)
        for part in (matmul, copies, addition)
        for record in part(DEFAULT_SYSTEM.release + r * PERIOD)
    ]
    records.sort(key=lambda r: (r.queue, r.at))
    cycles = program_length(max(r.last for r in records), DEFAULT_SYSTEM)
    return check_program(Program(DEFAULT_SYSTEM, Topology(()), (ChipProgram(0, cycles, tuple(records), (), {}),)))


def issues_of(record: Record) -> int:
    """Cycles in which a record dispatches."""
    count = record.instruction.occupancy(record.values)
    for loop in record.loops:
        count *= loop.count
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description="issues per second that the static verifier proves")
    parser.add_argument("--short", action="store_true", help="a tenth of the program, for a quick look")
    rounds = 50 if parser.parse_args().short else 500
    subject = program(rounds)
    records = subject.chips[0].records
    issues = sum(map(issues_of, records))
    start = time.perf_counter()
    hazard = first_hazard(subject)
    seconds = time.perf_counter() - start
    assert hazard is None, hazard
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| cycles | records | issues | seconds | issues/second | peak MiB |")
    print("|---|---|---|---|---|---|")
    print(f"| {subject.cycles} | {len(records)} | {issues} | {seconds:.3f} | {issues / seconds:,.0f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
