"""Text as people and tools write it: encodings, aliases in any order, and locations of all kinds in messages."""

from __future__ import annotations

import pytest
from tspc.dialects.errors import MalformedProgram
from tspc.dialects.locations import decoded, where
from tspc.dialects.tsp_tensor import ConstantOp
from tspc.passes.pipelines import parse
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import ParseError

TEXT = """func.func @main(%x: tensor<4xi8>) -> tensor<4xi8> {{
  %c = tsp_tensor.constant dense<1> : tensor<4xi8>{loc}
  func.return %c : tensor<4xi8>
}}
{after}"""


def place(loc: str, after: str = "") -> str:
    """Where a constant is that is written with a location, before the definitions of some aliases."""
    return where(constant_of(parse(TEXT.format(loc=f" loc({loc})" if loc else "", after=after), "m.mlir")))


def constant_of(module: ModuleOp) -> ConstantOp:
    return next(op for op in module.walk() if isinstance(op, ConstantOp))


# -- encodings -----------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_takes_no_column() -> None:
    text = decoded(b"\xef\xbb\xbf" + TEXT.format(loc="", after="").encode(), "m.mlir")
    assert where(constant_of(parse(text, "m.mlir"))) == "m.mlir:2:3"
    assert where(next(iter(parse(text, "m.mlir").ops))) == "m.mlir:1:1"


def test_lines_may_end_as_on_windows() -> None:
    text = decoded(TEXT.format(loc="", after="// é\n").replace("\n", "\r\n").encode(), "m.mlir")
    assert where(constant_of(parse(text, "m.mlir"))) == "m.mlir:2:3"


ENCODINGS = {
    "utf-16": "m.mlir is UTF-16 text; save it as UTF-8",
    "latin-1": "m.mlir is not UTF-8 text: byte 0xe9 in line 5; save text in another encoding as UTF-8",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(MalformedProgram) as error:
        decoded(TEXT.format(loc="", after="// café").encode(encoding), "m.mlir")
    assert str(error.value).startswith(ENCODINGS[encoding])


# -- aliases -------------------------------------------------------------------------------------------------------

LATE = "#a = loc(#b)\n#c = loc(callsite(#d at #b))\n#b = loc(#d)\n#d = loc("


def test_aliases_of_locations_may_come_last_and_in_any_order() -> None:
    for name in "abcd":
        assert place(f"#{name}", f'{LATE}"net.py":3:4)') == "net.py:3:4"


def test_aliases_of_types_and_attributes_may_come_last() -> None:
    text = """
        func.func @main(%x: !t) -> !t attributes {a = #n} {
          %c = tsp_tensor.constant #n
          func.return %c : !t
        }  !t = tensor<2x!e>
        // !t = tensor<3xi8>
        #n = dense<[1, 2]> : !t
        !e = i8"""
    assert constant_of(parse(text)).value.get_values() == (1, 2)
    assert "attributes {a = dense<[1, 2]> : tensor<2xi8>}" in str(parse(text))


def test_what_looks_like_a_definition_in_a_string_is_none() -> None:
    text = 'func.func @main() attributes {a = "#b = 3 : i8", b = #b} { func.return } #b = 4 : i8'
    assert '{a = "#b = 3 : i8", b = 4 : i8}' in str(parse(text))


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("", "2:58: undefined symbol alias '#a'"),
        ("#a = loc(#b)\n#b = loc(#a)", "6:12: undefined symbol alias '#a'"),
        ("#a = loc(unknown)\n#a = loc(unknown)", "6:4: re-declaration of alias '#a'"),
        ("#a = loc(", "5:10: Unexpected location syntax"),
    ],
)
def test_wrong_aliases_name_the_place(after: str, message: str) -> None:
    with pytest.raises(ParseError) as error:
        place("#a", after)
    assert message in str(error.value).splitlines()[0] + ": " + error.value.msg


# -- locations -----------------------------------------------------------------------------------------------------

LOCATIONS = {
    '"net.py":3:4': "net.py:3:4",
    '"net.py":3:4 to 5:6': "net.py:3:4",
    '"net.py":3:4 to :6': "net.py:3:4",
    '"conv1"': '"conv1"',
    '"conv1"("net.py":3:4)': "net.py:3:4",
    'callsite("conv1" at "net.py":3:4)': '"conv1"',
    'callsite("f.py":1:2 at "net.py":3:4)': "f.py:1:2",
    'callsite(unknown at "net.py":3:4)': "net.py:3:4",
    'fused["conv1"("f.py":1:2), "net.py":3:4]': "f.py:1:2",
    'fused<"CSE">[unknown, "net.py":3:4]': "net.py:3:4",
    "fused[]": "m.mlir:1:1",  # says nothing, so the function's
    "unknown": "m.mlir:2:3",
}


@pytest.mark.parametrize("loc", LOCATIONS)
def test_a_location_says_where_an_op_was_written(loc: str) -> None:
    assert place(loc) == LOCATIONS[loc]
