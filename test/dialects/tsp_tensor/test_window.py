"""Which taps of a window meet which elements follows from its numbers, also where there are 2^31 places of padding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.tsp_tensor.window import Slide, inside

FAR = (1 << 31) - 1


@st.composite
def slides(draw: st.DrawFn) -> Slide:
    size, taps, stride, dilation = (draw(st.integers(1, high)) for high in (6, 5, 7, 9))
    before, after = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    return Slide(size, taps, stride, dilation, before, max(after, dilation * (taps - 1) + 1 - size - before))


@given(slides())
def test_what_is_met(slide: Slide) -> None:
    met = {(p, t) for p in range(slide.places) for t in range(slide.taps) if 0 <= slide.element(p, t) < slide.size}
    assert {(p, t) for t in range(slide.taps) for p in slide.places_of(t)} == met
    assert {(p, t) for p in range(slide.places) for t in slide.taps_at(p)} == met
    assert slide.counts().tolist() == [sum(p == q for q, _ in met) for p in range(slide.places)]
    places, taps = ({pair[i] for pair in met} for i in range(2))
    for found, there in ((slide.met_places, places), (slide.met_taps, taps)):
        assert (not found and not there) or (found[0], found[-1]) == (min(there), max(there))
    assert slide.met_everywhere == (places == {*range(slide.places)})


@given(st.integers(1, 9), st.integers(-40, 40), st.integers(1, 9), st.integers(1, 20))
def test_inside(size: int, first: int, step: int, count: int) -> None:
    assert [*inside(size, first, step, count)] == [i for i in range(count) if 0 <= first + i * step < size]


def test_numbers_of_31_bits() -> None:
    slide = Slide(4, 3, FAR, FAR, FAR, FAR)
    assert (slide.places, slide.met_places, slide.met_taps) == (1, range(1), range(1, 2))
    assert slide.counts().tolist() == [1]
    wide = Slide(4, FAR, 1, 1, FAR - 1, FAR - 1)  # every place meets an element, and every tap does somewhere
    assert (wide.places, wide.met_places, wide.met_taps) == (FAR + 3, range(FAR + 3), range(FAR))
