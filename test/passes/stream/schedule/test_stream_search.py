"""stream-search: the places that it leaves are the best it has tried, and the same for the same seed."""

from __future__ import annotations

import pytest
from tspc.dialects.errors import CapacityError
from tspc.dialects.placement import PlaceAttr
from tspc.dialects.tsp_stream import BufferOp
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.passes.stream.schedule.account import scheduled_length
from tspc.passes.stream.schedule.stream_search import StreamSearchPass
from xdsl.dialects.builtin import ModuleOp

LAYERS = 6

LAYER = """
  %i{n} = tsp_tensor.reshape %s{n} : tensor<160x320xi8> -> tensor<1x160x1x320xi8>
  %p{n} = tsp_tensor.pool "max" %i{n} window [3, 1] : tensor<1x160x1x320xi8> -> tensor<1x158x1x320xi8>
  %o{n} = tsp_tensor.reshape %p{n} : tensor<1x158x1x320xi8> -> tensor<158x320xi8>
  %s{next} = tsp_tensor.pad %o{n} low [1, 0] high [1, 0] value 0 : i8 : tensor<158x320xi8> -> tensor<160x320xi8>"""

NETWORK = f"""func.func @main(%x: tensor<160x320xi8>) -> (tensor<160x320xi8>) {{
  %s0 = tsp_tensor.map %x : (tensor<160x320xi8>) -> tensor<160x320xi8> {{
  ^bb0(%a: i8):
    %r = arith.addi %a, %a : i8
    tsp_tensor.yield %r : i8
  }}
  {"".join(LAYER.format(n=n, next=n + 1) for n in range(LAYERS))}
  func.return %s{LAYERS} : tensor<160x320xi8>
}}"""


def converted() -> ModuleOp:
    """The network before anything has a place."""
    module = parse(NETWORK)
    for stage in list(STAGES)[: list(STAGES).index("stream-place")]:
        STAGES[stage]()().apply(make_context(), module)
    return module


def scheduled(module: ModuleOp) -> int:
    for stage in ("stream-place", "stream-allocate", "stream-schedule"):
        STAGES[stage]()().apply(make_context(), module)
    return scheduled_length(module)


def searched(tries: int, seed: int = 0) -> ModuleOp:
    module = converted()
    StreamSearchPass(tries=tries, seed=seed, seconds=600.0).apply(make_context(), module)
    return module


def places(module: ModuleOp) -> list[PlaceAttr | None]:
    return [op.place for op in module.walk() if isinstance(op, BufferOp)]


def test_one_try_is_the_place_of_stream_place() -> None:
    assert scheduled(searched(1)) == scheduled(converted())


def test_more_tries_are_never_longer() -> None:
    lengths = [scheduled(searched(tries)) for tries in (1, 4, 16)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0]


def test_a_seed_gives_one_result() -> None:
    assert places(searched(8, seed=3)) == places(searched(8, seed=3))
    assert places(searched(8, seed=3)) != places(searched(8, seed=4))


def test_places_have_no_addresses_yet() -> None:
    assert all(place is not None and not place.data.addresses for place in places(searched(2)))


def test_what_cannot_be_placed_is_refused_as_without_a_search() -> None:
    module = parse(
        """func.func @main(%x: tensor<800000x320xi8>) -> tensor<800000x320xi8> {
          %y = tsp_tensor.map %x : (tensor<800000x320xi8>) -> tensor<800000x320xi8> {
          ^bb0(%a: i8):
            %r = arith.addi %a, %a : i8
            tsp_tensor.yield %r : i8
          }
          func.return %y : tensor<800000x320xi8>
        }"""
    )
    with pytest.raises(CapacityError):
        for stage in list(STAGES)[: list(STAGES).index("stream-place")]:
            STAGES[stage]()().apply(make_context(), module)
        StreamSearchPass(tries=3).apply(make_context(), module)
