"""The compiled kernel: built once per host CPU, kept on disk as an object file, loaded into the process.

The file is the SHA-256 of the object code, then the object code. Its name holds the hash of all that the code depends
on: this package's sources and that of the special functions, the instruction table, llvmlite, the host and the path. A
file that is damaged is built anew; a directory that cannot be used costs time and nothing else.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from threading import RLock
from typing import Any

from ...dialects import semantics
from ...dialects.errors import TargetError
from ...dialects.instructions import TABLE
from ...dialects.machine.instruction import Instruction
from .semantics import table_key

binding: Any = importlib.import_module("llvmlite.binding")

ENTRY = "tspc_run"
"""The function that the kernel exports."""

PATHS = ("vnni", "plain", "avx2")
"""The ways to compute, best first: with AVX512-VNNI; vector IR as the host's CPU runs it best, on arm64 with NEON; the
same as an x86 CPU without AVX-512 runs it, which is there to be forced."""

_NEEDED = {"vnni": ("avx512f", "avx512bw", "avx512vnni"), "avx2": ("avx2", "bmi2", "fma", "f16c", "lzcnt", "movbe")}
"""The CPU features that a path needs."""

_CPUS = {"avx2": "x86-64-v3"}
"""What a path is compiled for, if not for the host's CPU."""

_DIGEST = 32

building = RLock()
"""What a thread holds while it looks for code in the process and builds what is not there: those that want the same
wait for it instead of building it too."""


class Compiled:
    """The kernel in memory, ready to call; the code lives as long as this object."""

    def __init__(self, code: bytes):
        """Links object code."""
        self._library = link(code, ENTRY)
        self._run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 4)(self._library[ENTRY])

    def __call__(self, chips: int, count: int, start: int, end: int, window: int) -> int:
        """Advances `count` chips, whose words are at the addresses in the table at address `chips`, from cycle `start`
        to at least `end`, none more than `window` cycles ahead of another. Gives the cycle to go on from."""
        return self._run(chips, count, start, end, window)


def link(code: bytes, symbol: str) -> Any:
    """Object code in memory as a library that maps its exported symbol to an address; the code lives as long as it."""
    machine = _target_machine(binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    library = binding.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(symbol)
    return library.link(binding.create_lljit_compiler(machine), symbol)


def choose_path(path: str) -> str:
    """`path`, or the best for the host for `auto`. Raises TargetError for one that the host's CPU does not have."""
    if path == "auto":
        return available_paths()[0]
    if path not in PATHS:
        raise TargetError(f"path `{path}` of the JIT engine is unknown; there are auto, {', '.join(PATHS)}")
    if missing := _missing(path):
        raise TargetError(
            f"path `{path}` of the JIT engine needs the CPU features {', '.join(missing)}, "
            f"which this host ({binding.get_host_cpu_name()}) lacks; use `auto`"
        )
    return path


def available_paths() -> list[str]:
    """The paths that the host's CPU has, best first."""
    return [p for p in PATHS if not _missing(p)]


def _missing(path: str) -> list[str]:
    """The CPU features that a path needs and the host lacks."""
    features = binding.get_host_cpu_features()
    return [f for f in _NEEDED.get(path, ()) if not features.get(f, False)]


def cache_directory() -> Path | None:
    """Where object files are kept: $TSPC_CACHE_DIR, or `tspc` in the platform's cache; None if there is no place."""
    if named := os.environ.get("TSPC_CACHE_DIR"):
        return Path(named)
    if sys.platform != "darwin" and Path(xdg := os.environ.get("XDG_CACHE_HOME", "")).is_absolute():
        return Path(xdg) / "tspc"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "tspc"


def shared_kernel(path: str, cached: bool, secded: bool = False) -> Compiled:
    """The kernel for a path, loaded once per process and instruction set."""
    with building:
        return _shared(path, cached, secded, tuple(TABLE.by_opcode.values()))


@cache
def _shared(path: str, cached: bool, secded: bool, instructions: tuple[Instruction, ...]) -> Compiled:
    return load_kernel(path, cache_directory() if cached else None, secded)


def load_kernel(path: str, directory: Path | None, secded: bool = False) -> Compiled:
    """The kernel for a path, from an object file in `directory` if there is one, and kept there if not. That with
    SECDED is a kernel of its own."""
    name = "kernel-secded" if secded else "kernel"
    code = object_code(name, path, directory, lambda: compile_kernel(path, secded=secded), (__package__ or "",))
    return Compiled(code)


def object_code(
    name: str, path: str, directory: Path | None, build: Callable[[], bytes], packages: Sequence[str]
) -> bytes:
    """The object code of the kernel `name` for a path: from a file in `directory` if there is one that was built from
    the same sources, those of `packages`; built and kept there if not."""
    if directory is None:
        return build()
    file = directory / f"{name}-{_key(path, packages)}.o"
    code = _read(file)
    if code is None:
        code = build()
        _write(file, code)
    return code


def _key(path: str, packages: Sequence[str]) -> str:
    """The hash of everything that the object code depends on."""
    host = (binding.get_default_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    key = hashlib.sha256(repr((path, importlib.import_module("llvmlite").__version__, *host)).encode())
    for package in packages:
        for source in sorted(resources.files(package).iterdir(), key=lambda s: s.name):
            if source.name.endswith(".py"):
                key.update(source.read_bytes())
    key.update((resources.files(semantics) / "special.py").read_bytes())
    key.update(table_key())
    return key.hexdigest()[:32]


def _read(file: Path) -> bytes | None:
    """The object code in a file, or None where it is missing or damaged."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    code = data[_DIGEST:]
    return code if hashlib.sha256(code).digest() == data[:_DIGEST] else None


def _write(file: Path, code: bytes) -> None:
    """Keeps object code in a file, which appears complete or not at all."""
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)
        try:
            with open(handle, "wb") as temporary:
                temporary.write(hashlib.sha256(code).digest() + code)
            os.replace(name, file)
        except OSError:
            os.unlink(name)


def _target_machine(cpu: str, features: str) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small")


def compile_kernel(path: str, cpu: str | None = None, features: str | None = None, *, secded: bool = False) -> bytes:
    """The kernel's object code, for the path's CPU unless another is given."""
    from .dots import DOTS
    from .kernel import Kernel

    return compile_module(str(Kernel(DOTS[path](), secded).module), path, cpu, features)


def compile_module(text: str, path: str, cpu: str | None = None, features: str | None = None) -> bytes:
    """The object code of LLVM assembly that this package built, for the path's CPU unless another is given."""
    if cpu is None and (cpu := _CPUS.get(path)) is not None:
        features = ""
    machine = _target_machine(
        binding.get_host_cpu_name() if cpu is None else cpu,
        binding.get_host_cpu_features().flatten() if features is None else features,
    )
    module = binding.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    module.verify()
    _optimise(module, machine)
    return machine.emit_object(module)


def _optimise(module: Any, machine: Any) -> None:
    """The passes that the code needs: it is vectorised, unrolled and in good order as it is built, and a general
    pipeline would reassociate the sums of products that the plain path counts on."""
    passes = binding.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.add_loop_rotate_pass()
    passes.add_new_gvn_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.add_dead_code_elimination_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options()))
