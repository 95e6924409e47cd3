"""The MXM's handlers as IR, and the products of int8 vectors with int8 weights.

An installed array is packed for dot products of four: in each block of 64 columns, for each group of four weight rows
that was loaded, 64 columns of four bytes, in the wide order of `lanes.py`. Groups that were not loaded are left out.
Sums are computed late, when an accumulator wants the first, so that several vectors share a pass over the weights.
"""

from __future__ import annotations

from functools import reduce

from ...dialects.instructions import (
    AccumulateEmitOp,
    AccumulateOp,
    ActivationsOp,
    HalfActivationsOp,
    InstallWeightsOp,
    LoadWeightsOp,
)
from ...dialects.machine.effects import Effect
from .arithmetic import add_floats, add_integers
from .build import I8, I32, I64, PTR, V16I32, V64I8, Function, Module, Value, number, splat
from .dots import Dot
from .half_matrix import HalfMatrix, put_half_input
from .lanes import QUARTER, WIDE, Lanes, interleave
from .layout import BLOCK, GROUP, LIST, NEVER, PLANE_WORDS, ROW_WORDS, Chip, Hazard, Plane, Row
from .semantics import EXECUTES, opcodes_of
from .streams import Handler, Streams, vector_at


class Matrix:
    """The handlers of the MXM."""

    def __init__(self, module: Module, dot: Dot, lanes: Lanes, streams: Streams):
        self.module, self.dot, self.lanes, self.streams = module, dot, lanes, streams
        self.quarter = QUARTER * dot.parts
        """Bytes of the weights of 16 columns and a group of rows."""
        self.batch = self._multiply(dot.vectors, 1)
        self.single = self._multiply(1, dot.unroll)
        self.half = HalfMatrix(module, dot)
        self.compute = self._compute()
        self.pack = self._pack()
        self.install = self._install()
        self.lose_sums = self._lose_sums()

    def _plane(self, f: Handler) -> Value:
        return f.row(f.table(Chip.PLANES), f.unit, PLANE_WORDS)

    # -- weights -----------------------------------------------------------------------------------------------

    @EXECUTES.executes(LoadWeightsOp)
    def load_weights(self) -> Handler:
        f = Handler(self.module, "load_weights")
        plane = self._plane(f)
        streams = f.size(Chip.WEIGHT_STREAMS)
        first = f.b.mul(f.value, streams)
        buffer, loaded = f.pointer(plane, Plane.BUFFER), f.pointer(plane, Plane.LOADED)
        with f.loop(streams) as i:
            vector = self.streams.sample_operand(f, i)
            index = f.b.add(first, i)
            f.call(self.lanes.copy, vector_at(f, f.chip, buffer, index), vector, f.size(Chip.BLOCKS))
            f.store(number(255, I8), f.at(loaded, index), 1)
        f.give()
        return f

    @EXECUTES.executes(InstallWeightsOp)
    def install_weights(self) -> Handler:
        f = Handler(self.module, "install_weights")
        plane = self._plane(f)
        issued = f.word(plane, Plane.ISSUED)
        index = f.b.and_(issued, f.word(plane, Plane.ARRAY_MASK))
        array = f.at(f.pointer(plane, Plane.ARRAYS), f.b.mul(index, f.size(Chip.WEIGHTS_BYTES)))
        f.call(self.pack, f.chip, plane, array)
        effective = f.b.add(f.t, f.size(Chip.INSTALL_LATENCY))
        f.put(f.pointer(plane, Plane.EFFECTIVE), index, effective)
        f.put(plane, Plane.ISSUED, f.b.add(issued, number(1)))
        with f.when(f.compare("==", issued, f.word(plane, Plane.INSTALLED))):
            f.put(f.table(Chip.TIMES), f.unit, effective)
        f.give()
        return f

    def _install(self) -> Handler:
        """A pending array takes effect. Vectors that entered before are multiplied first, by the array before."""
        f = Handler(self.module, "install")
        plane = self._plane(f)
        f.call(self.compute, f.chip, plane, f.word(plane, Plane.FED))
        low = f.pointer(plane, Plane.LOW)
        with f.when(f.compare("!=", f.word(plane, Plane.LOW), 0)):
            self._sum_all(f, low, 1)
        installed = f.word(plane, Plane.INSTALLED)
        index = f.b.and_(installed, f.word(plane, Plane.ARRAY_MASK))
        array = f.at(f.pointer(plane, Plane.ARRAYS), f.b.mul(index, f.size(Chip.WEIGHTS_BYTES)))
        f.put(plane, Plane.ACTIVE, array)
        following = f.b.add(installed, number(1))
        f.put(plane, Plane.INSTALLED, following)
        index = f.b.and_(following, f.word(plane, Plane.ARRAY_MASK))
        pending = f.compare("<", following, f.word(plane, Plane.ISSUED))
        time = f.b.select(pending, f.word(f.pointer(plane, Plane.EFFECTIVE), index), number(NEVER))
        f.put(f.table(Chip.TIMES), f.unit, time)
        f.give()
        return f

    def _pack(self) -> Function:
        """pack(chip, plane, array): the loaded rows as an array; the buffer is empty then."""
        f = Function(self.module, "pack", [PTR, PTR, PTR])
        chip, plane, array = f.arguments
        loaded = f.pointer(plane, Plane.LOADED)
        groups = f.at(array, LIST)
        count = f.variable(0)

        def append(group: Value) -> None:
            f.store(f.b.trunc(group, I32), f.at(groups, f.b.mul(count.get(), number(4))), 4)
            count.add(1)

        with f.loop(f.word(chip, Chip.ROW_GROUPS)) as group:
            flags = f.load(f.at(loaded, f.b.mul(group, number(GROUP))), I32, 4)
            with f.when(f.compare("!=", flags, 0)):
                append(group)
        used = count.get()
        padding = f.b.and_(f.b.neg(used), number(self.dot.unroll - 1))
        with f.loop(padding):
            append(number(0))
        padded = count.get()
        f.put(array, 0, padded)
        group_bytes = number(4 * self.quarter)
        with f.loop(f.word(chip, Chip.BLOCKS)) as block:
            target = f.at(f.at(array, f.word(chip, Chip.WEIGHTS)), f.b.mul(f.b.mul(block, padded), group_bytes))
            bias = f.at(f.at(array, f.word(chip, Chip.BIAS)), f.b.mul(block, number(WIDE)))
            self._pack_block(f, chip, plane, groups, used, target, bias, f.b.mul(block, number(BLOCK)))
            with f.loop(padding) as i:
                empty = f.at(target, f.b.mul(f.b.add(used, i), group_bytes))
                for j in range(4 * self.dot.parts):
                    f.store(splat(0, V16I32), f.at(empty, j * QUARTER), QUARTER)
        with f.loop(f.word(chip, Chip.BLOCKS)) as i:
            f.store(splat(0, V64I8), f.at(loaded, f.b.mul(i, number(BLOCK))), BLOCK)
        f.give()
        return f

    def _pack_block(
        self,
        f: Function,
        chip: Value,
        plane: Value,
        groups: Value,
        used: Value,
        target: Value,
        bias: Value,
        column: Value,
    ) -> None:
        """One block of columns: its weights, and what the sums of its columns start from."""
        buffer, loaded = f.pointer(plane, Plane.BUFFER), f.pointer(plane, Plane.LOADED)
        sums = [f.variable(splat(0, V16I32)) for _ in range(4)]
        with f.loop(used) as i:
            group = f.b.sext(f.load(f.at(groups, f.b.mul(i, number(4))), I32, 4), I64)
            planes: list[Value] = []
            for r in range(GROUP):
                index = f.b.add(f.b.mul(group, number(GROUP)), number(r))
                weights = f.load(f.at(vector_at(f, chip, buffer, index), column), V64I8, BLOCK)
                flag = f.broadcast(f.load(f.at(loaded, index), I8, 1), BLOCK)
                planes.append(f.b.and_(weights, flag))
            packed = f.at(target, f.b.mul(i, number(4 * self.quarter)))
            for j, quarter in enumerate(interleave(f, planes)):
                f.store(self.dot.pack(f, quarter), f.at(packed, j * self.quarter), QUARTER)
                sums[j].set(self.dot.offset(f, sums[j].get(), quarter))
        for j, total in enumerate(sums):
            f.store(total.get(), f.at(bias, j * QUARTER), QUARTER)

    # -- activations -------------------------------------------------------------------------------------------

    @EXECUTES.executes(ActivationsOp)
    def activations(self) -> Handler:
        """Takes one int8 vector."""
        f = Handler(self.module, "activations")
        plane = self._plane(f)
        source = self.streams.sample_operand(f)
        with f.when(f.compare("==", f.word(plane, Plane.INSTALLED), 0)):
            self.streams.note(f, Hazard.WEIGHTS_EMPTY, f.unit)
        self._sum_all(f, plane, 1)
        index = self._enter(f, plane, 0)
        target = f.at(f.pointer(plane, Plane.INPUTS), f.b.mul(index, f.size(Chip.INPUT_BYTES)))
        with f.loop(f.size(Chip.BLOCKS)) as i:
            lanes = f.load(f.at(source, f.b.mul(i, number(BLOCK))), V64I8, BLOCK)
            size = BLOCK * self.dot.input_bytes
            f.store(self.dot.prepare(f, lanes), f.at(target, f.b.mul(i, number(size))), BLOCK)
        f.give()
        return f

    @EXECUTES.executes(HalfActivationsOp)
    def half_activations(self) -> Handler:
        """Takes one fp16 vector."""
        f = Handler(self.module, "half_activations")
        plane = self._plane(f)
        low, high = self.streams.sample_group(f, 2)
        installs = [f.word(p, Plane.INSTALLED) for p in (plane, f.pointer(plane, Plane.HIGH))]
        with f.when(f.b.or_(*(f.compare("==", count, 0) for count in installs))):
            self.streams.note(f, Hazard.WEIGHTS_EMPTY, f.unit)
        self._sum_all(f, plane, 0)
        index = self._enter(f, plane, 1)
        target = f.b.mul(index, f.b.mul(f.size(Chip.STRIDE), number(8)))
        target = f.at(f.pointer(plane, Plane.HALF_INPUTS), target)
        put_half_input(f, low, high, target, f.size(Chip.BLOCKS))
        f.give()
        return f

    def _sum_all(self, f: Handler, plane: Value, half: int) -> None:
        """Computes the sums of all vectors, if those that wait are fp16, or if they are not."""
        with f.when(f.compare("==", f.word(plane, Plane.IS_HALF), half)):
            f.call(self.compute, f.chip, plane, f.word(plane, Plane.FED))

    def _enter(self, f: Handler, plane: Value, half: int) -> Value:
        """A vector enters the array; gives its row in the rings."""
        fed = f.word(plane, Plane.FED)
        index = f.b.and_(fed, f.size(Chip.SUM_MASK))
        f.put(plane, Plane.IS_HALF, half)
        f.put(f.pointer(plane, Plane.ENTERED), index, f.t)
        f.put(f.pointer(plane, Plane.ENTERED_BY), index, f.number)
        with f.when(f.compare("==", fed, f.word(plane, Plane.TAKEN))):
            f.put(f.table(Chip.SUM_TIMES), f.unit, f.b.add(f.t, f.size(Chip.ARRAY_LATENCY)))
        f.put(plane, Plane.FED, f.b.add(fed, number(1)))
        return index

    def _compute(self) -> Function:
        """compute(chip, plane, end): the sums of all vectors before number `end`, and of later ones in batches."""
        f = Function(self.module, "compute", [PTR, PTR, I64])
        chip, plane, end = f.arguments
        with f.either(f.compare("==", f.word(plane, Plane.IS_HALF), 0)) as (bytes_, halves):
            with bytes_:
                self._sum(f, self.batch, self.dot.vectors, f.word(plane, Plane.FED))
                self._sum(f, self.single, 1, end)
            with halves, f.when(f.compare("<", f.word(plane, Plane.SUMMED), end)):
                f.call(self.half.refresh, chip, plane)
                self._sum(f, self.half.batch, self.dot.half_vectors, f.word(plane, Plane.FED))
                self._sum(f, self.half.single, 1, end)
        f.give()
        return f

    def _sum(self, f: Function, multiply: Function, vectors: int, end: Value) -> None:
        """Sums so many vectors at a time, as long as there are that many before number `end`."""
        chip, plane, _ = f.arguments
        with f.forever() as done:
            summed = f.word(plane, Plane.SUMMED)
            following = f.b.add(summed, number(vectors))
            f.stop_if(f.compare(">", following, end), done)
            f.call(multiply, chip, plane, summed)
            f.put(plane, Plane.SUMMED, following)

    def _multiply(self, vectors: int, unroll: int) -> Function:
        """multiply(chip, plane, first): the sums of `vectors` vectors from number `first` on.

        Works on strips of `dot.quarters` quarters of a block, with `unroll` groups of rows at a time.
        """
        f = Function(self.module, f"multiply{vectors}", [PTR, PTR, I64])
        chip, plane, first = f.arguments
        array = f.pointer(plane, Plane.ACTIVE)
        count = f.word(array, 0)
        inputs: list[Value] = []
        sums: list[Value] = []
        for v in range(vectors):
            index = f.b.and_(f.b.add(first, number(v)), f.word(chip, Chip.SUM_MASK))
            inputs.append(f.at(f.pointer(plane, Plane.INPUTS), f.b.mul(index, f.word(chip, Chip.INPUT_BYTES))))
            sums.append(vector_at(f, chip, f.pointer(plane, Plane.SUMS), f.b.mul(index, number(4))))
        quarters, parts = self.dot.quarters, self.dot.parts
        with f.loop(f.word(chip, Chip.BLOCKS)) as block, f.loop(4 // quarters) as strip:
            weights = f.at(f.at(array, f.word(chip, Chip.WEIGHTS)), f.b.mul(strip, number(quarters * self.quarter)))
            weights = f.at(weights, f.b.mul(f.b.mul(block, count), number(4 * self.quarter)))
            totals = [
                [[f.variable(splat(0, V16I32)) for _ in range(quarters * parts)] for _ in range(unroll)]
                for _ in range(vectors)
            ]
            with f.loop(f.b.sdiv(count, number(unroll))) as step:
                for u in range(unroll):
                    i = f.b.add(f.b.mul(step, number(unroll)), number(u))
                    group = f.b.sext(f.load(f.at(f.at(array, LIST), f.b.mul(i, number(4))), I32, 4), I64)
                    at = f.b.mul(group, number(GROUP * self.dot.input_bytes))
                    x = [self.dot.load(f, f.at(source, at)) for source in inputs]
                    here = f.at(weights, f.b.mul(i, number(4 * self.quarter)))
                    for j in range(quarters * parts):
                        w = f.load(f.at(here, j * QUARTER), self.dot.weights, QUARTER)
                        for v in range(vectors):
                            total = totals[v][u][j]
                            total.set(self.dot.add(f, total.get(), x[v], w))
            offset = f.b.add(f.b.mul(block, number(WIDE)), f.b.mul(strip, number(quarters * QUARTER)))
            bias = f.at(f.at(array, f.word(chip, Chip.BIAS)), offset)
            for j in range(quarters):
                start = f.load(f.at(bias, j * QUARTER), V16I32, QUARTER)
                for v in range(vectors):
                    total = start
                    for u in range(unroll):
                        mine = [t.get() for t in totals[v][u][j * parts : (j + 1) * parts]]
                        total = f.b.add(total, self.dot.finish(f, mine))
                    f.store(total, f.at(f.at(sums[v], offset), j * QUARTER), QUARTER)
        f.give()
        return f

    # -- accumulators ------------------------------------------------------------------------------------------

    @EXECUTES.executes(AccumulateOp, AccumulateEmitOp)
    def accumulate(self) -> Handler:
        """acc and acc_emit: an instruction that emits has a result group."""
        f = Handler(self.module, "accumulate")
        plane = self._plane(f)
        taken = f.word(plane, Plane.TAKEN)
        here = f.compare("==", f.word(f.table(Chip.SUM_TIMES), f.unit), f.t)
        is_set = f.at(f.pointer(plane, Plane.IS_SET), f.value)
        adds = f.compare("!=", f.field(Row.MODE), 0)
        with f.when(f.b.and_(adds, f.compare("==", f.load(is_set, I8, 1), 0))):
            self.streams.note(f, Hazard.ACCUMULATOR_EMPTY, f.unit)
        with f.either(here) as (arrived, missing):
            with missing:
                self.streams.note(f, Hazard.RESULT_MISSING, f.unit)
            with arrived:
                with f.when(f.compare("<=", f.word(plane, Plane.SUMMED), taken)):
                    f.call(self.compute, f.chip, plane, f.b.add(taken, number(1)))
                entry = vector_at(f, f.chip, f.pointer(plane, Plane.ACCUMULATORS), f.b.mul(f.value, number(4)))
                self._add(f, plane, taken, entry, adds)
                f.store(number(1, I8), is_set, 1)
                self._advance(f, plane, taken)
                with f.when(f.compare(">", f.field(Row.TARGET_WIDTH), 0)):
                    targets = [self.streams.start_drive(f, i) for i in range(4)]
                    f.call(self.lanes.narrow[4], *targets, entry, f.size(Chip.BLOCKS))
        f.give()
        return f

    def _add(self, f: Handler, plane: Value, taken: Value, entry: Value, adds: Value) -> None:
        """Sets the entry to the sums of vector number `taken`, or adds them, in their type."""
        index = f.b.and_(taken, f.size(Chip.SUM_MASK))
        sums = vector_at(f, f.chip, f.pointer(plane, Plane.SUMS), f.b.mul(index, number(4)))
        wide_blocks = f.b.mul(f.size(Chip.BLOCKS), number(4))
        with f.either(adds) as (add, set_):
            with set_:
                f.call(self.lanes.copy, entry, sums, wide_blocks)
            with add:
                record = f.row(f.table(Chip.RECORDS), f.word(f.pointer(plane, Plane.ENTERED_BY), index), ROW_WORDS)
                pairs = [f.compare("==", f.word(record, Row.OP), opcode) for opcode in opcodes_of(Effect.ENTER_PAIR)]
                halves = reduce(f.b.or_, pairs)
                with f.either(halves) as (floats, integers):
                    for case, add_lanes in ((floats, add_floats), (integers, add_integers)):
                        with case, f.loop(wide_blocks) as i:
                            offset = f.b.mul(i, number(QUARTER))
                            target = f.at(entry, offset)
                            old, new = (f.load(v, V16I32, QUARTER) for v in (target, f.at(sums, offset)))
                            f.store(add_lanes(f, old, new), target, QUARTER)

    def _advance(self, f: Handler, plane: Value, taken: Value) -> None:
        """The next sums are those of the next vector."""
        following = f.b.add(taken, number(1))
        f.put(plane, Plane.TAKEN, following)
        entered = f.word(f.pointer(plane, Plane.ENTERED), f.b.and_(following, f.size(Chip.SUM_MASK)))
        arrival = f.b.add(entered, f.size(Chip.ARRAY_LATENCY))
        more = f.compare("<", following, f.word(plane, Plane.FED))
        f.put(f.table(Chip.SUM_TIMES), f.unit, f.b.select(more, arrival, number(NEVER)))

    def _lose_sums(self) -> Handler:
        f = Handler(self.module, "lose_sums")
        plane = self._plane(f)
        index = f.b.and_(f.word(plane, Plane.TAKEN), f.size(Chip.SUM_MASK))
        record = f.word(f.pointer(plane, Plane.ENTERED_BY), index)
        self.streams.note(f, Hazard.RESULT_LOST, f.unit, (record, f.word(f.pointer(plane, Plane.ENTERED), index)))
        f.put(f.table(Chip.SUM_TIMES), f.unit, NEVER)
        f.give()
        return f
