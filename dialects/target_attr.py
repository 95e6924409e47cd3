"""The machine in the IR: the module attribute `tsp_isa.target`."""

from __future__ import annotations

from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Data, Operation
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from .errors import TargetError
from .machine.target import DEFAULT_SYSTEM, SystemSpec, load_file, system_from_overrides, system_overrides

TARGET = "tsp_isa.target"
"""The module attribute that holds the machine; without it the default one is meant."""

WHOLE = "tsp_isa.whole_target"
"""The module attribute that holds the machine on which a program will run that is planned for a part of it."""


@irdl_attr_definition
class TargetAttr(Data[SystemSpec]):
    """`#tsp_isa.target<chip.streams = 16, system.wiring = "ring">`: the fields that differ from the default machine."""

    name = "tsp_isa.target"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> SystemSpec:
        position = parser.pos
        entries = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, lambda: _parse_override(parser))
        keys = [key for key, _ in entries]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            parser.raise_error(f"target field `{twice}` appears twice", position)
        try:
            return system_from_overrides(dict(entries))
        except TargetError as e:
            parser.raise_error(str(e), position)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string("<")
        printer.print_string(", ".join(f"{k} = {_value_text(v)}" for k, v in system_overrides(self.data).items()))
        printer.print_string(">")


def _value_text(value: int | float | str) -> str:
    """A number as MLIR reads it, which wants a point before an exponent: 1.0e-05; or text in quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def _parse_override(parser: AttrParser) -> tuple[str, int | float | str]:
    key = parser.parse_identifier(" of a target field, such as `chip.streams`")
    parser.parse_punctuation("=")
    text = parser.parse_optional_str_literal()
    return key, parser.parse_number() if text is None else text


def target_of(op: Operation) -> SystemSpec:
    """The machine of the module that holds `op`: its `tsp_isa.target`, or the default."""
    node: Operation | None = op
    while node is not None:
        if isinstance(node, ModuleOp) and (attr := node.attributes.get(TARGET)) is not None:
            if not isinstance(attr, TargetAttr):
                raise VerifyException(f"module attribute `{TARGET}` must be a #tsp_isa.target<...>")
            return attr.data
        node = node.parent_op()
    return DEFAULT_SYSTEM


def overlay_target(module: ModuleOp, path: str | Path) -> None:
    """Changes the module's machine in the fields that a TOML file gives. Raises TargetError, naming the field, for a
    file that is none."""
    module.attributes[TARGET] = TargetAttr(load_file(path, target_of(module)))
    if isinstance(whole := module.attributes.get(WHOLE), TargetAttr):
        module.attributes[WHOLE] = TargetAttr(load_file(path, whole.data))
