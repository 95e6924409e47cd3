"""What tspc adds to every xDSL tool of the environment; each entry imports its module only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.universe import Universe

if TYPE_CHECKING:
    from xdsl.ir import Dialect

from ..passes.pipelines import PASSES


def _tsp_tensor() -> Dialect:
    from ..dialects.tsp_tensor import TSP_TENSOR

    return TSP_TENSOR


def _tsp_stream() -> Dialect:
    from ..dialects.tsp_stream import TSP_STREAM

    return TSP_STREAM


def _tsp_isa() -> Dialect:
    from ..dialects.tsp_isa import TSP_ISA

    return TSP_ISA


def _c2c() -> Dialect:
    from ..dialects.c2c import C2C

    return C2C


TSPC_UNIVERSE = Universe(
    all_dialects={"tsp_tensor": _tsp_tensor, "tsp_stream": _tsp_stream, "tsp_isa": _tsp_isa, "c2c": _c2c},
    all_passes=PASSES,
)
