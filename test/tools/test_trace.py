"""`tsp-run --trace`: the file keeps the Chrome trace event format, and says of every record and value what is true."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from harness import DIGITS, refusal, run
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import Loop, Record
from tspc.dialects.machine.stream_code import stream_code, stream_text
from tspc.dialects.machine.target import DEFAULT_SYSTEM, ChipSpec, SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, program_from_module, program_length
from tspc.passes.pipelines import compile, parse
from tspc.tools import tsp_run
from tspc.tools.flows import Flows
from tspc.tools.trace import trace_events, write_trace

Event = dict[str, Any]


def example(name: str) -> Program:
    return program_from_module(compile(parse((DIGITS / name).read_text())))


def events_of(program: Program) -> list[Event]:
    return [json.loads(event) for event in trace_events(program)]


def timed(body: str, cycles: int) -> Program:
    """A program of chip 0 in timed form."""
    return program_from_module(parse(f"tsp_isa.program @main chip 0 cycles {cycles} {{ {body} }}"))


def cycle_of(event: Event) -> int:
    """The cycle of an event at 900 MHz, whose time has been cut to nanoseconds."""
    return math.ceil(event["ts"] * 900 - 1e-6)


@pytest.fixture(scope="module", params=["digits.mlir", "digits_two_chips.mlir"])
def traced(request: pytest.FixtureRequest) -> tuple[Program, list[Event]]:
    program = example(request.param)
    return program, events_of(program)


# -- the format ----------------------------------------------------------------------------------------------------


def test_the_file_is_one_json_object_with_the_keys_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "digits.json"
    out = run(DIGITS / "digits.mlir", "--trace", path)
    assert "not run, for want of --inputs" in out
    document = json.loads(path.read_text())
    assert document["displayTimeUnit"] == "ns"
    assert document["otherData"] == {"clock_mhz": 900, "cycles": example("digits.mlir").chips[0].cycles, "chips": 1}
    for event in document["traceEvents"]:
        assert {"name", "ph", "ts", "pid", "tid", "args"} <= event.keys()
        assert event["ph"] in "MXsfC"
        assert event["ts"] >= 0
        if event["ph"] in "sf":
            assert {"id", "cat"} <= event.keys()


def test_a_run_writes_it_too(tmp_path: Path) -> None:
    path = tmp_path / "digits.json"
    inputs = DIGITS / "held_out.npz"
    out = run(DIGITS / "digits.mlir", "--inputs", inputs, "--trace", path, "--engine", "reference")
    assert re.search(rf"cycles +{example('digits.mlir').chips[0].cycles} ", out)
    assert json.loads(path.read_text())["traceEvents"]


def test_every_record_is_a_slice_and_slices_of_a_thread_do_not_overlap(traced: tuple[Program, list[Event]]) -> None:
    program, events = traced
    threads: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append(event)
    assert sum(map(len, threads.values())) == sum(len(c.records) for c in program.chips)
    for slices in threads.values():
        assert all(s["dur"] > 0 for s in slices)
        for first, second in pairwise(slices):
            assert first["ts"] + first["dur"] <= second["ts"] + 1e-9


def test_slices_say_what_the_record_is(traced: tuple[Program, list[Event]]) -> None:
    program, events = traced
    slices = iter(e for e in events if e["ph"] == "X")
    for chip in program.chips:
        for record in chip.records:
            event = next(slices)
            issues = len(list(record.issues()))
            assert event["name"] == record.instruction.name
            cycles = record.last + 1 - record.at
            assert event["args"] == {"assembly": record.text, "issues": issues, "cycle": record.at, "cycles": cycles}
            assert abs(event["ts"] - record.at / 900) < 1e-3  # microseconds at 900 MHz, cut to nanoseconds
            assert abs(event["dur"] - cycles / 900) < 1e-3


def test_chips_are_processes_and_queues_are_threads_from_west_to_east(traced: tuple[Program, list[Event]]) -> None:
    program, events = traced
    named = {(e["pid"], e["tid"], e["name"]): e["args"] for e in events if e["ph"] == "M"}
    queues = program.system.chip.queues
    for chip in program.chips:
        pid = chip.chip + 1
        assert named[pid, 0, "process_name"] == {"name": f"chip {chip.chip}"}
        ranks: list[tuple[int, int]] = []
        for queue in {r.queue for r in chip.records}:
            assert named[pid, queue + 1, "thread_name"] == {"name": queues[queue].name}
            ranks.append((named[pid, queue + 1, "thread_sort_index"]["sort_index"], queues[queue].position))
        assert [p for _, p in sorted(ranks)] == sorted(p for _, p in ranks)


@pytest.mark.parametrize("clock", [900, 1000, 1, 2400])
def test_times_are_those_of_the_clock(clock: int) -> None:
    system = SystemSpec(ChipSpec(clock_mhz=clock))
    records = tuple(Record(0, at, TABLE.by_name["read"], (0, 0)) for at in range(35, 60))
    program = Program(system, Topology(()), (ChipProgram(0, program_length(59, system), records, (), {}),))
    slices = [e for e in events_of(program) if e["ph"] == "X"]
    for event in slices:
        assert abs(event["ts"] - event["args"]["cycle"] / clock) < 1e-3
    ends = [(e["ts"], e["ts"] + e["dur"]) for e in slices]
    assert all(abs(a[1] - b[0]) < 1e-9 for a, b in pairwise(ends))
    assert all(a < b for a, b in ends)


# -- arrows --------------------------------------------------------------------------------------------------------


def test_arrows_are_complete_and_monotonic_and_end_in_slices(traced: tuple[Program, list[Event]]) -> None:
    _, events = traced
    slices: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            slices[e["pid"], e["tid"]].append((e["ts"], e["ts"] + e["dur"]))
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys() == set(range(len(starts)))
    assert len([e for e in events if e["ph"] in "sf"]) == 2 * len(starts)
    for number, start in starts.items():
        end = ends[number]
        assert end["bp"] == "e"
        assert (start["name"], start["cat"]) == (end["name"], end["cat"])
        assert start["ts"] <= end["ts"]
        for event in (start, end):
            around = slices[event["pid"], event["tid"]]
            assert any(a <= event["ts"] < b - 1e-9 for a, b in around), event


def test_arrows_cross_chips_on_links() -> None:
    program = example("digits_two_chips.mlir")
    links = [e for e in events_of(program) if e.get("cat") == "link"]
    assert [(e["ph"], e["pid"]) for e in links] == [("s", 1), ("f", 2)]
    start, end = links
    assert start["args"]["vectors"] == 360
    system = program.system
    assert end["args"]["cycle"] - start["args"]["cycle"] == system.chip.latency_send + system.link_latency


def by_brute_force(program: Program) -> Counter[tuple[int, int]]:
    """Who samples a stream vector that who has driven, one vector at a time: pairs of records of chip 0."""
    spec = program.system.chip
    driven: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    sampled: list[tuple[int, int, int, int]] = []
    for number, record in enumerate(program.chips[0].records):
        position = spec.queues[record.queue].position
        for cycle, values in record.issues():
            for vector in range(record.instruction.vectors(values)):
                t = cycle + vector * record.instruction.pace
                for role in ("drive", "read"):
                    for use in record.instruction.stream_uses(role, values, spec):
                        for code in range(use.code, use.code + use.width):
                            way = position if stream_text(code)[0] == "E" else -position
                            diagonal = t + use.offset - way
                            if role == "drive":
                                driven[code, diagonal].append((way, number))
                            else:
                                sampled.append((code, diagonal, way, number))
    pairs: Counter[tuple[int, int]] = Counter()
    for code, diagonal, way, number in sampled:
        before = [d for d in driven[code, diagonal] if d[0] <= way]
        if before:
            pairs[max(before)[1], number] += 1
    return pairs


def stream_pairs(program: Program) -> Counter[tuple[int, int]]:
    found = [f for f in Flows(program).pairs() if f.kind == "stream" and f.giver_chip == 0]
    return Counter(
        {
            (giver, taker): vectors
            for f in found
            for giver, taker, vectors in zip(f.giver.tolist(), f.taker.tolist(), f.vectors.tolist(), strict=True)
        }
    )


@pytest.mark.parametrize("name", ["digits.mlir", "digits_two_chips.mlir"])
def test_streams_join_the_records_that_a_walk_over_all_vectors_finds(name: str) -> None:
    program = example(name)
    assert stream_pairs(program) == by_brute_force(program)


def test_a_unit_on_the_way_that_drives_the_same_register_takes_over() -> None:
    # MEM.E0 (at +1) drives E0 from cycle 36 on, MEM.E8 (at +3) the same diagonals 4 to 7 of 10; MEM.E12 (at +4) writes.
    program = timed(
        """
        tsp_isa.queue "MEM.E0" { tsp_isa.read at 35 address 0 stream E0 repeat 10 step 1 }
        tsp_isa.queue "MEM.E8" { tsp_isa.read at 41 address 0 stream E0 repeat 4 }
        tsp_isa.queue "MEM.E12" { tsp_isa.write at 39 address 0 stream E0 repeat 10 step 1 }
        """,
        69,
    )
    assert stream_pairs(program) == {(0, 2): 6, (1, 2): 4} == by_brute_force(program)


def test_repeats_that_leave_gaps_are_followed_too() -> None:
    program = timed(
        """
        tsp_isa.queue "MEM.E0" { tsp_isa.read at 35 address 0 stream E0 repeat 3 every 2 step 1 repeat 2 every 11 }
        tsp_isa.queue "MEM.E1" { tsp_isa.read at 36 address 0 stream E0 repeat 2 every 11 }
        tsp_isa.queue "MEM.E4" { tsp_isa.write at 37 address 0 stream E0 repeat 6 step 1 repeat 2 every 11 }
        """,
        74,
    )
    expected = by_brute_force(program)
    assert expected == {(0, 2): 6, (1, 2): 2}
    assert stream_pairs(program) == expected


# -- counters ------------------------------------------------------------------------------------------------------


def test_counters_are_the_units_at_work_in_every_cycle(traced: tuple[Program, list[Event]]) -> None:
    program, events = traced
    for chip in program.chips:
        busy: dict[str, Counter[int]] = defaultdict(Counter)
        for record in chip.records:
            for cycle, values in record.issues():
                kind = program.system.chip.queues[record.queue].kind
                busy[kind].update(range(cycle, cycle + record.instruction.occupancy(values)))
        counters = [e for e in events if e["ph"] == "C" and e["pid"] == chip.chip + 1]
        assert {e["name"].split(" busy")[0] for e in counters} == busy.keys()
        for kind, counts in busy.items():
            changes = [e for e in counters if e["name"].split(" busy")[0] == kind]
            assert changes[-1]["args"]["units"] == 0
            last = 0
            seen: Counter[int] = Counter()
            for event, after in pairwise(changes):
                assert event["args"]["units"] != last
                last = event["args"]["units"]
                for cycle in range(cycle_of(event), cycle_of(after)):
                    seen[cycle] = last
            assert +seen == counts


# -- size and errors -----------------------------------------------------------------------------------------------


def test_a_hundred_thousand_records_take_seconds(tmp_path: Path) -> None:
    read, write, spec = TABLE.by_name["read"], TABLE.by_name["write"], DEFAULT_SYSTEM.chip
    records: list[Record] = []
    for s in range(0, 40, 8):  # each of five slices to one a hop to its west
        stream, loops = stream_code("W", s // 8), (Loop(16, 1, 1),)
        for at in range(40, 200_040, 20):
            records.append(Record(spec.queue_numbers[f"MEM.E{s + 4}"], at, read, (0, stream), loops))
            records.append(Record(spec.queue_numbers[f"MEM.E{s}"], at + 2, write, (0, stream), loops))
    records.sort(key=lambda r: r[:2])
    length = program_length(records[-1].last, DEFAULT_SYSTEM)
    chip = ChipProgram(0, length, tuple(records), (), {})
    program = Program(DEFAULT_SYSTEM, Topology(()), (chip,))
    assert len(records) == 100_000
    start = time.perf_counter()
    write_trace(program, tmp_path / "t.json")
    assert time.perf_counter() - start < 10
    kinds = Counter(e["ph"] for e in json.loads((tmp_path / "t.json").read_text())["traceEvents"])
    assert (kinds["X"], kinds["s"], kinds["f"]) == (100_000, 50_000, 50_000)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere" / "t.json"
    said = refusal(tsp_run.main, DIGITS / "digits.mlir", "--trace", folder)
    assert said.endswith(f"there is no folder {folder.parent}; make it first")
    text = refusal(tsp_run.main, DIGITS / "digits.mlir", "--trace", tmp_path / "t.json", "--level", "tensor")
    assert text == "--level tensor has no time; leave it out for --trace, --profile and --stop-at"
