"""The JIT engine's kernel on disk, and the choice of its path."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tspc.dialects.errors import TargetError
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.effects import Effect
from tspc.runtime.jit import JitEngine, JitSession, cache, semantics
from tspc.runtime.jit.bulk.kernel import BulkKernel
from tspc.runtime.jit.cache import Compiled
from tspc.runtime.jit.dots import DOTS
from tspc.runtime.jit.engine import MODES
from tspc.runtime.jit.kernel import Kernel
from util import Maker, east


@functools.cache
def plain_code() -> bytes:
    return cache.compile_kernel("plain")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths for which a kernel was compiled during the test."""
    done: list[str] = []
    code = plain_code()

    def compile_kernel(path: str, *, secded: bool) -> bytes:
        done.append(path)
        return code

    monkeypatch.setattr(cache, "compile_kernel", compile_kernel)
    return done


def works(kernel: Compiled) -> bool:
    """Whether a kernel runs a program."""
    m = Maker()
    m.add("MEM.E0", 0, "read", 0, east(0))
    m.add("MEM.E4", 2, "write", 0, east(0))
    session = JitSession(m.program(), kernel)
    session.sram(0)[0, 0] = 1
    session.run()
    return bool(session.sram(0)[4, 0].all())


def test_second_start_compiles_nothing(compiled: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert works(cache.load_kernel("plain", folder))
    assert works(cache.load_kernel("plain", folder))
    assert compiled == ["plain"]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:40] + b"x" + d[41:], lambda d: b"", lambda d: d[:32]]
)
def test_damaged_file_is_replaced(compiled: list[str], tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cache.load_kernel("plain", tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert works(cache.load_kernel("plain", tmp_path))
    assert compiled == ["plain", "plain"]
    assert file.read_bytes() == whole


def test_directory_that_cannot_be_written(compiled: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert works(cache.load_kernel("plain", tmp_path / "file" / "folder"))
    assert works(cache.load_kernel("plain", None))
    assert compiled == ["plain", "plain"]


def test_file_that_cannot_be_replaced(compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind."""

    def replace_(source: str, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("os.replace", replace_)
    assert works(cache.load_kernel("plain", tmp_path))
    assert not list(tmp_path.iterdir())


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("TSPC_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.cache_directory() == tmp_path
    monkeypatch.delenv("TSPC_CACHE_DIR")
    assert cache.cache_directory() == Path("/xdg/tspc")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_directory() == Path("/home/me/.cache/tspc")
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache.cache_directory() == Path("/home/me/Library/Caches/tspc")


def test_path_that_the_host_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.binding, "get_host_cpu_features", lambda: {"avx512f": True, "avx512bw": True})
    assert JitEngine().path == "plain"
    with pytest.raises(TargetError, match=r"`vnni` .* needs the CPU features avx512vnni"):
        JitEngine("vnni")
    with pytest.raises(TargetError, match="`fast` of the JIT engine is unknown"):
        JitEngine("fast")


def test_engine_without_disk(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of a process share a kernel."""
    monkeypatch.setattr(cache, "cache_directory", lambda: pytest.fail("looked for the cache"))
    cache._shared.cache_clear()
    try:
        for _ in range(2):
            assert works(cache.shared_kernel("plain", False))
    finally:
        cache._shared.cache_clear()
    assert compiled == ["plain"]


@pytest.mark.parametrize(
    ("triple", "cpu"),
    [
        ("x86_64-unknown-linux-gnu", "x86-64"),
        ("x86_64-unknown-linux-gnu", "x86-64-v3"),
        ("aarch64-unknown-linux-gnu", "generic"),
        ("arm64-apple-macosx", "apple-m1"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_calls_of_libraries(mode: str, triple: str, cpu: str) -> None:
    """The oldest x86 rounds with the C library, which every process has. Nothing converts, fuses or copies by calls."""
    cache.binding.initialize_all_targets()
    cache.binding.initialize_all_asmprinters()
    try:
        target = cache.binding.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this llvmlite does not compile for {triple}")
    machine = target.create_target_machine(cpu=cpu, opt=3, reloc="pic", codemodel="small")
    kernel = Kernel(DOTS["plain"]()) if mode == "cycle" else BulkKernel("plain")
    module = cache.binding.parse_assembly(str(kernel.module))
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    cache._optimise(module, machine)
    assembly = machine.emit_assembly(module)
    called = set(re.findall(r"^\s+(?:call|callq|bl|b|jmp)\s+_?(\w+)", assembly, re.MULTILINE))
    own = set(re.findall(r"^_?(\w+):", assembly, re.MULTILINE))
    assert called - own == ({"rintf", "truncf"} if cpu == "x86-64" else set())


def test_key_covers_the_instruction_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opcodes, fields and effects stand outside the package, too; so may the functions for instructions."""
    read = TABLE.by_name["read"]
    keys = [cache._key("plain", (cache.__package__,))]
    for other in (replace(read, effect=Effect.WRITE), replace(read, opcode=0x90)):
        monkeypatch.setitem(TABLE.by_opcode, read.opcode, other)
        keys.append(cache._key("plain", (cache.__package__,)))
    monkeypatch.setitem(TABLE.by_opcode, read.opcode, read)
    assert cache._key("plain", (cache.__package__,)) == keys[0]
    for number in (1, 2):
        monkeypatch.setitem(semantics.EXECUTES._functions, "elsewhere", eval(f"lambda: {number}", {"__name__": "else"}))
        keys.append(cache._key("plain", (cache.__package__,)))
    assert len({*keys}) == len(keys)


def test_key_covers_the_special_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand outside the package."""
    before = cache._key("plain", (cache.__package__,))
    read = Path.read_bytes

    def changed(path: Path) -> bytes:
        return read(path) + b"#" * (path.parts[-2:] == ("semantics", "special.py"))

    monkeypatch.setattr(Path, "read_bytes", changed)
    assert cache._key("plain", (cache.__package__,)) != before
