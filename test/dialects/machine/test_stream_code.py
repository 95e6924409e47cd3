"""How streams are coded, and where their values are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.machine.instruction import CHAIN, source_alu, source_immediate
from tspc.dialects.machine.stream_code import (
    diagonal_of,
    direction_of,
    group_of,
    is_stream,
    is_westward,
    number_of,
    place_of,
    position_of,
    register_text,
    stream_code,
    stream_text,
)

directions, numbers = st.sampled_from("EW"), st.integers(0, 127)
positions, cycles = st.integers(-60, 60), st.integers(0, 1 << 40)


@given(directions, numbers)
def test_a_code_is_a_direction_and_a_number(direction: str, number: int) -> None:
    code = stream_code(direction, number)
    assert code == number + 128 * (direction == "W")
    assert is_stream(code)
    assert (direction_of(code), number_of(code), is_westward(code)) == (direction, number, direction == "W")
    assert stream_text(code) == f"{direction}{number}"


@pytest.mark.parametrize("value", [CHAIN, source_alu(0), source_immediate(4), -1])
def test_what_is_no_stream(value: int) -> None:
    assert not is_stream(value)


def test_a_group_and_a_register() -> None:
    assert [*map(stream_text, group_of(stream_code("W", 30), 2))] == ["W30", "W31"]
    assert register_text(stream_code("E", 4), -3) == "stream E4 at position -3"


@given(directions, positions, cycles, st.integers(0, 100))
def test_a_value_keeps_its_diagonal_on_its_way(direction: str, position: int, cycle: int, hops: int) -> None:
    code, step = stream_code(direction, 5), 1 if direction == "E" else -1
    diagonal, later = diagonal_of(code, position, cycle), position + step * hops
    assert diagonal_of(code, later, cycle + hops) == diagonal
    assert position_of(code, diagonal, cycle + hops) == later
    assert place_of(code, later, 60) - place_of(code, position, 60) == hops


@pytest.mark.parametrize("direction", "EW")
def test_arrays_are_treated_element_by_element(direction: str) -> None:
    code, where, when = stream_code(direction, 0), np.arange(-3, 4), np.arange(7) * 10
    pairs = [*zip(where.tolist(), when.tolist(), strict=True)]
    assert diagonal_of(code, where, when).tolist() == [diagonal_of(code, p, t) for p, t in pairs]
    assert place_of(code, where, 3).tolist() == [place_of(code, p, 3) for p, _ in pairs]
    assert position_of(code, diagonal_of(code, where, when), when).tolist() == where.tolist()
