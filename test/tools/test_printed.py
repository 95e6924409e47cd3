"""What README.md and the docs show as printed is what their commands print, all their commands and all their Python
work, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tspc.tools.printed import has_output, is_run, renewed

ROOT = Path(__file__).resolve().parents[2]
ALL = (ROOT / "README.md", *sorted(path for top in ("docs", "examples") for path in (ROOT / top).rglob("*.md")))
TRUE_BY_OTHERS = {"adding-an-instruction.md", "adding-an-op.md"}
"""Pages whose Python is parts of files, which tests of their own put together."""

PAGES = [page for page in ALL if page.name not in TRUE_BY_OTHERS and is_run(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_show_what_is_printed(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert renewed(page, ROOT) == page, "`python -m tspc.tools.manual` prints it again"


# -- what pages name -----------------------------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
NAMED = re.compile(r"(?<![\w./-])(?:dialects|passes|runtime|tools|test|examples|bench|docs)/[\w/.-]+\.[a-z]+\b")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as they are rendered."""
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link, anchor in LINK.findall(text):
        if not link.startswith("http"):
            target = path.parent / link if link else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), anchor
    for name in NAMED.findall(LINK.sub("]", text)):
        assert any(ROOT.glob(name)), name


ONLY_BY_THE_BENCH = {"367,930"}
"""Lengths of programs that take too long to compile for a test."""


def test_measured_lengths_are_those_that_tests_expect() -> None:
    """So a program that becomes shorter cannot leave its old length on the page."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    measured = page[page.index("\n## Measured\n") : page.index("| | compile |")]
    lengths = set(re.findall(r"(?m)^\| (?!f16|int8)[^|]+ \| ([\d,]+) \|", measured)) - ONLY_BY_THE_BENCH
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "test").rglob("test_*.py"))
    expected = {number.replace("_", "") for number in re.findall(r"\b\d[\d_]*\b", tests)}
    assert len(lengths) > 10
    assert {length for length in lengths if length.replace(",", "") not in expected} == set()


def test_the_install_of_a_page_is_that_of_the_readme() -> None:
    """CI runs that one in a new environment; tests, which install nothing, run all other commands."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    installs = [block for page in (ROOT / "docs" / "for").glob("*.md") for block in shell_blocks(page.read_text())]
    assert installs == [block for block in shell_blocks(readme) if block in installs] != []


def shell_blocks(text: str) -> list[str]:
    return re.findall(r"(?s)```sh\n(.*?)```", text)


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / link).resolve() for page in ALL for link, _ in LINK.findall(page.read_text(encoding="utf-8"))
    }
    folders = {path for path in linked if path.is_dir()}
    assert [page.name for page in ALL[1:] if page not in linked and page.parent not in folders] == []


# -- how they are printed ------------------------------------------------------------------------------------------


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


def test_python_is_run_as_one_text() -> None:
    text = "```python\nx = 3\n```\n```python\nprint(x)\nprint(x + 1)\n```\n<!-- printed -->\n```\nold\n```\n"
    assert has_output(text)
    assert renewed(text, ROOT) == text.replace("old", "3\n4")
    with pytest.raises(ValueError, match="x\nZeroDivisionError"):
        renewed("```python\nprint('x')\n1 / 0\n```\n", ROOT)


def test_files_are_there_for_what_follows() -> None:
    text = "<!-- file: sub/a.txt -->\n```toml\none\n```\n```console\n$ cat sub/a.txt | tr o 0\nold\n```\n"
    assert renewed(text, ROOT) == text.replace("old", "0ne")
    with pytest.raises(ValueError, match=r"README\.md lies in the clone"):
        renewed(text.replace("sub/a.txt", "README.md"), ROOT)
    with pytest.raises(ValueError, match=r"docs/a\.txt lies in the clone"):
        renewed(text.replace("sub/a.txt", "docs/a.txt"), ROOT)


def test_a_page_may_be_for_a_folder_of_ones_own() -> None:
    text = "```console\n$ ls\n```\n<!-- printed -->\n```\nold\n```\n"
    assert "README.md" in renewed(text, ROOT)
    outside = f"<!-- outside a clone -->\n{text}"
    assert renewed(outside, ROOT) == outside.replace("old\n", "")
