"""Where a stream has room for one more value, against a model that moves every value from register to register."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import Loop, Record, stream_code
from tspc.dialects.machine.target import ChipSpec
from tspc.passes.isa.analysis.stream_occupancy import StreamOccupancy

CHIP = ChipSpec(slices=8)
READ, WRITE = TABLE.by_name["read"], TABLE.by_name["write"]
STREAM = stream_code("E", 4)


@st.composite
def accesses(draw: st.DrawFn) -> list[Record]:
    """Reads and writes of one eastward stream in several slices, some of them repeated."""
    records: list[Record] = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from([READ, WRITE]))
        loops = (Loop(draw(st.integers(2, 3)), draw(st.integers(1, 4)), 1),) if draw(st.booleans()) else ()
        at, queue = draw(st.integers(35, 50)), draw(st.integers(0, 2 * CHIP.slices - 1))
        records.append(Record(queue, at, kind, (draw(st.integers(0, 3)), STREAM), loops))
    return records


@given(accesses(), st.integers(-CHIP.mxm_distance, CHIP.mxm_distance), st.integers(45, 60))
def test_the_farthest_place_of_a_new_value(records: list[Record], position: int, cycle: int) -> None:
    drives: set[int] = set()
    samples: set[int] = set()
    for record in records:
        unit = CHIP.queues[record.queue].position
        late = READ.d_func(CHIP) if record.instruction is READ else WRITE.d_skew(CHIP)
        touched = drives if record.instruction is READ else samples
        touched |= {unit for at, _ in record.issues() if at + late - unit == cycle - position}

    def replaced(place: int) -> set[int]:
        """The positions at which a value driven at `place` would be seen."""
        later = min((p for p in drives if p > place), default=CHIP.mxm_distance + 1)
        return set(range(place, later))

    able = [
        place
        for place in range(-CHIP.mxm_distance, position + 1)
        if not any(place <= p <= position for p in drives) and not replaced(place) & samples
    ]
    found = StreamOccupancy(records, CHIP).farthest(STREAM, position, cycle)
    assert found == (min(able) + CHIP.mxm_distance if able else None)
