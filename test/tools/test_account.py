"""`tsp-run --account`: its table, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import DIGITS
from tspc.tools.tsp_run import main


def called(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit_:
        main(args)
    found = capsys.readouterr()
    return int(exit_.value.code or 0), found.out + found.err


def test_a_row_for_every_op(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = called(capsys, str(DIGITS / "digits.mlir"), "--account")
    assert code == 0
    head, ops = text.split("ops of the tensor level")
    total = int(head.split()[0])
    parts = [int(line.split()[-2]) for line in head.splitlines() if line.rstrip().endswith("%")]
    assert sum(parts) == total
    rows = [line.split() for line in ops.splitlines() if line.split() and line.split()[0].isdigit()]
    assert rows and all(0 <= int(first) <= int(last) < total for _, _, _, _, first, last, *_ in rows)


def test_a_program_has_no_account(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, text = called(capsys, str(tmp_path / "x.tspx"), "--account")
    assert code != 0 and "use --profile" in text
    code, text = called(capsys, str(DIGITS / "digits.mlir"), "--account", "--profile")
    assert code != 0 and "without other options" in text
