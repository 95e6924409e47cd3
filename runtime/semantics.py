"""Which function of an engine executes which instruction: a registry for each engine, filled by a decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from ..dialects.errors import MalformedProgram
from ..dialects.instructions import InstructionOp
from ..dialects.machine.effects import Effect
from ..dialects.machine.instruction import Instruction

F = TypeVar("F", bound=Callable[..., object])
G = TypeVar("G", bound=Callable[..., object])

Key = str | Effect
"""A mnemonic, or an effect, which stands for every instruction that has it."""


class Semantics(Generic[F]):
    """The semantics functions of an engine."""

    def __init__(self, engine: str):
        """`engine` is its name in messages."""
        self.engine = engine
        self._functions: dict[Key, F] = {}

    def executes(self, *what: type[InstructionOp] | Effect) -> Callable[[G], G]:
        """Registers a function for some instructions, or for all of an effect. None may have two."""

        def register(function: G) -> G:
            for one in what:
                key: Key = one if isinstance(one, Effect) else one.INSTRUCTION.name
                assert key not in self._functions, f"the {self.engine} engine has two functions for {key}"
                self._functions[key] = function  # pyright: ignore[reportArgumentType] (G is what F calls)
            return function

        return register

    def forget(self, *what: type[InstructionOp]) -> None:
        """Takes functions out again."""
        for one in what:
            del self._functions[one.INSTRUCTION.name]

    def found(self, instruction: Instruction) -> list[F]:
        """The functions for an instruction, of which there must be one."""
        keys: tuple[Key, ...] = (instruction.name, instruction.effect)
        return [self._functions[key] for key in keys if key in self._functions]

    def __getitem__(self, instruction: Instruction) -> F:
        """The function for an instruction. Raises MalformedProgram where there is none."""
        for function in self.found(instruction):
            return function
        raise MalformedProgram(
            f"the {self.engine} engine does not execute `{instruction.name}`; register a function for it"
        )

    def __iter__(self) -> Iterator[F]:
        """All functions."""
        return iter(self._functions.values())
