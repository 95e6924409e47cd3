"""ONNX's own backend node tests: what is imported, compiled, run on the simulated chip and right, op by op.

`python bench/onnx_node_tests.py` prints a table of passed, refused and failed cases by op, and the reasons of refusals.
`--level tensor` runs the values in numpy alone, which is quicker: compiled programs have the same bits, which every run
on the chip checks. `--op Conv`, `--case PART` choose cases; `--write docs/onnx.md` puts the table into that page.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tspc.dialects.errors import TspError
from tspc.passes.importers.onnx import Imported, import_for
from tspc.passes.pipelines import compile
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit import JitEngine
from tspc.runtime.levels import run_module

Arrays = dict[str, Any]

TOLERANCE = 1e-3, 1e-7
"""Relative and absolute: ONNX's own."""

PRODUCTS = 1e-3, 2e-5
"""Of ops that are sums of products: the error of f16x3 is 2^-21 of the greatest term, not of the sum."""

HALF = 2e-3
"""Relative, of results of f16, whose last place is 2^-10: two of them."""

TOLERANCES: dict[str, tuple[float, float]] = dict.fromkeys(
    ("Attention", "Conv", "ConvTranspose", "DFT", "Einsum", "FlexAttention", "GRU", "Gemm", "LSTM", "LinearAttention",
     "MatMul", "RNN", "STFT"),
    PRODUCTS,
)  # fmt: skip
"""By op, where it is another than TOLERANCE."""


@dataclass
class Outcome:
    """What became of a case."""

    case: str
    op: str
    result: str
    """`passed`, `refused` or `failed`."""
    reason: str = ""
    fixed: tuple[str, ...] = ()
    """The inputs whose values were compiled in."""
    known: bool = False
    """Whether all inputs were, so that the outputs are constants."""
    cycles: int = 0
    seconds: float = 0.0


def collect(op: str = "", part: str = "") -> list[Any]:
    """The cases of the installed package, of an op or with a part in their names."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    return [c for c in cases if part in c.name and (not op or op_of(c) == op)]


def cases_of(modules: Sequence[str]) -> list[Any]:
    """The cases of some modules of the package alone, which takes less time: `conv`, `matmul`, ..."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            importlib.import_module(f"{node.__name__}.{module}")
    return [*getattr(node, "_NodeTestCases")]  # noqa: B009  # it has no other way to a part of them


def op_of(case: Any) -> str:
    """The op that a case is for: that of its first node that is no constant; of a case in which ONNX has written an op
    out, that op, after which its tensors are named."""
    nodes = case.model.graph.node
    written_out = [name for n in nodes for name in n.output if "_expanded_function_" in name]
    if written_out:
        return written_out[0].partition("_test_")[0]
    return next((n.op_type for n in nodes if n.op_type != "Constant"), nodes[0].op_type if nodes else "")


def array_of(value: Any) -> Any:
    """A tensor of a data set as an array; sequences as lists."""
    from onnx import TensorProto, numpy_helper

    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return (
        [array_of(v) for v in value]
        if isinstance(value, list | tuple)
        else value
        if value is None
        else np.asarray(value)
    )


def run_case(case: Any, level: str) -> Outcome:
    """What becomes of a case at a level, `tensor` or `chip`."""
    outcome = Outcome(case.name, op_of(case), "refused")
    start = time.perf_counter()
    given, wanted = case.data_sets[0]
    names = [i.name for i in case.model.graph.input]
    inputs = {n: array_of(v) for n, v in zip(names, given, strict=False)}
    try:
        model = import_for(case.model, inputs)
        outcome.fixed = tuple(port.name for port in model.host.inputs if port.known is not None)
        outcome.known = not any(port.on_chip for port in model.host.inputs)
        there = {n: v for n, v in inputs.items() if n not in outcome.fixed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = outputs_of(model, there, level, outcome)
    except TspError as e:
        outcome.reason = str(e).split("\n")[0]
    except Exception as e:
        outcome.result, outcome.reason = "failed", f"{type(e).__name__}: {e}".split("\n")[0]
    else:
        fault = difference(case, outputs, [array_of(v) for v in wanted])
        outcome.result, outcome.reason = ("failed", fault) if fault else ("passed", "")
    outcome.seconds = time.perf_counter() - start
    return outcome


def outputs_of(model: Imported, inputs: Arrays, level: str, outcome: Outcome) -> Arrays:
    """The outputs of a run; on the chip they are checked to be those of the tensor level, bit by bit."""
    given = model.host.to_program(inputs)
    if not any(port.on_chip for port in model.host.outputs):
        return model.host.to_model({})
    values = run_module(model.module, given, model.parameters).outputs
    if level == "tensor":
        return model.host.to_model(values)
    executable = executable_from_module(compile(model.module), model.parameters)
    outputs, _ = Loaded(executable, JitEngine(mode="bulk")).run(given)
    outcome.cycles = executable.program.cycles
    for name, value in values.items():
        if value.tobytes() != outputs[name].tobytes():
            raise AssertionError(f"output {name} differs in bits between the tensor level and the chip")
    return model.host.to_model(outputs)


def difference(case: Any, outputs: Arrays, wanted: Sequence[Any]) -> str:
    """What is wrong with the outputs; nothing if they are right."""
    by_op = TOLERANCES.get(op_of(case), TOLERANCE)
    for info, want in zip(case.model.graph.output, wanted, strict=False):
        if not info.name:
            continue
        have = outputs[info.name]
        if isinstance(want, list):
            return "a sequence"
        if have.shape != want.shape or have.dtype != want.dtype:
            return f"{info.name} is {have.dtype}{[*have.shape]}, not {want.dtype}{[*want.shape]}"
        if want.dtype.kind in "fc":
            relative, absolute = max(by_op[0], HALF if want.dtype == np.float16 else 0.0), by_op[1]
            a, b = have.astype(np.float64), want.astype(np.float64)
            with np.errstate(all="ignore"):
                near = np.isclose(a, b, rtol=relative, atol=absolute, equal_nan=True)
                if not near.all():
                    worst = np.nanmax(np.where(near, 0, np.abs(a - b)))
                    return f"{info.name}: {np.sum(~near)} of {near.size} are off, by up to {worst:.3g}"
        elif not (np.asarray(have) == np.asarray(want)).all():
            return f"{info.name}: {np.sum(np.asarray(have) != np.asarray(want))} of {have.size} differ"
    return ""


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Markdown: the numbers by op, and what is said first of what is refused."""
    by_op: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, str] = {}
    for o in outcomes:
        by_op[o.op][o.result] += 1
        if o.result == "refused":
            reasons.setdefault(o.op, reason_of(o))
    lines = ["| op | passed | refused | failed | why, at first |", "|---|---|---|---|---|"]
    for op, count in sorted(by_op.items()):
        numbers = " | ".join(str(count[result] or "") for result in RESULTS)
        lines.append(f"| {op} | {numbers} | {reasons.get(op, '')} |")
    total = Counter(o.result for o in outcomes)
    return [*lines, "| all | " + " | ".join(str(total[result]) for result in RESULTS) + " | |"]


RESULTS = ("passed", "refused", "failed")


def reason_of(outcome: Outcome) -> str:
    """Why a case is refused, without its names and the remedy."""
    reason = outcome.reason.partition("; ")[0].partition(", which is not held")[0]
    parts = reason.split(": ")
    return (parts[-1] if len(parts) > 2 else reason).replace("|", "/")


def summary(outcomes: Sequence[Outcome], level: str) -> str:
    """A sentence for the page."""
    import onnx

    count = Counter(o.result for o in outcomes)
    passed = [o for o in outcomes if o.result == "passed"]
    known, fixed = sum(o.known for o in passed), sum(bool(o.fixed) for o in passed)
    where = "on the chip" if level == "chip" else "at the tensor level"
    numbers = f"{count['passed']} passed, {count['refused']} refused, {count['failed']} failed"
    return (
        f"Of onnx {onnx.__version__}, {where}, {len(outcomes)} cases: {numbers}. Of those that passed, {fixed} have "
        f"inputs that decide about shapes and were compiled in, and {known} no others, so that their outputs are "
        "constants."
    )


def write(path: Path, lines: Sequence[str]) -> None:
    """Puts lines between the two comments of a page."""
    before, start, rest = path.read_text(encoding="utf-8").partition(f"{START}\n")
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"{path} lacks the lines {START} and {END}")
    path.write_text("\n".join([f"{before}{START}", "", *lines, "", f"{END}{after}"]), encoding="utf-8")


START = "<!-- written by bench/onnx_node_tests.py --write docs/onnx.md -->"
END = "<!-- end -->"


def read_record(path: str | None) -> dict[str, Outcome]:
    """The outcomes of a file by case."""
    if not path or not Path(path).exists():
        return {}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return {o.case: o for o in (Outcome(**json.loads(line)) for line in lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--level", choices=("tensor", "chip"), default="chip")
    parser.add_argument("--op", default="", help="cases of this op alone")
    parser.add_argument("--case", default="", help="cases whose names have this part")
    parser.add_argument("--every", type=int, default=1, help="every so many of them")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--record", help="a file of outcomes: those that are there are not run again, others are added")
    parser.add_argument("--reasons", action="store_true", help="print what is said of each case that did not pass")
    parser.add_argument("--slow", type=int, default=0, help="print so many that took longest")
    parser.add_argument("--write", type=Path, help="the page whose table is to be written")
    args = parser.parse_args()
    outcomes: list[Outcome] = []
    recorded = read_record(args.record)
    for case in collect(args.op, args.case)[args.first :: args.every]:
        o = recorded.get(case.name) or run_case(case, args.level)
        outcomes.append(o)
        if args.record and case.name not in recorded:
            with open(args.record, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(o)) + "\n")
        if args.reasons and o.result != "passed":
            print(f"{o.result}: {o.case}: {o.reason}", flush=True)
    lines = table(outcomes)
    print("\n".join(lines))
    if args.slow:
        for o in sorted(outcomes, key=lambda o: -o.seconds)[: args.slow]:
            print(f"{o.seconds:6.1f} s {o.cycles:8} cycles  {o.case}")
    seconds = sum(o.seconds for o in outcomes)
    print(
        f"{len(outcomes)} cases in {seconds:.0f} s, at most {max((o.seconds for o in outcomes), default=0):.1f} s each"
    )
    if args.write:
        write(args.write, [summary(outcomes, args.level), "", *lines])
    sys.exit(any(o.result == "failed" for o in outcomes))


if __name__ == "__main__":
    main()
