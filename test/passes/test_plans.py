"""Parts of a machine: which are planned for, and how a program that is planned for one runs on the whole."""

from __future__ import annotations

import pytest
from machine_cases import product
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import TargetError
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.target_attr import TARGET, WHOLE, TargetAttr, target_of
from tspc.passes.pipelines import compile, make_context, parse
from tspc.passes.plans import COUNTS, PlanForPartPass, parts, put_on_whole
from tspc.passes.policy import Policy
from tspc.passes.stream.schedule.account import scheduled_length
from xdsl.dialects.builtin import ModuleOp

PRODUCT = product(40, 640, 320).text


def module_on(chip: ChipSpec) -> ModuleOp:
    module = parse(PRODUCT)
    module.attributes[TARGET] = TargetAttr(SystemSpec(chip))
    return module


@pytest.mark.parametrize(
    ("field", "count", "tried"),
    [
        ("planes", 4, [4]),
        ("planes", 6, [6, 4]),
        ("planes", 16, [16, 8, 4]),
        ("planes", 2, [2]),
        ("streams", 24, [24, 16]),
        ("streams", 64, [64, 32]),
        ("streams", 16, [16]),
        ("alus", 12, [12, 8]),
        ("alus", 1, [1]),
        ("accumulators", 16, [16]),
        ("accumulators", 1000, [1000, 512, 256]),
        ("words", 1024, [1024]),
    ],
)
def test_the_parts_that_are_planned_for(field: str, count: int, tried: list[int]) -> None:
    assert [getattr(chip, field) for chip in parts(ChipSpec(**{field: count}))] == tried


def test_a_machine_with_more_of_everything_has_few_parts() -> None:
    found = parts(ChipSpec(planes=32, streams=128, alus=64, accumulators=4096, transposers=8))
    assert len(found) == Policy.most_parts and len(set(found)) == len(found)


def test_streams_of_a_part_are_enough_for_weights() -> None:
    assert [chip.streams for chip in parts(ChipSpec(streams=24, weight_streams=20))] == [24]


def test_a_part_runs_on_the_whole() -> None:
    """Of eight planes a part with four has two of each hemisphere, which are 0, 1, 4 and 5."""
    module = module_on(ChipSpec(planes=8))
    PlanForPartPass(planes=4).apply(make_context(), module)
    assert target_of(module).chip.planes == 4 and WHOLE in module.attributes
    compile(module, until="stream-schedule")
    length, planned = scheduled_length(module), planes_of(module)
    put_on_whole(module)
    assert target_of(module).chip.planes == 8 and WHOLE not in module.attributes
    assert planned <= {0, 1, 2, 3} and planes_of(module) == {p + 2 * (p > 1) for p in planned}
    assert scheduled_length(module) == length


def planes_of(module: ModuleOp) -> set[int]:
    return {op.plane.value.data for op in module.walk() if isinstance(op, ts.MatmulOp) and op.plane is not None}


def test_a_program_goes_on_where_it_was_planned_for_a_part() -> None:
    text = str(module_on(ChipSpec(planes=16)))
    for until in ("convert-tensor-to-stream", "stream-schedule"):
        assert compile(compile(text, until)) == compile(text)


def test_a_part_has_no_more_than_the_whole() -> None:
    with pytest.raises(TargetError, match="a part of the machine cannot have 8 planes of 4, 20 alus of 16; give fewer"):
        PlanForPartPass(planes=8, alus=20).apply(make_context(), module_on(ChipSpec()))


def test_what_is_counted_are_fields_of_a_chip() -> None:
    assert all(hasattr(ChipSpec(), name) for name in COUNTS)
