"""The shape of the house: which folder may know which; every file says what it is for, and none is too long."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "dialects": {"dialects"},
    "passes": {"passes", "dialects"},
    "runtime": {"runtime", "dialects"},
    "tools": {"tools", "runtime", "passes", "dialects"},
}
"""What each folder may import of ours."""

MODULES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))
FILES = [*MODULES, *sorted(p for f in ("test", "examples", "bench") for p in (ROOT / f).rglob("*.py"))]

MOST_LINES = 600


SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
PACKAGES = {folder: package for package, folder in SETUPTOOLS["package-dir"].items()}
"""By folder, the package that pyproject.toml makes of it."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package_of(folder: Path) -> str:
    """The package that a folder is installed as."""
    name = name_of(folder)
    return PACKAGES.get(name) or ("tspc" if folder == ROOT else f"{package_of(folder.parent)}.{folder.name}")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """The modules that a file imports, anywhere in it, each with its line; ours as `tspc.<folder>...`."""
    package = package_of(path.parent).split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for line, module in imported(path):
        top, _, rest = module.partition(".")
        if top == "tspc" and rest:
            assert rest.split(".")[0] in MAY_IMPORT[folder], f"{name_of(path)}:{line}: {folder} imports {module}"


VERIFIER = "passes.isa.verify"
"""The package that proves finished programs. It rests on `dialects`, but not on what finds who takes whose result."""

SCHEDULER = {"passes.stream", "passes.tensor", "passes.c2c", "passes.isa"} | {
    "dialects.programs.def_use",
    "dialects.programs.issues",
    "dialects.machine.intervals",
}
"""What makes programs, and what it has in common with bulk mode and the profiler: modules, and packages with all that
is in them but the verifier."""

PACKAGES_OF_PASSES = {
    "stream.analysis": set[str](),
    "tensor.analysis": {"stream.analysis"},
    "tensor.transforms": {"tensor.analysis", "stream.analysis"},
    "tensor.emit": {"tensor.analysis", "stream.analysis"},
    "tensor.lowering": {"tensor.analysis", "tensor.emit", "stream.analysis"},
    "c2c": set[str](),
    "stream.placement": {"stream.analysis"},
    "stream.schedule": {"stream.analysis", "stream.placement"},
    "isa.analysis": set[str](),
    "isa.emit": {"isa.analysis", "stream.analysis", "stream.schedule"},
    "isa.assemble": {"isa.analysis"},
    "isa.verify": set[str](),
    "importers.onnx": set[str](),
}
"""The packages within `passes`, and which others each may import."""


def side_of(path: Path) -> str:
    """`verifier`, `scheduler`, or nothing for what stands on neither side of the wall."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    parents = {name, *(name[:i] for i, c in enumerate(name) if c == ".")}
    if path.name == "__init__.py":
        return ""
    return "verifier" if VERIFIER in parents else "scheduler" if parents & SCHEDULER else ""


@cache
def ours(path: Path) -> set[Path]:
    """The files of ours that a file imports."""
    found: set[Path] = set()
    for _, module in imported(path):
        top, *rest = module.split(".")
        if top == "tspc" and rest:
            place = ROOT.joinpath(*rest)
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}
    return found


@pytest.mark.parametrize("path", [p for p in MODULES if side_of(p)], ids=name_of)
def test_verifier_and_scheduler_share_no_code(path: Path) -> None:
    """A wall: neither side imports of the other, be it by way of what stands between them. So a fault of the scheduler
    is an error of the verifier, and not one that both make."""
    side = side_of(path)
    seen, waiting = {path}, [path]
    while waiting:
        for file in ours(waiting.pop()) - seen:
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            assert side_of(file) in (side, ""), f"{name_of(path)} comes to {name}"
            seen.add(file)
            waiting.append(file)


def test_both_sides_of_the_wall_have_modules() -> None:
    sides = [side_of(path) for path in MODULES]
    assert sides.count("verifier") >= 7
    assert sides.count("scheduler") > 40


def package_of_pass(path: Path) -> str:
    """The package within `passes` that a file is in; nothing for others."""
    folder, *rest = path.relative_to(ROOT).parts[:-1]
    return ".".join(rest[:2]) if folder == "passes" else ""


@pytest.mark.parametrize("path", [p for p in MODULES if package_of_pass(p) in PACKAGES_OF_PASSES], ids=name_of)
def test_packages_of_passes_are_in_order(path: Path) -> None:
    """No package comes back to one that stands on it, so each can be read, and used, with those below it alone."""
    package = package_of_pass(path)
    for file in ours(path):
        other = package_of_pass(file)
        if other in PACKAGES_OF_PASSES and file.name != "__init__.py":
            assert other in {package, *PACKAGES_OF_PASSES[package]}, f"{name_of(path)} imports {name_of(file)}"


def test_the_order_of_the_packages_of_passes_is_known() -> None:
    """No two packages rest on each other, and all that hold modules are named."""
    TopologicalSorter(PACKAGES_OF_PASSES).prepare()
    found = {package_of_pass(path) for path in MODULES if path.name != "__init__.py"} - {""}
    assert found == set(PACKAGES_OF_PASSES)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_inside_the_package_are_relative(path: Path) -> None:
    """Editors and type checkers follow these without an install."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").partition(".")[0] != "tspc", f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_no_longer_than_a_reader_bears(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{name_of(path)} has {lines} lines; it wants to be two files"


def test_every_package_is_installed() -> None:
    """A new folder must be named in pyproject.toml, or it is missing from the wheel."""
    assert set(SETUPTOOLS["packages"]) == {package_of(path.parent) for path in MODULES}


def test_every_pass_has_a_filecheck_file_of_its_name() -> None:
    """The tests mirror the passes: passes/<level>/.../<pass>.py <-> test/filecheck/<level>/<pass>.mlir."""
    from tspc.passes.pipelines import STAGES

    for name in STAGES:
        stem = name.replace("-", "_")
        (source,) = (ROOT / "passes").rglob(f"{stem}.py")
        level, *_ = source.relative_to(ROOT / "passes").parent.parts or (".",)
        mirror = ROOT / "test" / "filecheck" / level / f"{stem}.mlir"
        assert mirror.exists(), f"{name} has no {name_of(mirror)}"


def test_every_dialect_has_a_round_trip() -> None:
    from tspc.tools.universe import TSPC_UNIVERSE

    for name in TSPC_UNIVERSE.all_dialects:
        text = (ROOT / "test" / "filecheck" / "dialects" / f"{name}.mlir").read_text(encoding="utf-8")
        assert "// RUN: tsp-opt %s | tsp-opt | filecheck %s\n" in text
        assert "--print-op-generic" in text


def test_every_op_stands_in_the_round_trip_of_its_dialect() -> None:
    """But the instructions, which are all alike: those are tested from the table."""
    from tspc.dialects.instructions import InstructionOp
    from tspc.tools.universe import TSPC_UNIVERSE

    for name, factory in TSPC_UNIVERSE.all_dialects.items():
        text = (ROOT / "test" / "filecheck" / "dialects" / f"{name}.mlir").read_text(encoding="utf-8")
        for op in factory().operations:
            if not issubclass(op, InstructionOp):
                assert f"{op.name} " in text, f"{op.name} is not in the round trip of {name}"
