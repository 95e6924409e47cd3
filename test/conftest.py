"""Makes every `.mlir` file under test/filecheck a pytest test, and sets how hypothesis runs.

A process per file would cost more than the tests themselves, so `lit` runs once a session for all selected files, and
each file reports its part of the answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from directives import problems
from hypothesis import settings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # products are small; threads of BLAS would only wait for each other

FILECHECK = Path(__file__).parent / "filecheck"

settings.register_profile("tspc", deadline=None)  # the first example of a test may pay for imports
settings.load_profile("tspc")

Results = dict[Path, tuple[str, str]]
"""By file: lit's code, such as PASS, and its output."""

_RESULTS = pytest.StashKey[Results]()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".mlir" and file_path.is_relative_to(FILECHECK):
        return MlirFile.from_parent(parent, path=file_path)
    return None


class MlirFile(pytest.File):
    """A file with RUN and CHECK lines."""

    def collect(self) -> Iterator[pytest.Item]:
        yield MlirItem.from_parent(self, name=self.path.stem)


class MlirItem(pytest.Item):
    """The one test of an `.mlir` file."""

    def runtest(self) -> None:
        if found := problems(self.path.read_text(encoding="utf-8")):
            raise FilecheckError("\n".join(found))
        code, output = results(self.session)[self.path]
        if code != "PASS":
            raise FilecheckError(f"{code}\n{output}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, FilecheckError):
            return f"{self.path}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, str(self.path.relative_to(FILECHECK))


class FilecheckError(Exception):
    """A file that fails, with lit's words for it."""


def results(session: pytest.Session) -> Results:
    """What lit says of all selected files; it runs when the first of them asks."""
    if _RESULTS not in session.stash:
        paths = [item.path for item in session.items if isinstance(item, MlirItem)]
        session.stash[_RESULTS] = run_lit(paths)
    return session.stash[_RESULTS]


def run_lit(paths: list[Path]) -> Results:
    """Runs the `lit` executable on these files. `python -m lit.main` would succeed without running anything."""
    beside = Path(sys.executable).with_name("lit")
    lit = str(beside) if beside.exists() else shutil.which("lit")
    if lit is None:
        raise FilecheckError("there is no `lit` executable; install the `test` extra")
    with tempfile.TemporaryDirectory(prefix="tspc-filecheck-") as scratch:
        report = Path(scratch) / "results.json"
        command = [lit, "-q", "--param", f"scratch={scratch}", "--output", str(report), *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.exists():
            raise FilecheckError(f"lit gave no report:\n{done.stdout}{done.stderr}")
        tests = json.loads(report.read_text(encoding="utf-8"))["tests"]
    answers = {FILECHECK / t["name"].partition(" :: ")[2]: (t["code"], t.get("output", "")) for t in tests}
    silent = ("UNRESOLVED", f"lit did not run it:\n{done.stdout}{done.stderr}")
    return {path: answers.get(path, silent) for path in paths}
