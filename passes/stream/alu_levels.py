"""The levels of an ALU region: how many ALUs lie before each op, and the delays that make operands meet.

A chain's value is there for one cycle only, and so is a stream's: an ALU takes the results of the level just before its
own, and an argument is taken at one level. A region for which that holds is a rigid body; `balance` makes it one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from xdsl.dialects import arith
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from ...dialects import tsp_stream as ts
from ...dialects.errors import MalformedProgram
from ...dialects.locations import describe, located
from .facts import fact

Levels = dict[Operation, int]
"""By op: how many ALUs lie before it; 0 for the first."""


@fact
def alu_levels(op: ts.VxmOp) -> Levels:
    """The levels of a balanced region, in the order of its ops.

    Raises MalformedProgram, naming an op whose operands do not meet.
    """
    inside = op.alu_ops
    levels: Levels = {}  # counted backward from the op that gives the region's value

    def level_of_users(value: SSAValue) -> int | None:
        users = [use.operation for use in value.uses if use.operation in levels]
        at = [levels[user] for user in users]
        if at and (apart := max(at) - min(at)):
            raise MalformedProgram(
                f"{describe(users[at.index(max(at))])}: its operands come {apart} ALUs apart; leave out `alus`, and "
                "stream-place inserts delays"
            )
        return at[0] if at else None

    for inner in reversed(inside):
        behind = level_of_users(inner.results[0])
        levels[inner] = 0 if behind is None else behind - 1
    for argument in op.body.block.args:
        level_of_users(argument)
    low = min(levels.values(), default=0)
    return {inner: levels[inner] - low for inner in inside}


def _users(inside: Sequence[Operation]) -> dict[SSAValue, list[Operation]]:
    """The ALU ops that use each value that comes from a stream or an ALU; constants are there at any time."""
    users: dict[SSAValue, list[Operation]] = defaultdict(list)
    for inner in inside:
        for value in dict.fromkeys(inner.operands):
            if not isinstance(value.owner, arith.ConstantOp):
                users[value].append(inner)
    return users


def balance(op: ts.VxmOp) -> None:
    """Inserts delays so that every op finds all its operands in the same cycle; a region with `alus` stays as it is.

    A region that yields an argument or a constant hands it on by one ALU.
    """
    if op.alus is not None:
        return
    last = cast(Operation, op.body.block.last_op)
    if op.yielded.owner not in op.alu_ops:
        delay = located(ts.DelayOp(op.yielded), op)
        Rewriter.insert_op(delay, InsertPoint.before(last))
        last.operands[0] = delay.result
    levels = least_delays(op.alu_ops)
    handed: dict[SSAValue, list[SSAValue]] = {}
    for value, users in _users(op.alu_ops).items():
        ready = _ready(value, users, levels)
        for user in users:
            if (times := levels[user] - ready) > 0:
                late = _hand_on(op, value, times, handed)
                for i in [i for i, v in enumerate(user.operands) if v is value]:
                    user.operands[i] = late


def _ready(value: SSAValue, users: Sequence[Operation], levels: Mapping[Operation, int]) -> int:
    """The level at which a value is there: just after its ALU, or where an argument is first used."""
    if isinstance(value, BlockArgument):
        return min(levels[user] for user in users)
    return levels[cast(Operation, value.owner)] + 1


def _hand_on(op: ts.VxmOp, value: SSAValue, times: int, handed: dict[SSAValue, list[SSAValue]]) -> SSAValue:
    """`value` after so many delays; delays of one value are shared."""
    chain = handed.setdefault(value, [])
    while len(chain) < times:
        delay = located(ts.DelayOp(chain[-1] if chain else value), op)
        after = (chain[-1] if chain else value).owner
        point = InsertPoint.after(after) if isinstance(after, Operation) else InsertPoint.at_start(op.body.block)
        Rewriter.insert_op(delay, point)
        chain.append(delay.result)
    return chain[times - 1]


def least_delays(inside: Sequence[Operation]) -> Levels:
    """Levels within the length of the longest chain that need few delays.

    Each op starts as early as its operands allow. Then ops, the last first, move a level later where that needs no more
    delays: alone, or with the branch that leads to nothing but them. So a short branch starts when a long one lets it.
    """
    users = _users(inside)
    levels: Levels = {}
    for inner in inside:
        before = [levels[o] for o in (v.owner for v in inner.operands) if isinstance(o, Operation) and o in levels]
        levels[inner] = max(before, default=-1) + 1
    last = max(levels.values(), default=0)

    def delays(shifted: set[Operation]) -> int:
        """The delays that the region needs when these ops start a level later."""
        at = {inner: level + (inner in shifted) for inner, level in levels.items()}
        return sum(max(at[u] for u in after) - _ready(v, after, at) for v, after in users.items())

    def may_move(group: set[Operation]) -> bool:
        behind = [(inner, user) for inner in group for user in users.get(inner.results[0], ()) if user not in group]
        return (
            all(levels[inner] + 1 < levels[user] for inner, user in behind)
            and max(levels[inner] for inner in group) < last
        )

    moves = [group for inner in reversed(inside) for group in ({inner}, _branch(inner, inside, users))]
    moved = True
    while moved and delays(set()):
        moved = False
        for group in moves:
            while may_move(group) and delays(group) <= delays(set()):
                levels.update({inner: levels[inner] + 1 for inner in group})
                moved = True
    return levels


def _branch(
    top: Operation, inside: Sequence[Operation], users: Mapping[SSAValue, Sequence[Operation]]
) -> set[Operation]:
    """An op, and all before it that lead to nothing else."""
    branch = {top}
    for inner in reversed(inside[: inside.index(top)]):
        if branch.issuperset(users[inner.results[0]]):
            branch.add(inner)
    return branch
