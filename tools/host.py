"""Host code around programs: it runs in xDSL's interpreter, and what it calls on chips runs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp, PackableType, SymbolRefAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl_external, register_impls
from xdsl.interpreters import register_implementations
from xdsl.interpreters.builtin import xtype_for_el_type
from xdsl.interpreters.shaped_array import ShapedArray
from xdsl.interpreters.utils.ptr import RawPtr, TypedPtr
from xdsl.ir import Attribute, Operation
from xdsl.utils.exceptions import InterpretationError

from ..dialects.errors import InputError, TspError, UnsupportedModel
from ..dialects.functions import names_of, programs_of
from ..dialects.locations import describe
from ..dialects.machine.target import nearest
from ..dialects.names import quoted
from ..dialects.target_attr import TARGET
from ..passes import pipelines
from ..passes.on_programs import on_each
from ..passes.outline_programs import OutlineProgramsPass
from ..runtime.executable import executable_from_module
from ..runtime.interface import Array
from .api import Model, Program, Target, Weights, module_of, parameters_of


class Host:
    """Host code and the programs that it calls. Threads may share it; the runs of a program wait for each other."""

    def __init__(self, module: ModuleOp, programs: dict[str, Program]):
        self.module = module
        """Functions of the host, a declaration for each program, and beside it the module that was compiled."""
        self.programs = programs
        """By the names of their functions; `inner::f` for a function of a module `inner` within the module."""

    def run(self, function: str, *arguments: Any, implementations: Sequence[InterpreterFunctions] = ()) -> Any:
        """Calls a function, by name, and gives what it returns: nothing, a value, or a tuple of values.

        Tensors are numpy arrays here, scalars numbers of Python, and what else there is as xDSL's interpreter has it.
        `implementations` go before all others; they are for functions that are only declared and are no programs, and
        for ops that the interpreter does not know.
        Raises InputError for arguments that misfit, UnsupportedModel for an op that nothing runs.
        """
        type_ = self._function(function).function_type
        if len(arguments) != len(type_.inputs):
            raise InputError(f"{quoted(function)} takes {len(type_.inputs)} arguments, not {len(arguments)}")
        interpreter = Interpreter(self.module, listeners=(last := _Last(),))
        register_implementations(interpreter, pipelines.make_context())
        for functions in (self.implementations(), *implementations):
            interpreter.register_implementations(functions, override=True)
        given = [
            _to_host(value, input_, f"argument {i} of {quoted(function)}", interpreter)
            for i, (value, input_) in enumerate(zip(arguments, type_.inputs, strict=True))
        ]
        try:
            results = interpreter.call_op(SymbolRefAttr(function), tuple(given))
        except TspError as e:
            e.__notes__ = []  # the interpreter adds the whole module
            raise
        except InterpretationError as e:
            where = f"{describe(last.op)}: " if last.op else ""
            raise UnsupportedModel(f"{where}xDSL's interpreter cannot run it: {e}; give `implementations`") from None
        values = tuple(
            _array(r) if isinstance(t, TensorType) else r for r, t in zip(results, type_.outputs, strict=True)
        )
        return values[0] if len(values) == 1 else values or None

    def implementations(self) -> InterpreterFunctions:
        """What an xDSL interpreter of one's own needs for the calls of programs: `register_implementations` takes it.

        Tensors are xDSL's ShapedArray there, or numpy arrays.
        """
        names = sorted({name.rpartition("::")[2] for name in self.programs})
        methods = {f"program_{i}": impl_external(name)(_caller(self)) for i, name in enumerate(names)}
        return register_impls(type("Programs", (InterpreterFunctions,), methods))()

    def call(self, declaration: FuncOp, arguments: Sequence[Any]) -> tuple[Array, ...]:
        """Runs the program of a declaration; its inputs and outputs are numpy arrays, in the order of its type."""
        inputs, outputs = names_of(declaration)
        given = dict(zip(inputs, arguments, strict=True))
        results = self.programs[path_of(declaration)].run(given)
        return tuple(results[name] for name in outputs)

    def _function(self, name: str) -> FuncOp:
        functions = {f.sym_name.data: f for f in self.module.ops if isinstance(f, FuncOp)}
        if name not in functions:
            raise InputError(f"there is no function {quoted(name)}{nearest(name, [*functions])}")
        return functions[name]

    def __reduce__(self) -> tuple[Callable[[str, dict[str, Program]], Host], tuple[str, dict[str, Program]]]:
        return _unpickled, (str(self.module), self.programs)


def compile_host(model: Model, target: Target | None = None, weights: Weights | None = None) -> Host:
    """Compiles the programs of host code, the functions marked `tsp_tensor.program`, and leaves the host code as it is.

    Arguments as for tspc.compile: `target` is for all programs, `weights` has the parameters of all. A module to which
    `outline-programs` was applied already is taken too.
    Raises a TspError, a parse or verify error of xDSL, or OSError for an `.mlir` file that cannot be read.
    """
    module, folder = module_of(model, target)
    OutlineProgramsPass().apply(pipelines.make_context(), module)
    outlined = programs_of(module)
    if not outlined:
        raise UnsupportedModel(
            "no function of the module is marked tsp_tensor.program; mark those that run on chips, or, for a module "
            "that is one program, use tspc.compile"
        )
    programs: dict[str, Program] = {}

    def compile_one(declaration: FuncOp, program: ModuleOp) -> None:
        if target is not None:
            program.attributes[TARGET] = module.attributes[TARGET]
        names_of(declaration)
        if (path := path_of(declaration)) in programs:
            raise UnsupportedModel(f"{describe(declaration)}: there is another `{path}`; name the modules around them")
        parameters = parameters_of(program, folder, weights)
        programs[path] = Program(executable_from_module(pipelines.compile(program), parameters))

    on_each(outlined, compile_one)
    return Host(module, programs)


def path_of(declaration: FuncOp) -> str:
    """The name of a function, behind those of the modules around it but the outermost."""
    names = [declaration.sym_name.data]
    node = declaration.parent_op()
    while isinstance(node, ModuleOp) and node.parent is not None:
        names.append(node.sym_name.data if node.sym_name else "")
        node = node.parent_op()
    return "::".join(reversed(names))


def _unpickled(text: str, programs: dict[str, Program]) -> Host:
    return Host(pipelines.parse(text), programs)


class _Last(Interpreter.Listener):
    """Remembers the op that the interpreter came to last."""

    op: Operation | None = None

    def will_interpret_op(self, op: Operation, args: PythonValues) -> None:
        self.op = op


def _caller(host: Host) -> Callable[[Any, Interpreter, Operation, PythonValues], PythonValues]:
    def run(_: Any, interpreter: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
        arrays = [_array(cast("ShapedArray[Any]", a)) if isinstance(a, ShapedArray) else a for a in args]
        declaration = cast("FuncOp", op)
        results, types = host.call(declaration, arrays), cast("list[Any]", [*declaration.function_type.outputs])
        return tuple(_shaped(r, t, interpreter) for r, t in zip(results, types, strict=True))

    return run


# -- values of the interpreter -------------------------------------------------------------------------------------


def _to_host(value: Any, type_: Attribute, what: str, interpreter: Interpreter) -> Any:
    """An argument as the interpreter has it. Raises InputError for an array that misfits."""
    if not isinstance(type_, TensorType):
        return cast("np.generic[Any]", value).item() if isinstance(value, np.generic) else value
    tensor = cast("TensorType[Attribute]", type_)
    array, dtype, shape = np.asarray(value), _dtype(_element(tensor, interpreter)), tensor.get_shape()
    fits = len(shape) == array.ndim and all(d in (-1, have) for d, have in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted, have = ("x".join("?" if d < 0 else str(d) for d in dims) for dims in (shape, array.shape))
        raise InputError(f"{what} must be {wanted} of {dtype}, not {have} of {array.dtype}")
    return _shaped(array, tensor, interpreter)


def _shaped(array: Array, type_: TensorType[Attribute], interpreter: Interpreter) -> ShapedArray[Any]:
    """A copy of a numpy array as the interpreter has it."""
    memory = RawPtr(bytearray(np.ascontiguousarray(array).tobytes()))
    return ShapedArray(TypedPtr(memory, xtype=_element(type_, interpreter)), list(array.shape))


def _array(shaped: ShapedArray[Any]) -> Array:
    """A copy of the interpreter's array as a numpy array."""
    data = np.frombuffer(shaped.data_ptr.raw.memoryview, _dtype(shaped.element_type), shaped.size)
    return data.reshape(shaped.shape).copy()


def _element(type_: TensorType[Attribute], interpreter: Interpreter) -> PackableType[Any]:
    xtype: Any = xtype_for_el_type(type_.element_type, interpreter.index_bitwidth)
    return xtype


def _dtype(element: PackableType[Any]) -> np.dtype[Any]:
    """The numpy type of the interpreter's elements. Raises UnsupportedModel for one that numpy does not have."""
    code: str | None = getattr(element, "format", None)  # what the module `struct` calls it
    if code is None:
        raise UnsupportedModel(f"host code: numpy has no element type {element}; use f32")
    return np.dtype(code)
