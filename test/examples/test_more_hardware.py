"""Small programs on machines that differ from the published one in one number: the same bits on all of them, and no
program is longer because there is more of something. `python bench/more_hardware.py` prints a table of larger ones."""

from __future__ import annotations

from functools import cache

import pytest
from machine_cases import OTHERS, RESOURCES, SMALL, chip_with
from tspc.dialects.errors import UnsupportedModel
from tspc.dialects.machine.target import ChipSpec


@cache
def cycles(name: str, field: str = "", value: int = 0) -> int:
    """The length of a program, which is run, on the published chip or one with another number."""
    return PROGRAMS[name].run(chip_with(field, value) if field else ChipSpec())


PROGRAMS = {name: make() for name, make in SMALL.items()}


@pytest.mark.parametrize("field", RESOURCES)
@pytest.mark.parametrize("name", ["digits", "convolutions", "product"])
def test_more_units_make_no_program_longer(name: str, field: str) -> None:
    found = {value: cycles(name, field, value) for value in RESOURCES[field]}
    assert [*found.values()] == sorted(found.values(), reverse=True), found


@pytest.mark.parametrize(("field", "value"), [("planes", 8), ("streams", 48), ("alus", 32)])
@pytest.mark.parametrize("name", ["attention", "maps"])
def test_more_units_than_published_make_no_program_longer(name: str, field: str, value: int) -> None:
    assert cycles(name, field, value) <= cycles(name)


@pytest.mark.parametrize(
    ("field", "value"), [("streams", 16), ("alus", 1), ("slices", 24), ("lanes_per_tile", 32), ("weight_streams", 32)]
)
@pytest.mark.parametrize("name", ["attention", "maps"])
def test_machines_with_little_of_something(name: str, field: str, value: int) -> None:
    """For which slices, streams or ALUs are too few for the way that is shortest on the published chip."""
    assert cycles(name, field, value) > 0


@pytest.mark.parametrize("field", OTHERS)
@pytest.mark.parametrize("name", ["digits", "convolutions", "product"])
def test_other_machines_give_the_same_bits(name: str, field: str) -> None:
    assert all(cycles(name, field, value) > 0 for value in OTHERS[field])


def test_f16_takes_a_pair_of_planes() -> None:
    with pytest.raises(UnsupportedModel, match="takes a pair of planes, and a hemisphere has one; use i8"):
        cycles("attention", "planes", 2)
