"""Random chains of stream ops with the SXM, gather and the ALUs: every level and every engine against numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_stream_ops import Text, by_lane, check, random, stream
from tspc.dialects.machine.target import load_toml

Array = npt.NDArray[Any]

Step = Callable[[Text, np.random.Generator, str, Array, int], tuple[str, Array]]


def shift_step(program: Text, rng: np.random.Generator, source: str, x: Array, number: int) -> tuple[str, Array]:
    count, up, s = int(rng.integers(0, x.shape[1] + 1)), bool(rng.integers(2)), stream(x.shape)
    program.op(f'%s{number} = tsp_stream.shift {source} by {count} "{"up" if up else "down"}" : {s} -> {s}')
    zeros = np.zeros((len(x), count), np.int8)
    kept = x[:, : x.shape[1] - count] if up else x[:, count:]
    return f"%s{number}", np.concatenate([zeros, kept] if up else [kept, zeros], axis=1)


def permute_step(program: Text, rng: np.random.Generator, source: str, x: Array, number: int) -> tuple[str, Array]:
    numbers, s = rng.integers(0, x.shape[1] + 3, x.shape).astype(np.int16), stream(x.shape)
    other = program.read(f"n{number}", numbers)
    program.op(f"%s{number} = tsp_stream.permute {source} by {other} : {s}, {stream(x.shape, np.int16)} -> {s}")
    return f"%s{number}", by_lane(x, numbers, x.shape[1])


def distribute_step(program: Text, rng: np.random.Generator, source: str, x: Array, number: int) -> tuple[str, Array]:
    tile, s = program.chip.lanes_per_tile, stream(x.shape)
    numbers = rng.integers(0, tile + 2, x.shape, np.int8)
    other = program.read(f"n{number}", numbers)
    program.op(f"%s{number} = tsp_stream.distribute {source} by {other} : {s}, {s} -> {s}")
    return f"%s{number}", by_lane(x, numbers, tile)


def gather_step(program: Text, rng: np.random.Generator, source: str, x: Array, number: int) -> tuple[str, Array]:
    """Through memory: the stream is written, and its words are gathered in another order."""
    tiles, s = program.chip.tiles, stream(x.shape)
    buffer = program.buffer("scratch", f"t{number}", x.shape, np.int8)
    program.op(f"tsp_stream.write {source} to %t{number} words <0, {len(x)} step 1> : {s}, {buffer}")
    wanted = rng.integers(0, len(x), (len(x), tiles))
    numbers = np.zeros((*wanted.shape, program.chip.lanes_per_tile), np.int8)
    numbers[:, :, 0] = wanted
    other = program.read(f"n{number}", numbers.reshape(len(x), -1))
    program.op(f"%s{number} = tsp_stream.gather {other}, %t{number} words <0, {len(x)} step 0> : {s}, {buffer} -> {s}")
    lanes = np.repeat(wanted, program.chip.lanes_per_tile, axis=1)
    return f"%s{number}", np.take_along_axis(x, lanes, axis=0)


def add_step(program: Text, rng: np.random.Generator, source: str, x: Array, number: int) -> tuple[str, Array]:
    other, s = program.read(f"n{number}", y := random(rng, *x.shape)), stream(x.shape)
    region = "^bb0(%a: i8, %b: i8): %c = tsp_stream.add_sat %a, %b : i8 tsp_stream.yield %c : i8"
    program.op(f"%s{number} = tsp_stream.vxm {source}, {other} : ({s}, {s}) -> {s} {{ {region} }}")
    return f"%s{number}", np.clip(x.astype(int) + y, -128, 127).astype(np.int8)


STEPS: tuple[Step, ...] = (shift_step, permute_step, distribute_step, gather_step, add_step)

MACHINES = {
    "default": "",
    "one slice per hop": "[chip]\nslices_per_hop = 1",
    "narrow": "[chip]\ntiles = 3\nlanes_per_tile = 4\nweight_streams = 2\nslices = 12",
    "late": "[chip]\nlatency_write = 5\nlatency_gather = 4\nlatency_sxm_io = 3\nlatency_permute = 7",
}


def steps(names: list[int]) -> Iterator[Step]:
    yield from (STEPS[i] for i in names)


@pytest.mark.parametrize("toml", MACHINES.values(), ids=MACHINES.keys())
def test_random_chains_of_ops(toml: str) -> None:
    system = load_toml(toml)

    @settings(deadline=None, derandomize=True, max_examples=10, suppress_health_check=[*HealthCheck])
    @given(
        st.lists(st.integers(0, len(STEPS) - 1), min_size=1, max_size=4, unique=True),
        st.integers(1, 9),
        st.integers(0, 2**32),
    )
    def agree(chain: list[int], vectors: int, seed: int) -> None:
        rng, program = np.random.default_rng(seed), Text(system.chip)
        x = random(rng, vectors, system.chip.lanes)
        source = program.read("x", x)
        for number, step in enumerate(steps(chain)):
            source, x = step(program, rng, source, x, number)
        program.write(source, "y", x)
        check(program)

    agree()
