"""The bulk kernel, compiled or from the cache, in memory."""

from __future__ import annotations

import ctypes
from functools import cache

from ....dialects.instructions import TABLE
from ....dialects.machine.instruction import Instruction
from ..cache import building, cache_directory, compile_module, link, object_code
from .kernel import ENTRY, BulkKernel

_PACKAGES = (__package__ or "", (__package__ or "").rpartition(".")[0])


class CompiledBulk:
    """The kernel in memory, ready to call; the code lives as long as this object."""

    def __init__(self, path: str, code: bytes):
        """Links object code for a path."""
        self.path = path
        self._library = link(code, ENTRY)
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self._library[ENTRY])

    def __call__(self, env: int, first: int, end: int) -> None:
        """Runs groups `first` to `end` - 1; the tables' addresses are in the words at address `env`."""
        self._run(env, first, end)


def shared_bulk_kernel(path: str, cached: bool) -> CompiledBulk:
    """The kernel for a path, loaded once per process and instruction set."""
    with building:
        return _shared(path, cached, tuple(TABLE.by_opcode.values()))


@cache
def _shared(path: str, cached: bool, instructions: tuple[Instruction, ...]) -> CompiledBulk:
    directory = cache_directory() if cached else None
    return CompiledBulk(path, object_code("bulk", path, directory, lambda: compile_bulk_kernel(path), _PACKAGES))


def compile_bulk_kernel(path: str, cpu: str | None = None, features: str | None = None) -> bytes:
    """The kernel's object code, for the path's CPU unless another is given."""
    return compile_module(str(BulkKernel(path).module), path, cpu, features)
