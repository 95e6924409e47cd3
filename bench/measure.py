"""What the benches share: times, and figures of processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping


def best(function: Callable[[], object], times: int, clock: Callable[[], float] = time.process_time) -> float:
    """The least of several times, in seconds; of this process alone, unless another clock is given."""
    results: list[float] = []
    for _ in range(times):
        started = clock()
        function()
        results.append(clock() - started)
    return min(results)


def printed(program: str, environment: Mapping[str, str] | None = None) -> list[float]:
    """The numbers that a Python program prints, in a process of its own."""
    variables = {**os.environ, **(environment or {})}
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in output.split()]
