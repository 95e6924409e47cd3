"""The JIT engine: programs on a kernel compiled for the host's CPU, in one of two modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from ...dialects.errors import TargetError
from ...dialects.programs.records import Program
from ..flips import Flip
from .bulk.compiled import shared_bulk_kernel
from .bulk.irregular import Irregular
from .bulk.session import BulkSession
from .cache import choose_path, shared_kernel
from .session import JitSession

MODES = ("cycle", "bulk")
"""The ways to run a program."""


class JitEngine:
    """Executes programs on a kernel compiled for the host's CPU."""

    def __init__(
        self,
        path: str = "auto",
        cache: bool = True,
        mode: str = "cycle",
        *,
        secded: bool = False,
        flips: Sequence[Flip] = (),
    ):
        """`path` is one of `PATHS`, or `auto` for the best that the host has; without `cache` the kernel is compiled
        anew in every process. In `mode` `cycle` everything is done in its cycle, with all checks; in mode `bulk`
        results are matched with those who take them when the program is loaded, and it runs as loops over vectors.
        With `secded` memory and streams have check bits, in cycle mode only, and `flips` are made in every run. Raises
        TargetError for other paths and modes."""
        self._asked = path
        self.path = choose_path(path)
        """The way to compute."""
        if mode not in MODES:
            raise TargetError(f"mode `{mode}` of the JIT engine is unknown; there are {', '.join(MODES)}")
        self.mode, self._cache, self.secded, self.flips = mode, cache, secded, flips

    def __reduce__(self) -> tuple[Callable[[], JitEngine], tuple[()]]:
        """What was asked for: another host may have another CPU, and chooses for itself."""
        return partial(JitEngine, self._asked, self._cache, self.mode, secded=self.secded, flips=self.flips), ()

    def load(self, program: Program) -> JitSession | BulkSession:
        """A session with all SRAM zero. Its `mode` is `cycle` where bulk mode cannot run the program, or where the
        program has a hazard, which the run then reports.

        Raises InputError or LinkError for flips that cannot be, TargetError for a machine that SECDED does not fit."""
        if self.mode == "bulk" and not (self.secded or self.flips):
            with suppress(Irregular):
                return BulkSession(program, shared_bulk_kernel(self.path, self._cache), self._cache)
        return JitSession(program, shared_kernel(self.path, self._cache, self.secded), self.secded, self.flips)
