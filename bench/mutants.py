"""Mutants: one decision of the compiler changed at a time, which the tests that are meant for it must notice.

    python bench/mutants.py --most 50 --seed 0 --jobs 2 --module passes/stream/placement/sxm_units.py

A mutant is a place in one of the modules of `TESTS` and a change there: a comparison, a number, a sum, `and`, `min` or
a condition that says something else, a statement that is gone, a result that is another. Every worker has a copy of the
tree, in which it makes one change, runs the tests of the module, and takes the change back. Prints those that survive
all tests. The sample depends on the sources and the seed alone. docs/fuzzing.md says what to do about a survivor.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]

_PROGRAMS = (
    "test/passes/test_compiled_cycles.py::test_the_length_of_a_product",
    "test/passes/tensor/emit/test_stacks.py",
)
_STREAM = ("test/filecheck/stream", "test/passes/stream/schedule/test_stream_schedule.py")
_PROOF = ("test/passes/isa/verify/test_isa_verify.py", "test/filecheck/isa")

TESTS: dict[str, tuple[str, ...]] = {
    "passes/isa/analysis/stream_occupancy.py": ("test/passes/isa/analysis/test_stream_occupancy.py", *_PROOF),
    "passes/isa/verify/issues.py": _PROOF,
    "passes/isa/verify/proof.py": _PROOF,
    "passes/isa/verify/stream_registers.py": _PROOF,
    "passes/isa/verify/fetch_proof.py": (*_PROOF, "test/passes/isa/assemble/test_isa_assemble.py"),
    "passes/stream/placement/buffer_places.py": (*_STREAM, *_PROGRAMS),
    "passes/stream/analysis/clusters.py": (*_STREAM, *_PROGRAMS),
    "passes/stream/analysis/footprint.py": ("test/passes/stream/analysis/test_footprint.py", *_STREAM),
    "passes/stream/placement/sxm_units.py": ("test/passes/stream/placement/test_sxm_units.py", *_STREAM),
    "passes/stream/placement/stream_allocate.py": (*_STREAM, *_PROGRAMS),
    "passes/stream/placement/stream_place.py": (
        "test/passes/stream/placement/test_sxm_units.py",
        *_STREAM,
        "test/passes/tensor/analysis/test_alu_regions.py",
    ),
    "passes/stream/schedule/stream_schedule.py": (*_STREAM, *_PROGRAMS),
    "passes/tensor/transforms/cones.py": ("test/passes/tensor/transforms/test_cones.py",),
    "passes/tensor/analysis/requirements.py": ("test/passes/tensor/analysis/test_requirements.py", *_PROGRAMS),
    "passes/tensor/emit/units.py": ("test/passes/tensor/emit/test_units.py", *_PROGRAMS),
}
"""The modules that decide, and the tests that are meant to notice where they decide otherwise, the quickest first."""

SHORT = (
    "passes/stream/placement/sxm_units.py",
    "passes/tensor/analysis/requirements.py",
    "passes/tensor/emit/units.py",
)
"""The modules of `--short`: those whose first tests are quick."""

COPIED = ("bench", "dialects", "docs", "examples", "passes", "runtime", "test", "tools", "README.md", "pyproject.toml")

Span = tuple[int, int]
"""The first character of a file and that behind the last."""


@dataclass(frozen=True, order=True)
class Mutant:
    """A change in a module: what stands in a span, and what is put there."""

    module: str
    span: Span
    old: str
    new: str
    line: int

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.module}:{self.line}: `{old}` becomes `{new}`"

    def applied(self, source: str) -> str:
        return source[: self.span[0]] + self.new + source[self.span[1] :]


# -- the changes -----------------------------------------------------------------------------------------------------

_COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="), ast.LtE: ("<", ">"), ast.Gt: (">=", "<="), ast.GtE: (">", "<"), ast.Eq: ("!=",),
    ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",), ast.In: ("not in",), ast.NotIn: ("in",),
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.FloorDiv: "*", ast.Mod: "//", ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of their places."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    raw = source.encode()

    def span(node: ast.expr | ast.stmt) -> Span:
        assert node.end_lineno is not None and node.end_col_offset is not None
        ends = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        first, last = (len(raw[:end].decode()) for end in ends)
        return first, last

    def visit(node: ast.AST, returns: str) -> Iterator[Mutant]:
        if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.AnnAssign) and not (
            isinstance(node, ast.AnnAssign) and node.value is not None
        ):
            return
        if isinstance(node, ast.FunctionDef):
            returns = ast.unparse(node.returns) if node.returns else ""
        if isinstance(node, ast.expr | ast.stmt):
            first, last = span(node)
            text = source[first:last]
            for new in _changes(node, returns):
                yield Mutant(module, (first, last), text, new, node.lineno)
        for condition in _conditions(node):
            first, last = span(condition)
            text = source[first:last]
            yield Mutant(module, (first, last), text, f"not ({text})", condition.lineno)
        for child in _decisions(node):
            yield from visit(child, returns)

    yield from sorted(visit(ast.parse(source), ""))


def _decisions(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that decide something: neither types nor decorators, nor what an error says."""
    match node:
        case ast.FunctionDef():
            yield from node.args.defaults
            yield from node.body
        case ast.ClassDef():
            yield from node.body
        case ast.AnnAssign():
            if node.value is not None:
                yield node.value
        case ast.Raise():
            pass
        case ast.Call(func=ast.Name(id="cast")):
            yield from node.args[1:]
        case ast.Subscript() if isinstance(node.value, ast.Name) and node.value.id in {"dict", "list", "set", "tuple"}:
            pass
        case _:
            yield from ast.iter_child_nodes(node)


def _changes(node: ast.AST, returns: str) -> Iterator[str]:
    """What else might stand in the place of a node."""
    match node:
        case ast.Compare(ops=[op]):
            yield from (_text(node.left, other, node.comparators[0]) for other in _COMPARISONS[type(op)])
        case ast.BoolOp():
            other = " or " if isinstance(node.op, ast.And) else " and "
            yield f"({other.join(f'({ast.unparse(v)})' for v in node.values)})"
        case ast.BinOp() if type(node.op) in _OPERATORS:
            yield f"({_text(node.left, _OPERATORS[type(node.op)], node.right)})"
        case ast.UnaryOp(op=ast.Not()):
            yield f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield from (f"({value + 1})", f"({value - 1})")
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            yield _CALLS[name] + ast.unparse(node)[len(name) :]
        case ast.If() | ast.While() | ast.For() | ast.With() | ast.Match() | ast.Try():
            pass
        case ast.IfExp():
            yield f"({ast.unparse(node.orelse)} if {ast.unparse(node.test)} else {ast.unparse(node.body)})"
        case ast.Return(value=ast.expr() as value):
            yield from _other_results(ast.unparse(value), returns)
        case ast.Expr(value=ast.Constant()):
            pass
        case (
            ast.Expr(value=ast.Yield() | ast.YieldFrom() | ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Raise()
        ):
            yield "pass"
        case ast.Break():
            yield "continue"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "pass"
        case _:
            pass


def _conditions(node: ast.AST) -> list[ast.expr]:
    """What a node asks, where that is no comparison, which has mutants of its own."""
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            found = [node.test]
        case ast.comprehension():
            found = node.ifs
        case ast.match_case(guard=ast.expr() as guard):
            found = [guard]
        case _:
            found = []
    return [test for test in found if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp)]


def _text(left: ast.expr, operator: str, right: ast.expr) -> str:
    return f"({ast.unparse(left)}) {operator} ({ast.unparse(right)})"


def _other_results(value: str, returns: str) -> Iterator[str]:
    """Another result of the same type."""
    if returns == "bool":
        yield f"return not ({value})"
    elif returns in ("int", "float"):
        yield f"return ({value}) + 1"
    elif returns.endswith("| None") and value != "None":
        yield "return None"
    elif returns.startswith(("list[", "tuple[", "Sequence[", "Parts")) and ", " not in returns:
        yield f"return ({value})[::-1]"


# -- the tests -------------------------------------------------------------------------------------------------------

Answer = Literal["killed", "survives", "takes too long"]


@dataclass
class Tree:
    """A copy of the tree, whose tests import its modules."""

    path: Path

    @staticmethod
    def made(under: Path, number: int) -> Tree:
        path = under / f"tree{number}"
        path.mkdir()
        for name in COPIED:
            if (source := ROOT / name).is_dir():
                shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__", "Output"))
            else:
                shutil.copy(source, path / name)
        package = path / "import" / "tspc"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        for name in ("dialects", "passes", "runtime", "tools"):
            (package / name).symlink_to(path / name)
        with (path / "test/filecheck/lit.cfg.py").open("a", encoding="utf-8") as lit:  # which keeps few variables
            lit.write(f"config.environment['PYTHONPATH'] = {str(package.parent)!r}\n")
        return Tree(path)

    def test(self, tests: Sequence[str], seconds: float | None = None) -> Answer:
        """Whether these tests notice anything."""
        environment = {**os.environ, "PYTHONPATH": str(self.path / "import"), "PYTHONDONTWRITEBYTECODE": "1"}
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        try:
            done = subprocess.run(
                command, cwd=self.path, env=environment, timeout=seconds, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            return "takes too long"
        if done.returncode not in (0, 1, 2):
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return "killed" if done.returncode else "survives"

    def try_out(self, mutant: Mutant, tests: Sequence[str], seconds: float) -> Answer:
        path = self.path / mutant.module
        source = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(source), encoding="utf-8")
        try:
            return self.test(tests, seconds)
        finally:
            path.write_text(source, encoding="utf-8")


def sample(modules: Sequence[str], seed: int, most: int) -> list[Mutant]:
    """Some of the mutants of these modules, by seed; where there are several modules, of all as many."""
    chosen: list[Mutant] = []
    for i, module in enumerate(modules):
        found = list(mutants(module, (ROOT / module).read_text(encoding="utf-8")))
        share = most // len(modules) + (i < most % len(modules))
        chosen += random.Random(f"{seed} {module}").sample(found, min(share, len(found)))
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--module", action="append", choices=list(TESTS), help="one of the modules; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="which mutants are taken")
    parser.add_argument("--most", type=int, default=60, help="how many are tried")
    parser.add_argument("--jobs", type=int, default=2, help="how many at the same time")
    parser.add_argument("--short", action="store_true", help="a few, by quick tests alone; for CI")
    arguments = parser.parse_args()
    modules = list(SHORT) if arguments.short else arguments.module or list(TESTS)
    chosen = sample(modules, arguments.seed, 6 if arguments.short else arguments.most)
    tests = {module: TESTS[module][: 1 if arguments.short else None] for module in modules}
    with tempfile.TemporaryDirectory(prefix="tspc-mutants-") as under:
        trees = SimpleQueue[Tree]()
        first = Tree.made(Path(under), 0)
        limits: dict[str, float] = {}
        for module in dict.fromkeys(m.module for m in chosen):
            started = time.monotonic()
            if first.test(tests[module]) != "survives":
                print(f"{module}: its tests fail without any change: {' '.join(tests[module])}")
                return 1
            limits[module] = 20 + 4 * (time.monotonic() - started)
        for tree in (first, *(Tree.made(Path(under), n) for n in range(1, arguments.jobs))):
            trees.put(tree)

        def tried(mutant: Mutant) -> Answer:
            tree = trees.get()
            try:
                answer = tree.try_out(mutant, tests[mutant.module], limits[mutant.module])
            finally:
                trees.put(tree)
            if answer == "survives":
                print(f"survives: {mutant}", flush=True)
            return answer

        with ThreadPoolExecutor(arguments.jobs) as pool:
            answers = list(pool.map(tried, chosen))
    for module in modules:
        mine = [a for a, m in zip(answers, chosen, strict=True) if m.module == module]
        print(f"{module}: {len(mine) - mine.count('survives')} of {len(mine)} killed")
    return int("killed" not in answers)


if __name__ == "__main__":
    sys.exit(main())
