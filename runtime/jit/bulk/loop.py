"""The steps of one group: a loop over vectors, with buffers for a block of them.

All that reads memory comes before all that writes it, so that a round may write the words that it has read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ....dialects.machine.effects import STORES, Effect
from ....dialects.machine.instruction import ElementType
from ....dialects.machine.target import ChipSpec
from ....dialects.programs.def_use import CHAIN_BYTE
from ....dialects.programs.issues import OPERAND_SLOTS, Shape
from ..layout import BLOCK, Finish, Form
from ..operations import Operation, immediate, operation
from ..semantics import pack_fields
from .actions import Action, Place, Steps, chained, steps
from .chains import Chain
from .irregular import RESULTS
from .rows import FINISHES, Op

_NARROW = {1: Op.NARROW_1, 2: Op.NARROW_2, 4: Op.NARROW_4}


class Input(NamedTuple):
    """What a member samples at a slot."""

    slot: int
    producer: int
    """The member that makes it, or -1 for memory."""
    byte: int
    """The byte plane of the result, or the place in memory."""
    tiles: int
    """The superlanes of it that are not zero."""


class Kept(NamedTuple):
    """A byte plane of a result that leaves the group other than to SRAM."""

    byte: int
    tiles: int
    place: int


class Member(NamedTuple):
    """A segment, as far as groups that share their steps are alike. Places are the group's own, by number."""

    shape: int
    inputs: tuple[Input, ...] = ()
    """By slot."""
    target: int = -1
    """The place of the words that it names, of the entry, or of the slice."""
    number: int = -1
    """Of a gather or scatter, the place of the number that it adds to the map's."""
    vectors: int = -1
    """Of an `acc`, the member whose sums it takes."""
    live: bool = False
    """Of an `acc`, whether later ones read its entry."""
    dense: bool = False
    """Of an `acc`, whether its entries lie one after the other."""
    kept: tuple[Kept, ...] = ()


class Source(Protocol):
    """What loops have in common."""

    stride: int
    spec: ChipSpec
    chains: dict[Chain, int]
    """The chains of all groups, numbered."""

    def shape(self, number: int) -> Shape: ...
    def weights(self, shape: Shape) -> Place:
        """The array of the plane into which the records of a shape feed vectors."""
        ...

    def constant(self, bits: int) -> Place: ...


class Loop:
    """The steps of one group."""

    def __init__(self, source: Source, members: Sequence[Member], updates: bool, rewrites: bool, compiled: bool):
        """`members` are in the order of time; `updates` says that a round writes what it reads, `rewrites` that it
        writes a word more than once, `compiled` that chains are compiled."""
        self.source, self.members, self.compiled = source, members, compiled
        self.updates, self.rewrites = updates, rewrites
        self.shapes = [source.shape(m.shape) for m in members]
        self.blocks = source.stride // BLOCK
        self.actions: list[Action] = []
        self.values: dict[int, Place] = {}
        """By member, its result in wide order."""
        self.planes: dict[int, list[Place]] = {}
        """By member, its result as byte planes in buffers."""
        self.made: dict[tuple[object, ...], Place] = {}
        """What was made of other places, by what it was made of."""
        self.immediates: dict[Place, int] = {}
        """Bits, by where they lie."""
        self.buffers = 0

    def steps(self) -> Steps:
        of_kind: dict[Effect, list[int]] = defaultdict(list)
        for member, shape in enumerate(self.shapes):
            of_kind[shape.kind].append(member)
        results = sorted(m for kind in RESULTS for m in of_kind[kind])
        stores = sorted(m for kind in STORES for m in of_kind[kind])
        self.used = self._used(results, stores)
        for member in results:
            match self.shapes[member].kind:
                case Effect.ACCUMULATE:
                    self._accumulate(member)
                case kind if member in self.used:
                    {Effect.COMPUTE: self._alu, Effect.GATHER: self._gather, Effect.MOVE: self._switch}[kind](member)
                case _:
                    pass
        self._store(stores, of_kind[Effect.READ])
        actions = chained(self.actions, self.immediates, self.source.chains) if self.compiled else self.actions
        return steps(actions, self.source.stride)

    def _used(self, results: Sequence[int], stores: Sequence[int]) -> dict[int, set[int]]:
        """The members whose results are used, each with the byte planes that are."""
        used: dict[int, set[int]] = {m: {k.byte for k in self.members[m].kept} for m in results if self.members[m].kept}

        def take(member: int) -> None:
            for _, producer, byte, _ in self.members[member].inputs:
                if producer >= 0:
                    used.setdefault(producer, set()).add(byte)

        for member in stores:
            take(member)
        for member in reversed(results):
            if self.shapes[member].kind == Effect.ACCUMULATE:
                take(self.members[member].vectors)
            elif member in used:
                take(member)
        return used

    # -- operands ----------------------------------------------------------------------------------------------

    def _wide_buffer(self) -> Place:
        self.buffers += 1
        return Place(self.buffers, 0, 4 * self.source.stride, "wide")

    def _plane_buffer(self) -> Place:
        self.buffers += 1
        return Place(self.buffers, 0, self.source.stride, "plane")

    def _act(self, op: int, mode: int, *operands: Place) -> None:
        self.actions.append(Action(op, mode, operands))

    def _plane(self, taken: Input) -> Place:
        """The byte plane that a member samples."""
        place = Place(taken.byte, kind="given") if taken.producer < 0 else self._planes(taken.producer)[taken.byte]
        return self._cut(place, taken.tiles)

    def _cut(self, place: Place, tiles: int) -> Place:
        """A byte plane whose superlanes are zero from number `tiles` on."""
        if tiles == self.source.spec.tiles:
            return place
        key = (Op.CUT, place, tiles)
        if key not in self.made:
            self.made[key] = self._plane_buffer()
            self._act(Op.CUT, tiles, self.made[key], place)
        return self.made[key]

    def _planes(self, member: int) -> list[Place]:
        """The byte planes of a result."""
        if member not in self.planes:
            self.planes[member] = [self._plane_buffer() for _ in range(self.shapes[member].width)]
            self._narrow(member, self.planes[member])
        return self.planes[member]

    def _narrow(self, member: int, planes: Sequence[Place]) -> None:
        self._act(_NARROW[len(planes)], 0, self.values[member], *planes)

    def _operand(self, member: int, operand: int, form: Form) -> Place:
        """An operand of an ALU: in wide order without gaps, or an immediate."""
        of, shape = self.source, self.shapes[member]
        if operand in shape.immediates:
            bits = immediate(shape.immediates[operand], form) & 0xFFFFFFFF
            place = of.constant(bits)
            self.immediates[place] = bits
            return place
        slots = range(OPERAND_SLOTS * operand, OPERAND_SLOTS * (operand + 1))
        taken = [i for i in self.members[member].inputs if i.slot in slots]
        producer = taken[0].producer
        if producer in self.values and all(i.producer == producer and i.tiles == of.spec.tiles for i in taken):
            numbers = [i.byte for i in taken]
            if numbers == [CHAIN_BYTE] or numbers == [*range(len(taken))]:
                return self._prepared(producer, form)
        planes = [self._plane(i) for i in taken]
        key = (Op.WIDEN, form, *planes)
        if key not in self.made:
            self.made[key] = self._wide_buffer()
            self._act(Op.WIDEN + form, 0, self.made[key], *planes)
        return self.made[key]

    def _prepared(self, member: int, form: Form) -> Place:
        """A result as an operand of a form that takes its low bits."""
        place = self._dense(member)
        if form == Form.WORD:
            return place
        key = (Op.PREPARE, form, place)
        if key not in self.made:
            self.made[key] = self._wide_buffer()
            self._act(Op.PREPARE + form, 0, self.made[key], place)
        return self.made[key]

    def _dense(self, member: int) -> Place:
        """A result in wide order without gaps."""
        place = self.values[member]
        if place.buffer or self.members[member].dense:
            return place
        key = (Op.COPY, member)
        if key not in self.made:
            self.made[key] = self._wide_buffer()
            self._act(Op.COPY, 4 * self.blocks, self.made[key], place)
        return self.made[key]

    # -- results -----------------------------------------------------------------------------------------------

    def _alu(self, member: int) -> None:
        shape = self.shapes[member]
        does = _operation(shape)
        operands = [self._operand(member, i, form) for i, form in enumerate(does.forms)]
        result = self.values[member] = self._wide_buffer()
        self._act(Op.ALU, does.alu, result, *operands)
        finish = does.finish
        if finish == Finish.HALF or (shape.to_chain and finish != Finish.NONE):  # a stream takes the low bytes only
            self.values[member] = self._wide_buffer()
            self._act(FINISHES[finish], 0, self.values[member], result)

    def _accumulate(self, member: int) -> None:
        adds, live = self.shapes[member].value("mode"), self.members[member].live
        if not (member in self.used or live):
            return
        vectors = self.members[member].vectors
        planes = [self._plane(i) for i in self.members[vectors].inputs]
        entries = Place(self.members[member].target, kind="given")
        target = entries if adds or live else self._wide_buffer()
        op = Op.MULTIPLY if self.shapes[vectors].kind == Effect.ENTER else Op.MULTIPLY_HALF
        self._act(op, adds, target, *planes, self.source.weights(self.shapes[vectors]))
        self.values[member] = target

    def _gather(self, member: int) -> None:
        own, shape = self.members[member], self.shapes[member]
        self.planes[member] = [self._plane_buffer()]
        slice_, number = Place(own.target, kind="given"), Place(own.number, kind="given")
        self._act(
            Op.INSTRUCTION + shape.instruction.opcode,
            0,
            self.planes[member][0],
            self._plane(own.inputs[0]),
            slice_,
            number,
        )

    def _switch(self, member: int) -> None:
        shape = self.shapes[member]
        sources = [self._plane(i) for i in self.members[member].inputs]
        nowhere = self._plane_buffer()
        used = self.used[member]
        planes = [self._plane_buffer() if byte in used else nowhere for byte in range(shape.width)]
        self.planes[member] = planes
        op = Op.INSTRUCTION + shape.instruction.opcode
        self._act(op, pack_fields(shape.instruction, shape.values), *sources, *planes)

    # -- stores ------------------------------------------------------------------------------------------------

    def _store(self, stores: Sequence[int], reads: Iterable[int]) -> None:
        """What goes to memory: first what is read from it, then whole results, then single planes."""
        spec = self.source.spec
        wholes: dict[int, dict[int, list[Place]]] = defaultdict(lambda: defaultdict(list))
        """By member and byte plane, where a result goes that nothing is cut from."""
        singles: list[Action] = []
        for member in stores:
            own, shape = self.members[member], self.shapes[member]
            target = Place(own.target, kind="given")
            taken = own.inputs[-1]
            if shape.kind == Effect.SCATTER:
                planes = [self._staged(i) for i in own.inputs]
                number = Place(own.number, kind="given")
                op = Op.INSTRUCTION + shape.instruction.opcode
                singles.append(Action(op, shape.tiles, (*planes, target, number)))
            elif taken.producer in self.values and taken.tiles == spec.tiles and not self.rewrites:
                wholes[taken.producer][taken.byte].append(target)
            else:
                op, mode = (Op.COPY, self.blocks) if shape.tiles == spec.tiles else (Op.BLEND, shape.tiles)
                singles.append(Action(op, mode, (target, self._staged(taken))))
        for member, own in enumerate(self.members):
            for byte, tiles, number in own.kept:
                place = Place(number, kind="given")
                if member in self.values and tiles == spec.tiles:
                    wholes[member][byte].append(place)
                elif member in reads:
                    singles.append(self._copy(place, Place(own.target, kind="given"), tiles))
                else:
                    singles.append(self._copy(place, self._planes(member)[byte], tiles))
        for member in sorted(wholes):
            self._store_whole(member, wholes[member])
        self.actions += singles

    def _copy(self, target: Place, source: Place, tiles: int) -> Action:
        if tiles == self.source.spec.tiles:
            return Action(Op.COPY, self.blocks, (target, source))
        return Action(Op.CUT, tiles, (target, source))

    def _staged(self, taken: Input) -> Place:
        """A byte plane to be stored; where a round writes what it reads, from memory by a buffer."""
        place = self._plane(taken)
        if self.updates and not place.buffer:
            buffer = self._plane_buffer()
            self._act(Op.COPY, self.blocks, buffer, place)
            return buffer
        return place

    def _store_whole(self, member: int, targets: dict[int, list[Place]]) -> None:
        """Stores the byte planes of a result at one or more places each."""
        width = self.shapes[member].width
        for i in range(max(len(places) for places in targets.values())):
            planes = {byte: places[i] for byte, places in targets.items() if i < len(places)}
            if len(planes) < width:  # what nobody wants goes to a buffer
                nowhere = self._plane_buffer()
                planes = {byte: planes.get(byte, nowhere) for byte in range(width)}
            self._narrow(member, [planes[byte] for byte in range(width)])


def _operation(shape: Shape) -> Operation:
    """What an ALU does."""
    names = shape.instruction.names
    element = ElementType(shape.value("type"))
    result = ElementType(shape.value("result_type")) if "result_type" in names else element
    return operation(shape.instruction.name, element, result)
