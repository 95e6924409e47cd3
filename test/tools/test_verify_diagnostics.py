"""tsp-opt --verify-diagnostics: comments of a text say which errors it gives, and on which line."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import call
from tspc.tools import tsp_opt

WRONG = "%c = tsp_tensor.reshape %x : tensor<4xi8> -> tensor<5xi8>"
SAYS = "`tsp_tensor.reshape`: "


def checked(tmp_path: Path, *body: str, after: str = "") -> tuple[object, list[str]]:
    """The exit code and what is said, without the name of the file, about a function whose body begins in line 2."""
    head, tail = "func.func @main(%x: tensor<4xi8>) -> tensor<5xi8> {", ("func.return %c : tensor<5xi8>", "}")
    path = tmp_path / "m.mlir"
    path.write_text("\n".join([head, *body, *tail, after]))
    outcome = call(tsp_opt.main, path, "--verify-diagnostics", "--split-input-file")
    lines = outcome.err.removeprefix("error: ").splitlines()
    return outcome.code, [line.removeprefix(f"{path}:") for line in lines if " | " not in line]


EXPECTED = {
    "on its line": [f"{WRONG} // expected-error {{{{{SAYS}}}}}"],
    "on the next": [f"// expected-error@+1 {{{{{SAYS}}}}}", WRONG],
    "on the last": [WRONG, f"// expected-error@-1 {{{{{SAYS}}}}}"],
    "with spaces": [f"//   expected-error  @+2  {{{{{SAYS}}}}}  ".replace("  @", " @"), "", WRONG],
    "below": ["// expected-error@below {{reshape}}", WRONG],
    "above": [WRONG, "// expected-error@above {{reshape}}"],
    "several below": [
        "// expected-error@below {{reshape}}",
        "// expected-error@+1 {{tsp_tensor.reshape}}",
        f"{WRONG} {WRONG.replace('%c', '%d')}",
    ],
    "pattern": ["// expected-error-re@+1 {{`tsp_{{[a-z]+}}.reshape`: }}", WRONG],
}


@pytest.mark.parametrize("case", EXPECTED)
def test_an_error_that_is_expected_is_none(case: str, tmp_path: Path) -> None:
    assert checked(tmp_path, *EXPECTED[case]) == (0, [])


def test_an_error_that_does_not_come_is_one(tmp_path: Path) -> None:
    right = WRONG.replace("<5x", "<4x").replace("%c", "%d")
    comment = "// expected-error@+1 {{reshape}}"
    code, said = checked(tmp_path, WRONG, comment, right)
    assert code == 1
    assert said[0].startswith(f"2:1: unexpected error: {SAYS}")
    assert said[1:] == ["3:4: expected error {{reshape}} in line 4 was not produced"]


MISSES = {
    "line": (["// expected-error@-1 {{reshape}}", WRONG], "2:4: expected error {{reshape}} in line 1 was not produced"),
    "text": ([f"{WRONG} // expected-error {{{{no such}}}}"], "2:62: expected error {{no such}} was not produced"),
    "kind": (
        ["// expected-warning@+1 {{reshape}}", WRONG],
        "2:4: expected warning {{reshape}} in line 3 was not produced",
    ),
    "twice": (
        ["// expected-error@+2 {{reshape}}", "// expected-error@+1 {{reshape}}", WRONG],
        "3:4: expected error {{reshape}} in line 4 was not produced",
    ),
    "no place": (
        ["// expected-error@unknown {{reshape}}", WRONG],
        "2:4: expected error {{reshape}} without a place was not produced",
    ),
    "syntax": (["// expected-error {reshape}", WRONG], "2:1: this is not an expectation; write expected-error"),
    "direction": (["// expected-error@over {{reshape}}", WRONG], "2:1: this is not an expectation; write"),
    "pattern": (["// expected-error-re {{{{[}}}}", WRONG], "2:4: the pattern {{{{[}}}} is not a regular expression: "),
}


@pytest.mark.parametrize("case", MISSES)
def test_an_expectation_that_is_not_met_says_where_it_stands(case: str, tmp_path: Path) -> None:
    body, message = MISSES[case]
    code, said = checked(tmp_path, *body)
    assert code == 1
    assert any(line.startswith(message) for line in said), said


def test_every_part_has_its_own_expectations_and_what_is_right_is_printed(tmp_path: Path) -> None:
    text = f"""
// expected-error@+1 {{{{there is no op `tsp_tensor.abs`}}}}
%0 = tsp_tensor.abs
// -----
builtin.module {{}}
// -----
func.func @main(%x: tensor<4xi8>) -> tensor<5xi8> {{
  {WRONG} // expected-error {{{{reshape}}}}
  func.return %c : tensor<5xi8>
}}
"""
    path = tmp_path / "m.mlir"
    path.write_text(text)
    outcome = call(tsp_opt.main, path, "--verify-diagnostics", "--split-input-file")
    assert (outcome.code, outcome.out, outcome.err) == (0, "builtin.module {\n}\n\n", "")


def test_an_error_without_a_place_can_be_expected_too(tmp_path: Path) -> None:
    path = tmp_path / "m.mlir"
    path.write_text("// expected-error@unknown {{the module has no function}}\nbuiltin.module {}\n")
    assert call(tsp_opt.main, path, "--verify-diagnostics", "-p", "tsp-compile").code == 0
