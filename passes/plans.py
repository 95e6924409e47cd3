"""Parts of a machine for which a program is planned.

More units are not always better used: a choice that is good for four planes may be bad for eight, and whether it is
shows only in a schedule. So a program may be planned as for a machine that has fewer units of some kind, and run on the
whole one, which leaves the others idle. `parts` says which smaller machines are worth a try, and the shortest schedule
is kept: where a machine has more of something than one of its parts, its programs are not longer for it.

Numbers that may shrink are those that count units of which an instruction names one: planes, streams, ALUs,
accumulators, transposers. The others change what an instruction does (`tiles`, `weight_streams`), or how far it is from
one unit to another (`slices`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from ..dialects import tsp_stream as ts
from ..dialects import tsp_tensor
from ..dialects.elements import element_bytes
from ..dialects.errors import CapacityError, ScheduleError, TargetError, TspError
from ..dialects.machine.target import DEFAULT_SYSTEM, ChipSpec, SystemSpec
from ..dialects.target_attr import TARGET, WHOLE, TargetAttr, target_of
from .policy import Policy
from .stream.schedule.account import scheduled_length

COUNTS = ("planes", "streams", "alus", "accumulators", "transposers")
"""The fields of ChipSpec that count units of which a plan may leave some idle."""

_TRIED = ("planes", "streams", "alus")
"""Those of which fewer may make a program shorter: with them the shape of the plan changes. Fewer of the others are
tried only where there are more than on the published chip, for which the plan's rules were measured."""


def parts(chip: ChipSpec) -> list[ChipSpec]:
    """The chip and its parts that are worth a plan, the whole first and then those that are most like it.

    Of what is more than on the published chip these have as much as that, and that doubled as often as there is room
    for; of what is less, the next power of two below, since streams and planes are taken in groups of two to the power
    of something. The published chip itself is planned for as it is.
    """
    ladders = [_rungs(name, chip) for name in COUNTS]
    found = [dict(zip(COUNTS, counts, strict=True)) for counts in product(*ladders)]
    found.sort(key=lambda counts: sum(counts[n] != getattr(chip, n) for n in COUNTS))
    return [replace(chip, **counts) for counts in found[: Policy.most_parts]]


def _rungs(name: str, chip: ChipSpec) -> list[int]:
    """The numbers of one kind of unit that are worth a plan, descending."""
    count, usual = int(getattr(chip, name)), int(getattr(DEFAULT_SYSTEM.chip, name))
    if count > usual:
        doublings = (count // usual).bit_length()
        below = [usual << i for i in reversed(range(doublings)) if usual << i < count]
    else:
        below = [1 << (count - 1).bit_length() - 1] if name in _TRIED and 1 < count < usual else []
    return [count, *(n for n in below if _is_machine(chip, name, n))]


def smaller(chip: ChipSpec) -> Iterator[ChipSpec]:
    """Parts with ever fewer planes, for programs that find no room or no streams as long as all work side by side."""
    while chip.planes % 4 == 0:
        chip = replace(chip, planes=chip.planes // 2)
        yield chip


def _is_machine(chip: ChipSpec, name: str, count: int) -> bool:
    """Whether a chip with so many units of a kind would be one."""
    field = ChipSpec.__dataclass_fields__[name]
    enough = chip.weight_streams if name == "streams" else 1
    return count >= max(enough, field.metadata["low"]) and not (name == "planes" and count % 2)


Apply = Callable[[Sequence[str], int], None]
"""Applies stages to the module that is compiled, at a level of scarcity of words (`Policy.tight`)."""


def has_tensors(module: ModuleOp) -> bool:
    """Whether something in a module is still to be planned."""
    return any(op.dialect_name() == tsp_tensor.TSP_TENSOR.name for op in module.walk())


def apply_planned(module: ModuleOp, stages: Sequence[str], planning: Sequence[str], apply: Apply) -> None:
    """Applies stages to a module of tensors, with the plan for which its program is the shortest of those tried: for
    the whole machine and for each of its `parts`.

    Where all of these find too few words, slices or streams, it is planned for scarce words, and then for ever fewer
    planes. `planning` are the stages after which the length is known.
    Raises what the whole machine lacks where nothing helps.
    """
    tensors, chip = module.clone(), target_of(module).chip
    refusal: TspError | None = None
    touched = False

    def begin(part: ChipSpec) -> None:
        nonlocal touched
        if touched:
            restore(module, tensors.clone())
        touched = True
        plan_for(module, part)

    for chips, tight in (
        *((parts(chip), tight) for tight in (0, 1, 2)),
        *(([part], tight) for part in smaller(chip) for tight in (0, 2)),
    ):
        try:
            _apply_best(module, chips, stages, planning, begin, lambda names, tight=tight: apply(names, tight))
            return
        except TspError as e:
            if chips[0] == chip:
                if not isinstance(e, CapacityError | ScheduleError):
                    raise
                refusal = e
    assert refusal is not None
    raise refusal


def _apply_best(
    module: ModuleOp,
    chips: Sequence[ChipSpec],
    stages: Sequence[str],
    planning: Sequence[str],
    begin: Callable[[ChipSpec], None],
    apply: Callable[[Sequence[str]], None],
) -> None:
    """Applies stages with the plan for one of some chips that makes the program the shortest. Raises what the first
    raises where there is none."""
    refusal: TspError | None = None
    if len(chips) == 1:
        begin(chips[0])
        apply(stages)
        return
    found: list[tuple[int, int, ModuleOp]] = []
    for number, chip in enumerate(chips):
        if found and least_cycles((best := min(found, key=lambda f: f[:2]))[2], chip) >= best[0]:
            continue
        begin(chip)
        try:
            apply(planning)
        except TspError as e:
            if number == 0 and not isinstance(e, CapacityError | ScheduleError):
                raise
            refusal = refusal or e
            continue
        found.append((scheduled_length(module), number, held := ModuleOp([])))
        restore(held, module)
    for _, number, held in sorted(found, key=lambda f: f[:2]):
        if len(stages) < len(planning):
            begin(chips[number])
            apply(stages)
            return
        restore(module, held)
        try:
            apply(stages[len(planning) :])
            return
        except CapacityError as e:
            refusal = refusal or e
    assert refusal is not None
    raise refusal


def restore(module: ModuleOp, before: ModuleOp) -> None:
    """Makes a module what another is, which is empty then."""
    for block in [*module.body.blocks]:
        module.body.detach_block(block)
    before.body.move_blocks(module.body)
    module.attributes, module.properties = before.attributes, before.properties


def plan_for(module: ModuleOp, chip: ChipSpec) -> None:
    """Has a module planned for a part of its machine, until convert-stream-to-isa puts it on the whole one."""
    whole = target_of(module)
    if chip != whole.chip:
        module.attributes[WHOLE] = TargetAttr(whole)
        module.attributes[TARGET] = TargetAttr(replace(whole, chip=chip))


def put_on_whole(module: ModuleOp) -> None:
    """Puts a module that is planned for a part of a machine on the whole: its units keep their places. The planes of
    the west are counted behind all of the east."""
    attribute = module.attributes.pop(WHOLE, None)
    if not isinstance(attribute, TargetAttr):
        return
    whole, planned = attribute.data, target_of(module)
    half, more = planned.chip.planes // 2, (whole.chip.planes - planned.chip.planes) // 2
    for op in module.walk():
        if isinstance(op, ts.MatmulOp | ts.LoadWeightsOp) and op.plane is not None and op.plane.value.data >= half:
            op.plane = IntegerAttr(op.plane.value.data + more, i64)
    _set_target(module, whole)


def _set_target(module: ModuleOp, system: SystemSpec) -> None:
    if system == DEFAULT_SYSTEM:
        module.attributes.pop(TARGET, None)
    else:
        module.attributes[TARGET] = TargetAttr(system)


def least_cycles(module: ModuleOp, chip: ChipSpec) -> int:
    """The cycles that a scheduled module takes at least with the planes and ALUs of a chip, however it is planned: all
    vectors meet their weights, and all maps are computed."""
    planes, alus = dict[int, int](), dict[int, int]()
    for op in module.walk():
        if isinstance(op, ts.MatmulOp) and isinstance(type_ := op.activations.type, ts.StreamType):
            work = type_.vectors * element_bytes(type_.element_type) ** 2  # a pair of planes for two cycles
            planes[op.chip_number] = planes.get(op.chip_number, 0) + work
        elif isinstance(op, ts.VxmOp):
            work = sum(not isinstance(o, ts.DelayOp) for o in op.alu_ops) * op.stream.type.vectors
            alus[op.chip_number] = alus.get(op.chip_number, 0) + work
    return max(0, *(n // chip.planes for n in planes.values()), *(n // chip.alus for n in alus.values()))


@dataclass(frozen=True)
class PlanForPartPass(ModulePass):
    """Plans what follows for a part of the machine, as tsp-compile does where that makes the program shorter."""

    name = "plan-for-part"

    planes: int | None = None
    """Planes of the part; None for all, as for the others."""
    streams: int | None = None
    """Streams of a direction."""
    alus: int | None = None
    """ALUs."""
    accumulators: int | None = None
    """Accumulators of a plane."""
    transposers: int | None = None
    """Transposers of a hemisphere."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chip = target_of(op).chip
        given = {name: n for name in COUNTS if (n := getattr(self, name)) is not None}
        if more := [f"{n} {name} of {getattr(chip, name)}" for name, n in given.items() if n > getattr(chip, name)]:
            raise TargetError(f"a part of the machine cannot have {', '.join(more)}; give fewer")
        plan_for(op, replace(chip, **given))
