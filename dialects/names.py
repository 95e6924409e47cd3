"""Names of inputs, outputs and parameters: one rule for every level and file, and how messages show them.

A name is text that UTF-8 can write, of 1 to MOST_NAME_BYTES bytes and without NUL; no two outputs have one name, and no
two inputs of a function. So it is a key of an .npz file, where NUL ends a name and its length has 16 bits, of a
safetensors file and of JSON.
"""

from __future__ import annotations

from xdsl.dialects.builtin import BytesAttr, StringAttr
from xdsl.ir import Attribute

from .machine.limits import MOST_NAME_BYTES

_SHOWN = 80
"""Characters of a name that a message shows."""


def name_of(attr: Attribute) -> str | None:
    """The name that an attribute gives, or None. Text that is not ASCII is bytes to the parser of plain xDSL 0.74."""
    match attr:
        case StringAttr():
            return attr.data
        case BytesAttr():
            try:
                return attr.data.decode()
            except UnicodeDecodeError:
                return None
        case _:
            return None


def fault_of(kind: str, name: Attribute | str | None) -> str | None:
    """What is wrong with the name of an input, output or parameter, as a sentence with the remedy; or None."""
    text = name_of(name) if isinstance(name, Attribute) else name
    article = "an" if kind[0] in "io" else "a"
    if name is None:
        return f"{article} {kind} has no name; give it one"
    if text is None:
        return f"the name of {article} {kind} is {name}, which is no string; write it in quotes"
    if not text:
        return f"the name of {article} {kind} is empty; give it one"
    if "\0" in text:
        return f"the name {quoted(text)} of {article} {kind} has a NUL in it, which files cannot hold; give it another"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return f"the name {quoted(text)} of {article} {kind} is no Unicode text; give it another"
    if size > MOST_NAME_BYTES:
        return f"the name {quoted(text)} of {article} {kind} has {size} bytes; a name may have {MOST_NAME_BYTES}"
    return None


def named_twice(kind: str, name: str) -> str:
    """The sentence for a name that two inputs, or two outputs, have."""
    return f"two {kind}s are named {quoted(name)}; give each its own tsp_tensor.name"


def of_two_types(kind: str, name: str, first: object, second: object) -> str:
    """The sentence for a name that stands for tensors of two types."""
    return f"{kind} {quoted(name)} is used as {first} and as {second}; give both one type"


def quoted(name: str) -> str:
    """A name in a message: in backquotes, in one line, and not too long."""
    return f"`{printable(name)}`"


def printable(name: str) -> str:
    """A name as text for a terminal: what is not printable is escaped, and the middle of a long one left out."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 4 :]} ({len(name)} characters)"
