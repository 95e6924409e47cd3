"""convert-tensor-to-stream: from values to buffers and the streams between them.

Every computed tensor goes to SRAM once; a map that is the only user of a product takes the sums as they leave the
array. Products and convolutions are one thing here (contraction.py): rows of activations meet weights pass by pass.
What only says which elements are meant (reshapes, slices, transposes of leading dimensions) moves nothing: see
views.py. Each op has a function that lowers it, in one of the modules `lower_*.py` (registry.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp, TensorType
from xdsl.ir import Attribute, Block, Region
from xdsl.passes import ModulePass
from xdsl.utils.hints import isa

from ....dialects import tsp_stream as ts
from ....dialects import tsp_tensor
from ....dialects.errors import UnsupportedModel
from ....dialects.functions import function_problems, functions_of, host_problem
from ....dialects.locations import describe
from ....dialects.target_attr import target_of
from ....dialects.tsp_isa import ProgramOp
from ....dialects.verify import name_problems
from ...policy import Policy
from ..analysis.alu_regions import UnsupportedRegion
from ..analysis.sizes import check_sizes
from ..analysis.views import Named
from ..emit.buffers import Buffers, Output, Unsupported, named_tensor
from . import lower_ends, lower_indexed, lower_maps, lower_movement, lower_products, lower_reductions
from .registry import lower
from .values import Values

LOWERED_IN = (lower_ends, lower_indexed, lower_maps, lower_movement, lower_products, lower_reductions)
"""The modules whose functions lower the ops."""


@dataclass(frozen=True)
class ConvertTensorToStreamPass(ModulePass):
    """Lowers tsp_tensor functions to tsp_stream; all problems of a module are reported at once."""

    name = "convert-tensor-to-stream"

    tight: int = 0
    """How scarce words are: 1 where no tensor shall lie in SRAM twice as a whole to be read by several units at once,
    2 where not even a part of one shall."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        check_sizes(op)
        if any(isinstance(p, ProgramOp) for p in op.ops):
            return
        if problem := host_problem(op):
            raise UnsupportedModel(problem)
        problems = function_problems(op)
        problems += (unnamed := name_problems(op))
        for function in functions_of(op)[:1]:
            if len(function.body.blocks) == 1 and not unnamed and not is_lowered(function):
                problems += Converter(function, self.tight).run()
        if problems:
            raise UnsupportedModel("\n".join(problems))


def is_lowered(function: func.FuncOp) -> bool:
    """Whether a function is at the stream level already, all of it."""
    ops = list(function.walk())
    tensor_ops = any(op.dialect_name() == tsp_tensor.TSP_TENSOR.name for op in ops)
    return not tensor_ops and any(isinstance(op, ts.StreamOp) for op in ops)


class Converter:
    """Lowers one function."""

    def __init__(self, function: func.FuncOp, tight: int = 0):
        self.function = function
        self.problems: list[str] = []
        self.to = Buffers(Policy.of(target_of(function).chip).for_words(tight), function)
        body = function.body.block
        self.values = Values(body, self._outputs(body), self.to)

    def run(self) -> list[str]:
        """Replaces the function's body. Returns the problems, in which case the function is left as it was."""
        body = self.function.body.block
        self._bind_arguments(body)
        if not self.values.outputs:
            self.problems.append(f"{describe(self.function)}: the function returns nothing; return what it computes")
        for op in body.ops:
            self.to.begin(op)
            try:
                lower(op, self.values)
            except Unsupported as e:
                self.problems.append(f"{describe(op)}: {e}")
            except UnsupportedRegion as e:
                self.problems.append(f"{describe(e.op)}: {e.reason}")
        if not self.problems:
            self._keep_unused_inputs()
            self._replace_body()
        return self.problems

    def _keep_unused_inputs(self) -> None:
        """Inputs that nothing uses keep a place too: a program takes the same inputs at every level."""
        placed = self.to.inputs()
        for tensor in [self.values.stored(argument, 0) for argument in self.function.body.block.args]:
            source = cast(Named, tensor.source)
            if source.name not in placed:
                self.to.in_rows(tensor, 0)

    def _replace_body(self) -> None:
        function = func.FuncOp(self.function.sym_name.data, FunctionType.from_lists([], []), Region(self.to.finish()))
        function.location = self.function.location
        parent = self.function.parent_block()
        assert parent is not None
        parent.insert_op_after(function, self.function)
        self.function.detach()
        self.function.erase(safe_erase=False)

    # -- inputs and outputs ------------------------------------------------------------------------------------

    def _bind_arguments(self, body: Block) -> None:
        names = tsp_tensor.tensor_names(self.function.arg_attrs, len(body.args), "arg")
        for argument, name in zip(body.args, names, strict=True):
            try:
                if not isa(type_ := argument.type, TensorType[Attribute]):
                    raise Unsupported(f"is {argument.type}, not a tensor")
                self.values.define(argument, named_tensor("input", name, type_))
            except Unsupported as e:
                self.problems.append(f"{describe(self.function)}: argument `{name}`: {e}")

    def _outputs(self, body: Block) -> list[Output]:
        last = body.last_op
        operands = last.operands if isinstance(last, func.ReturnOp) else ()
        names = tsp_tensor.tensor_names(self.function.res_attrs, len(operands), "result")
        return [Output(name, cast("TensorType[Attribute]", v.type)) for v, name in zip(operands, names, strict=True)]
