"""Threads that share loaded programs, kernels and caches: each gets the bits that numpy gets from its own inputs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import numpy.typing as npt
import pytest
from tspc.dialects.errors import MalformedProgram
from tspc.dialects.machine.instruction_fetch import word_of
from tspc.passes.pipelines import compile, parse
from tspc.runtime.engine import Engine
from tspc.runtime.executable import Executable, Loaded, executable_from_module
from tspc.runtime.flips import Flip
from tspc.runtime.jit import JitEngine
from tspc.runtime.jit.bulk import chains
from tspc.runtime.reference import ReferenceEngine, ReferenceSession

THREADS = 8

Array = npt.NDArray[np.int32]
Make = Callable[[Executable], Engine]


def text_of(rows: int, factor: int = 3) -> str:
    """A product and a map of it: y = x @ w becomes max(y * factor, y)."""
    sums = f"tensor<{rows}x64xi32>"
    return f"""func.func @main(%x: tensor<{rows}x64xi8>, %w: tensor<64x64xi8>) -> {sums} {{
      %sums = tsp_tensor.matmul %x, %w : tensor<{rows}x64xi8>, tensor<64x64xi8> -> {sums}
      %y = tsp_tensor.map %sums : ({sums}) -> {sums} {{
      ^bb0(%sum: i32):
        %factor = arith.constant {factor} : i32
        %product = arith.muli %sum, %factor : i32
        %most = arith.maxsi %product, %sum : i32
        tsp_tensor.yield %most : i32
      }}
      func.return %y : {sums}
    }}"""


def executable_of(text: str) -> Executable:
    return executable_from_module(parse(compile(text)), {})


@pytest.fixture(scope="module")
def executable() -> Executable:
    return executable_of(text_of(16))


def right(loaded: Loaded, rows: int, seed: int, factor: int = 3) -> bool:
    """Whether a run on inputs of a thread's own gives what numpy gives, though bits flip if there are check bits."""
    random = np.random.default_rng(seed)
    x, w = (random.integers(-128, 128, shape, np.int8) for shape in ((rows, 64), (64, 64)))
    sums: Array = x.astype(np.int32) @ w.astype(np.int32)
    outputs, stats = loaded.run({"arg0": x, "arg1": w})
    assert stats.corrected is None or sum(stats.corrected) > 0
    return np.array_equal(outputs["result0"], np.maximum(sums * factor, sums))


def at_once(work: Callable[[int], bool]) -> bool:
    """Whether all threads, which begin together, are right; what one raises is raised."""
    barrier = Barrier(THREADS)

    def begin(thread: int) -> bool:
        barrier.wait()
        return work(thread)

    with ThreadPoolExecutor(THREADS) as pool:
        return all(pool.map(begin, range(THREADS)))


def flipped(executable: Executable) -> list[Flip]:
    """A bit of the first word of each input, which flips in the first cycle of every run."""
    chip = executable.program.system.chip
    places = [next(iter(binding.words)) for _, binding in executable.program.bindings("input")]
    return [Flip(0, 0, word_of(place.unit(chip), words.start, chip), 13) for place, words in places]


ENGINES: dict[str, tuple[Make, int]] = {
    "jit, cycle": (lambda _: JitEngine(), 5),
    "jit, bulk": (lambda _: JitEngine(mode="bulk"), 20),
    "jit, flips": (lambda executable: JitEngine(secded=True, flips=flipped(executable)), 2),
    "reference": (lambda _: ReferenceEngine(), 1),
    "reference, flips": (lambda executable: ReferenceEngine(True, flipped(executable)), 1),
}
"""Engines for an executable, and how often each thread runs."""

every_engine = pytest.mark.parametrize("engine, runs", list(ENGINES.values()), ids=list(ENGINES))


@every_engine
def test_threads_share_a_loaded_program(executable: Executable, engine: Make, runs: int) -> None:
    loaded = Loaded(executable, engine(executable))
    assert at_once(lambda thread: all(right(loaded, 16, 100 * thread + i) for i in range(runs)))


@every_engine
def test_each_thread_loads_the_executable(executable: Executable, engine: Make, runs: int) -> None:
    one = engine(executable)

    def work(thread: int) -> bool:
        loaded = Loaded(executable, one)
        return all(right(loaded, 16, 100 * thread + i) for i in range(runs))

    assert at_once(work)


def test_threads_compile_load_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread compiles a program of two; the chain of ALUs of each is compiled for the host by one thread."""
    built: list[chains.Chain] = []
    compiled = chains.CompiledChain

    def build(chain: chains.Chain, path: str, cached: bool) -> chains.CompiledChain:
        built.append(chain)
        return compiled(chain, path, cached)

    chains._shared.cache_clear()
    monkeypatch.setattr(chains, "CompiledChain", build)

    def work(thread: int) -> bool:
        factor = 3 + 2 * (thread % 2)
        loaded = Loaded(executable_of(text_of(1200, factor)), JitEngine(mode="bulk"))
        return loaded.session.mode == "bulk" and right(loaded, 1200, thread, factor)

    assert at_once(work)
    assert len(built) == len(set(built)) == 2


def test_threads_look_into_a_session_that_others_run(executable: Executable) -> None:
    loaded = Loaded(executable, ReferenceEngine())
    session = loaded.session
    assert isinstance(session, ReferenceSession)
    last = executable.program.cycles - 1

    def work(thread: int) -> bool:
        if thread % 2:
            return right(loaded, 16, thread)
        return session.run_to(last).cycle == last

    assert at_once(work)


@pytest.mark.parametrize("engine", [JitEngine(mode="bulk"), JitEngine(), ReferenceEngine()])
def test_a_thread_holds_a_session_for_several_steps(executable: Executable, engine: Engine) -> None:
    """What is written by hand, run and read by hand is one step for the others, if the session is held."""
    loaded = Loaded(executable, engine)
    loaded.fill({"arg0": np.zeros((16, 64), np.int8), "arg1": np.zeros((64, 64), np.int8)})
    unit, word = 5, 4000
    words = [np.full((1, 320), thread, np.uint8) for thread in range(THREADS)]

    def work(thread: int) -> bool:
        with loaded.session.lock:
            loaded.session.write(0, unit, word, words[thread])
            loaded.session.run()
            found, _ = loaded.session.read(0, unit, word, 1)
        return np.array_equal(found, words[thread])

    assert at_once(work)
    found, _ = loaded.session.read(0, unit, word, 1)
    before = found.copy()
    loaded.session.write(0, unit, word, before + 1)
    assert np.array_equal(found, before)  # what was read stays


@every_engine
def test_a_pickled_program_is_loaded_anew(executable: Executable, engine: Make, runs: int) -> None:
    loaded = Loaded(executable, engine(executable))
    assert right(loaded, 16, 1)
    again = pickle.loads(pickle.dumps(loaded))
    assert isinstance(again, Loaded)
    assert again.session is not loaded.session
    assert again.session.mode == loaded.session.mode
    assert right(again, 16, 2)


def test_a_timed_program_says_why_it_is_not_pickled() -> None:
    timed = executable_from_module(parse(compile(text_of(16), until="convert-stream-to-isa")), {})
    with pytest.raises(MalformedProgram, match="timed form; run isa-assemble first"):
        pickle.dumps(Loaded(timed, ReferenceEngine()))


def test_an_engine_that_chose_a_path_chooses_again_where_it_is_unpickled() -> None:
    chosen = pickle.loads(pickle.dumps(JitEngine(mode="bulk")))
    assert isinstance(chosen, JitEngine)
    assert (chosen.mode, chosen.path) == ("bulk", JitEngine().path)
    forced = pickle.loads(pickle.dumps(JitEngine("plain", secded=True)))
    assert isinstance(forced, JitEngine)
    assert (forced.path, forced.secded) == ("plain", True)
