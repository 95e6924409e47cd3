"""2,000 random programs, right ones and broken ones; bench/fuzz.py runs as many as one likes."""

from __future__ import annotations

from collections import Counter

import pytest

from .campaign import Hang, run

PROGRAMS = {"valid": 1000, "mutated": 600, "bytes": 400}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_cases_hold(kind: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(PROGRAMS[kind]):
        try:
            seen[run(kind, seed)] += 1
        except (Exception, Hang) as e:
            pytest.fail(f"{kind} {seed}: {type(e).__name__}: {e}")
    expected = {
        "valid": {"right, in bulk mode": 500, "stream-empty": 100},
        "mutated": {"right, in bulk mode": 30, "refused": 100, "stream-empty": 50},
        "bytes": {"refused": 200, "run": 10},
    }
    assert all(seen[what] >= number for what, number in expected[kind].items()), seen
