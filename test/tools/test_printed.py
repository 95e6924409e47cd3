"""What README.md and the docs show as printed is what their commands print, and all their commands work."""

from __future__ import annotations

from pathlib import Path

import pytest
from tspc.tools.printed import has_output, renewed

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```console" in page.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_show_what_is_printed(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert renewed(page, ROOT) == page, "`python -m tspc.tools.manual` prints it again"


def page(command: str, *shown: str, mark: str | None = None) -> str:
    block = [f"<!-- printed: {mark} -->", "```", "old", "```"] if mark else []
    return "\n".join(["# Page", "```console", f"$ {command}", *shown, "```", *block, "Text."])


def test_stale_output_is_replaced() -> None:
    stale = page("echo one", "two")
    assert has_output(stale)
    assert renewed(stale, ROOT) == page("echo one", "one")


def test_commands_without_output_only_run() -> None:
    silent = page("echo one")
    assert not has_output(silent)
    assert renewed(silent, ROOT) == silent


def test_a_mark_chooses_lines() -> None:
    seq = page("seq 1 9", mark='"2" to "4"; "7"')
    assert has_output(seq)
    assert renewed(seq, ROOT) == seq.replace("old", "2\n3\n4\n7")


def test_an_error_that_is_shown_is_output() -> None:
    missing = page("tsp-run no.mlir", "error")
    assert "no.mlir" in renewed(missing, ROOT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (page("tsp-run no.mlir"), r"no\.mlir"),
        (page("seq 1 9", mark='"2" to "1"'), 'no line with "1" is printed, or none after'),
        (page("seq 1 9", mark='"x"'), 'no line with "x" is printed'),
        ("```console\n$ echo", "without an end"),
        ("```console\necho\n```", "begins with a command"),
    ],
)
def test_what_cannot_be_renewed(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        renewed(text, ROOT)
