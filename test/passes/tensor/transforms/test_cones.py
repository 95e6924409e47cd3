"""Covering a graph of ALU operations with cones: plain mathematics, no IR."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tspc.passes.stream.analysis.alu_levels import alus_of_chain, least_levels
from tspc.passes.tensor.transforms.cones import Cones, Cover, Limits, Node

X = -1
"""Argument 0."""


def cover(nodes: list[Node], alus: int = 16, bytes: int = 16) -> tuple[Cover, Cones]:
    found = Cover(nodes, [4] * 40, Limits(alus, bytes, latency=60))
    cones = found.best()
    assert cones is not None
    return found, cones


def chain(length: int) -> list[Node]:
    return [Node((i - 1,) if i else (X,)) for i in range(length)]


def test_what_fits_is_one_cone() -> None:
    _, cones = cover(chain(16))
    assert {n: (c.alus, c.leaves) for n, c in cones.items()} == {15: (16, {X})}


@pytest.mark.parametrize("length", [17, 32, 33, 160])
def test_a_chain_takes_as_few_cones_as_there_can_be(length: int) -> None:
    _, cones = cover(chain(length))
    assert len(cones) == -(-length // 16)
    assert sum(c.alus for c in cones.values()) == length


def test_what_hands_on_an_argument_takes_delays() -> None:
    """Each operation takes the one before it and the argument, which is delayed by one ALU for every one of them."""
    _, cones = cover([Node((X,)), *(Node((i, X)) for i in range(39))])
    assert sorted(c.alus for c in cones.values()) == [15] * 5  # 8 operations and 7 delays each
    assert all(X in c.leaves for c in cones.values())


def test_few_elements_are_handed_on() -> None:
    """Where the graph is narrow, in elements, it is cut."""
    nodes = chain(20)
    small = [Node(n.operands, words=1 if i < 9 else 100, elements=1 if i < 9 else 100) for i, n in enumerate(nodes)]
    _, cones = cover(small)
    assert [*cones] == [8, 19]


def test_leaves_are_no_wider_than_the_limit() -> None:
    """A sum of 20 arguments of 4 bytes: a cone takes four leaves."""
    _, cones = cover([Node((~0, ~1)), *(Node((i, ~(i + 2))) for i in range(18))])
    assert all(len(c.leaves) <= 4 for c in cones.values())
    assert len(cones) == 7  # of which the first has 4 arguments, and the others 3 each


def test_a_mask_is_never_handed_on() -> None:
    nodes = [Node((i - 1,) if i else (X,), bytes=None if 5 <= i < 16 else 1) for i in range(30)]
    _, cones = cover(nodes)
    assert not {*range(5, 16)} & cones.keys()


def test_there_may_be_no_cover() -> None:
    nodes = [Node((i - 1,) if i else (X,), bytes=None) for i in range(30)]
    assert Cover(nodes, [4], Limits(16, 16, 60)).best() is None


def test_what_several_need_is_computed_again_if_that_is_shorter() -> None:
    """Two long branches of one short beginning, and their sum: there is no cone of the beginning alone."""
    left = [Node((0,)), *(Node((i,)) for i in range(1, 14))]
    right = [Node((0,)), *(Node((i,)) for i in range(15, 28))]
    _, cones = cover([Node((X,)), *left, *right, Node((14, 28))])
    assert len(cones) == 2
    assert sum(0 in c.inside for c in cones.values()) == 2


@pytest.mark.parametrize("window", [2, 6])
def test_the_work_grows_as_the_length(window: int) -> None:
    """Cones joined for every operation, of graphs of 100 and of 400."""

    def joined(length: int) -> float:
        operands = [(i - 1, i - 1 - (i * 7) % window) for i in range(length)]
        found, _ = cover([Node(tuple(v if v >= 0 else X for v in o)) for o in operands])
        return found.merged / length

    assert joined(400) <= 1.2 * joined(100)
    assert joined(400) < 500


@st.composite
def graphs(draw: DrawFn) -> list[Node]:
    """Up to 40 operations of one to three operands, of which every one leads to the last."""
    nodes: list[Node] = []
    open_ = {X}
    for i in range(draw(st.integers(1, 40))):
        operands = {draw(st.integers(max(-3, i - 8), i - 1)) for _ in range(draw(st.integers(1, 2)))}
        nodes.append(Node(tuple(sorted({*operands, max(open_)}))))
        open_ = (open_ - {*nodes[-1].operands}) | {i}
    used = {v for n in nodes for v in n.operands}
    live = [i for i in range(len(nodes)) if i in used or i == len(nodes) - 1]
    return nodes if len(live) == len(nodes) else nodes[:1]


@settings(deadline=None, derandomize=True, max_examples=30, print_blob=False)
@given(graphs(), st.sampled_from((6, 8, 16)))
def test_every_cover_computes_the_graph(nodes: list[Node], alus: int) -> None:
    found, cones = cover(nodes, alus)
    assert [*cones][-1] == len(nodes) - 1
    there = set[int]()
    for number, cone in cones.items():
        assert number in cone.inside and cone.alus <= alus and len(cone.leaves) <= 4
        assert all(v < 0 or v in there for v in cone.leaves)
        for n in cone.inside:
            assert all(v in cone.inside or v in cone.leaves for v in nodes[n].operands)
        there.add(number)
    assert found.cycles(cones) > 0


# -- delays ----------------------------------------------------------------------------------------------------------


def test_delays_are_counted() -> None:
    assert alus_of_chain(((X,), (0,), (1,))) == 3
    assert alus_of_chain(((X,), (0, X))) == 3  # the argument waits for an ALU
    assert alus_of_chain(((X,), (0,), (1, X), (2, 0))) == 4 + 2 + 2


def test_a_short_branch_starts_late() -> None:
    """x -> a -> b -> c, y -> d, c + d: d starts with c, and nothing waits."""
    assert least_levels(((~0,), (0,), (1,), (~1,), (2, 3))) == [0, 1, 2, 2, 3]
