"""The `.mlir` tests really test: their directives are checked, and `lit` runs on exactly the selected files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from directives import problems

TEST = Path(__file__).parent

GOOD = """\
// RUN: tsp-opt %s | filecheck %s
// What is tested.
// CHECK: builtin.module
// CHECK-NEXT: func.func @f()
func.func @f() { func.return }
"""


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + "// CHECK-NOT: tsp_tensor\n// CHECK-COUNT-2: }\n// CHECK-SAME{LITERAL}: [[1]]\n// CHECK-EMPTY:\n",
        GOOD.replace("func.func @f() {", "func.func @f() { // CHECK-LABEL: func.func"),
        GOOD.replace("%s\n", "%s --check-prefix=BYTES\n").replace("CHECK", "BYTES"),
        GOOD + "// RUN: tsp-opt %s | filecheck %s --check-prefixes=ONE,TWO\n// ONE: a\n// TWO-DAG: b\n",
        GOOD + "// RUN: tsp-opt %s > %t\n",
        GOOD + "// Note: prose may have a colon, and speak of an ALU, of a CHECK line and of what it checks.\n",
    ],
)
def test_a_file_that_tests_something(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("func.func @f() { func.return }\n", "has no RUN line"),
        (GOOD.replace("CHECK", "CHEK"), "has no CHECK line"),
        (GOOD.replace("CHECK", "CHEK"), "line 3: `CHEK:` is no directive"),
        (GOOD.replace(" | filecheck %s", ""), "has no RUN line that ends in `| filecheck %s`"),
        (GOOD + "// RUN: tsp-opt %s | filecheck %s --check-prefix=BYTES\n", "has no BYTES line"),
        (GOOD.replace("CHECK:", "CHECK :"), "line 3: `CHECK:` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// CHECK-NXT:"), "line 4: `CHECK-NXT:` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// CHECK_NEXT:"), "line 4: `CHECK_NEXT:` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// CHECKNEXT:"), "line 4: `CHECKNEXT:` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// CHECK-NEXT"), "line 4: `CHECK-NEXT` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// check-next:"), "line 4: `check-next:` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// CHECK-COUNT:"), "line 4: `CHECK-COUNT:` is no directive"),
        (GOOD.replace("// CHECK-NEXT:", "// BYTES:"), "line 4: `BYTES:` is no directive"),
        (GOOD + "// RUN tsp-opt %s\n", "line 6: `RUN` is no directive"),
        (GOOD + "// RNU: tsp-opt %s\n", "line 6: `RNU:` is no directive"),
        (GOOD.replace("() {", "() { // CHEKC: x"), "line 5: `CHEKC:` is no directive"),
    ],
)
def test_a_file_that_tests_less_than_it_seems_to(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(text)), problems(text)


def test_each_file_is_a_test_of_its_own(tmp_path: Path) -> None:
    """One passes, one fails with the words of `filecheck`, one is not run at all for its misspelt directive; and a file
    that is not selected is not run."""
    for name in ("conftest.py", "directives.py", "filecheck/lit.cfg.py"):
        (target := tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(TEST / name, target)
    files = {
        "good.mlir": GOOD,
        "wrong.mlir": GOOD.replace("@f()\n", "@g()\n"),
        "misspelt.mlir": GOOD.replace("CHECK-NEXT", "CHECK-NXT"),
        "unselected.mlir": GOOD.replace("tsp-opt %s", "touch %S/was_run"),
    }
    for name, text in files.items():
        (tmp_path / "filecheck" / name).write_text(text, encoding="utf-8")
    selected = [f"filecheck/{name}" for name in files if name != "unselected.mlir"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", *selected]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 1 passed" in done.stdout
    assert "FAILED filecheck/wrong.mlir::wrong" in done.stdout
    assert 'Couldn\'t match "func.func @g()"' in done.stdout
    assert "misspelt.mlir: line 4: `CHECK-NXT:` is no directive" in done.stdout
    assert not (tmp_path / "filecheck" / "was_run").exists()
