"""What the pages about the tools show is what the tools print: their commands are run, in the order of the page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(page: Path) -> list[tuple[str, list[str]]]:
    """The commands of a page, each with the lines that are shown of what it prints: in its own block or, up to the next
    command, in blocks without a language."""
    found: list[tuple[str, list[str]]] = []
    for language, body in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            for line in body.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    found.append((line.removeprefix("$ "), []))
                else:
                    found[-1][1].append(line)
        elif not language:
            found[-1][1].extend(body.splitlines())
    return found


@pytest.mark.parametrize("page", ["tools.md", "debugging.md"])
def test_commands_print_what_the_page_shows(page: str, tmp_path: Path) -> None:
    for name in ("examples", "test"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    commands = examples(ROOT / "docs" / page)
    assert any(shown for _, shown in commands)
    for command, shown in commands:
        if "digits_back" in command and shutil.which("mlir-opt-19") is None:
            continue  # test_irdl_export.py says why
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        printed = {" ".join(line.split()) for line in (done.stdout + done.stderr).splitlines()}
        assert done.returncode == 0 or done.stderr.startswith("error: "), command
        missing = [line for line in shown if " ".join(line.split()) not in printed]
        assert not missing, command
