"""What is distributed: an sdist that is a clone, a wheel that needs none, and a word to Pythons that are too old."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = ROOT / "tools" / "tspc" / "__init__.py"
NO_PART = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "Output")
"""What lies in a clone that is worked in, and is not of it."""

BUILD = """
import sys
from setuptools.build_meta import build_sdist, build_wheel
(build_sdist if sys.argv[1] == "sdist" else build_wheel)(sys.argv[2])
"""


def build(what: str, source: Path, to: Path) -> Path:
    """Builds with the setuptools that is here: nothing is fetched."""
    to.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, what, str(to)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = to.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked sdist."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend; it is in the `test` extra")
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "clone", ignore=NO_PART)
    with tarfile.open(build("sdist", folder / "clone", folder / "dist")) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"tspc-{PROJECT['version']}"


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The folder of an unpacked wheel that was built from the sdist."""
    folder = sdist.parent / "wheel"
    with zipfile.ZipFile(build("wheel", sdist, sdist.parent / "wheels")) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_the_sdist_holds_what_a_clone_does(sdist: Path) -> None:
    clone = {file for file in files(sdist.parent / "clone") if not file.startswith(("tspc.egg-info", "build"))}
    assert clone - files(sdist) == set()
    added = {file for file in files(sdist) - clone if not file.startswith("tspc.egg-info")}
    assert added == {"PKG-INFO", "setup.cfg"}
    assert {"README.md", "LICENSE", "docs/tools.md", "examples/digits/digits.safetensors"} < files(sdist)


def test_the_wheel_holds_all_modules_and_nothing_else(wheel: Path) -> None:
    folders = {"tspc/": "tools/tspc"} | {f"tspc/{f}/": f for f in ("dialects", "passes", "runtime", "tools")}
    expected = {
        f"{package}{path.relative_to(ROOT / folder)}"
        for package, folder in folders.items()
        for path in (ROOT / folder).rglob("*.py")
        if not (folder == "tools" and path.is_relative_to(ROOT / "tools" / "tspc"))
    }
    inside = {file for file in files(wheel) if not file.startswith(f"tspc-{PROJECT['version']}.dist-info/")}
    assert inside == expected | {"tspc/py.typed"}


def test_the_wheel_works_without_a_clone(wheel: Path, tmp_path: Path) -> None:
    for name in ("digits.mlir", "digits.safetensors", "held_out.npz"):
        shutil.copy(DIGITS / name, tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import tspc; from tspc.tools import about, tsp_run;"
        f"assert tspc.__file__.startswith({str(wheel)!r}); about.print_about();"
        "tsp_run.main(['digits.mlir', '--inputs', 'held_out.npz', '--output', 'logits.npz'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"tspc {PROJECT['version']}" in done.stdout
    with np.load(DIGITS / "digits.npz") as data, np.load(tmp_path / "logits.npz") as result:
        assert (result["logits"].argmax(axis=1) == data["labels"][data["held_out"]]).mean() > 0.97


# -- Python that is too old ----------------------------------------------------------------------------------------

OLD = "ImportError: tspc needs Python 3.11 or newer, and this is Python 3.10"


def test_the_least_python_is_said_once() -> None:
    (least,) = re.findall(r">=(\d+\.\d+)", PROJECT["requires-python"])
    assert OLD.startswith(f"ImportError: tspc needs Python {least} or newer")
    assert PROJECT["requires-python"] == f">={least}"
    (xdsl,) = [wanted for wanted in PROJECT["dependencies"] if wanted.startswith("xdsl")]
    assert xdsl.endswith(f"; python_version >= '{least}'")


def test_older_versions_can_read_the_check() -> None:
    ast.parse(PACKAGE.read_text(encoding="utf-8"), feature_version=(3, 7))
    assert "__future__" not in PACKAGE.read_text(encoding="utf-8")


def test_an_older_python_is_told_so() -> None:
    """As by `python3.10 -m tspc`, or by an import from a folder of another Python."""
    code = "import sys; sys.version_info = (3, 10, 13, 'final', 0); import tspc"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == OLD


def test_a_real_python_3_10_says_so() -> None:
    python = shutil.which("python3.10")
    if python is None or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
        pytest.skip("there is no python3.10")
    done = subprocess.run(
        [python, "-B", "-m", "tspc"], cwd=PACKAGE.parents[1], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == OLD
