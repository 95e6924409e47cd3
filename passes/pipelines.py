"""The passes by name, the pipeline from a model to a program, and how to embed both.

from tspc.passes.pipelines import compile
program_text = compile(model_text)        # MLIR text in, MLIR text out
compile(module, until="stream-schedule")  # an xDSL module, in place
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from threading import Lock, get_ident
from typing import TYPE_CHECKING, TypeVar, cast

from xdsl.passes import ModulePass

if TYPE_CHECKING:
    from xdsl.context import Context
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.ir import Dialect

ModuleT = TypeVar("ModuleT", "ModuleOp", str)


def _lazy(module: str, name: str) -> Callable[[], type[ModulePass]]:
    return lambda: cast("type[ModulePass]", getattr(import_module(module, __package__), name))


STAGES: dict[str, Callable[[], type[ModulePass]]] = {
    "decompose-tensor-ops": _lazy(".tensor.transforms.decompose_tensor_ops", "DecomposeTensorOpsPass"),
    "tsp-tensor-canonicalize": _lazy(".tensor.transforms.tsp_tensor_canonicalize", "TspTensorCanonicalizePass"),
    "fuse-maps": _lazy(".tensor.transforms.fuse_maps", "FuseMapsPass"),
    "split-maps": _lazy(".tensor.transforms.split_maps", "SplitMapsPass"),
    "c2c-partition": _lazy(".c2c.c2c_partition", "C2cPartitionPass"),
    "convert-tensor-to-stream": _lazy(".tensor.lowering.convert_tensor_to_stream", "ConvertTensorToStreamPass"),
    "c2c-route-and-schedule": _lazy(".c2c.c2c_route_and_schedule", "C2cRouteAndSchedulePass"),
    "stream-place": _lazy(".stream.placement.stream_place", "StreamPlacePass"),
    "stream-allocate": _lazy(".stream.placement.stream_allocate", "StreamAllocatePass"),
    "stream-schedule": _lazy(".stream.schedule.stream_schedule", "StreamSchedulePass"),
    "convert-stream-to-isa": _lazy(".isa.emit.convert_stream_to_isa", "ConvertStreamToIsaPass"),
    "isa-assemble": _lazy(".isa.assemble.isa_assemble", "IsaAssemblePass"),
    "isa-verify": _lazy(".isa.verify.isa_verify", "IsaVerifyPass"),
}
"""The passes of `tsp-compile`, in order; each imports its module only when it is used."""

_LOWERING = "convert-tensor-to-stream"

_PLANNING = tuple(STAGES)[: list(STAGES).index("stream-schedule") + 1]
"""The stages after which it is known how long a program is."""

_COMPLETE = {"c2c-partition", "convert-tensor-to-stream", "stream-schedule", "convert-stream-to-isa", "isa-assemble"}
"""Those after which nothing is missing for the next level."""


@dataclass(frozen=True)
class TspCompilePass(ModulePass):
    """Lowers a module of any level to a packed and verified program."""

    name = "tsp-compile"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _run(ctx, op, list(STAGES))


PASSES: dict[str, Callable[[], type[ModulePass]]] = {
    **STAGES,
    "cut-runs": _lazy(".stream.placement.cut_runs", "CutRunsPass"),
    "save-words": _lazy(".stream.placement.save_words", "SaveWordsPass"),
    "plan-for-part": _lazy(".plans", "PlanForPartPass"),
    "stream-search": _lazy(".stream.schedule.stream_search", "StreamSearchPass"),
    "set-target": _lazy(".set_target", "SetTargetPass"),
    "outline-programs": _lazy(".outline_programs", "OutlineProgramsPass"),
    "on-programs": _lazy(".on_programs", "OnProgramsPass"),
    "isa-disassemble": _lazy(".isa.assemble.isa_disassemble", "IsaDisassemblePass"),
    "tsp-compile": lambda: TspCompilePass,
}
"""Every pass by the name that `-p` takes."""


def compile(model: ModuleT, until: str = "isa-verify", took: Callable[[str, float], None] | None = None) -> ModuleT:
    """Lowers a model through the stages up to and including `until`, and gives back what it was given.

    `model` is an xDSL module, which is changed in place and returned, or MLIR text, for which MLIR text is returned.
    A module that cannot be compiled stays as it was. `took` gets the seconds of every stage, those of verifying its
    result included. Threads may compile at the same time, modules of their own.
    Raises a TspError, or a parse or verify error of xDSL.
    """
    from .plans import restore

    stages = _stages(until)
    if isinstance(model, str):
        module = parse(model)
        _run(make_context(), module, stages, took)
        return str(module)
    before = model.clone()
    try:
        _run(make_context(), model, stages, took)
    except BaseException:
        restore(model, before)
        raise
    return model


def _stages(until: str) -> list[str]:
    """The stages up to and including one. Raises InputError for one that there is not."""
    from ..dialects.errors import InputError
    from ..dialects.machine.target import nearest

    stages = list(STAGES)
    if until not in stages:
        hint = nearest(until, stages)
        raise InputError(f"there is no stage `{until}` to compile to{hint}; the stages are {', '.join(stages)}")
    return stages[: stages.index(until) + 1]


def _run(
    context: Context, module: ModuleOp, stages: Sequence[str], took: Callable[[str, float], None] | None = None
) -> None:
    """Applies stages. The module is verified at their end, and where one has completed its level."""
    from ..dialects.verify import verify_module
    from .plans import apply_planned, has_tensors

    def apply(names: Sequence[str], tight: int = 0) -> None:
        for name in with_savers(names) if tight > 1 else names:
            start = time.perf_counter()
            options = {"tight": tight} if name == _LOWERING and tight else {}
            PASSES[name]()(**options).apply(context, module)
            if name in _COMPLETE or (name == stages[-1] and name != "isa-verify"):
                verify_module(module)
            if took is not None and name in stages:
                took(name, time.perf_counter() - start)

    def with_savers(names: Sequence[str]) -> Iterator[str]:
        for name in names:
            yield name
            yield from ("save-words", "cut-runs") if name == _LOWERING else ()

    with garbage_collection_paused():
        if has_tensors(module):
            apply_planned(module, stages, _PLANNING, apply)
        else:
            apply(stages)


@contextmanager
def garbage_collection_paused() -> Generator[None]:
    """While this lasts, the garbage collector rests: what compiling makes mostly lives until it ends.

    But not while several threads compile: what one has left would lie there as long as any other goes on.
    """
    _Rest.change(1)
    try:
        yield
    finally:
        _Rest.change(-1)


class _Rest:
    """Who wants the garbage collector, of which the process has one, to rest."""

    _lock = Lock()
    _threads: Counter[int] = Counter()
    """By thread, how often it has asked for it and not yet ended it."""
    _collects = False
    """Whether the collector is on when no thread wants it off."""

    @classmethod
    def change(cls, by: int) -> None:
        """Has this thread ask once more, or once less."""
        thread = get_ident()
        with cls._lock:
            if not cls._threads:
                cls._collects = gc.isenabled()
            cls._threads[thread] += by
            if not cls._threads[thread]:
                del cls._threads[thread]
            if len(cls._threads) == 1:
                gc.disable()
            elif cls._collects:
                gc.enable()


def make_context() -> Context:
    """A context that knows all dialects of the environment; each is loaded when it is first used."""
    from xdsl.context import Context

    context = Context()
    for name, factory in _dialects().items():
        context.register_dialect(name, factory)
    return context


@cache
def _dialects() -> dict[str, Callable[[], Dialect]]:
    """All dialects of the environment; its packages are searched once."""
    from xdsl.universe import Universe

    return Universe.get_multiverse().all_dialects


def parse(text: str, name: str = "<text>") -> ModuleOp:
    """The verified module of MLIR text. Raises ParseError or VerifyException."""
    from ..dialects.locations import LocatedParser
    from ..dialects.verify import verify_module

    module = LocatedParser(make_context(), text, name).parse_module()
    verify_module(module)
    return module
