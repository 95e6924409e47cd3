"""The levels of an ALU region: how many ALUs lie before each op, and the delays that make operands meet.

A chain's value is there for one cycle only, and so is a stream's: an ALU takes the results of the level just before its
own, and an argument is taken at one level. A region for which that holds is a rigid body; `balance` makes it one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from xdsl.dialects import arith
from xdsl.ir import BlockArgument, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from ....dialects import tsp_stream as ts
from ....dialects.errors import MalformedProgram
from ....dialects.locations import describe, located
from .cached_analysis import cached_analysis

Levels = dict[Operation, int]
"""By op: how many ALUs lie before it; 0 for the first."""


@cached_analysis
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
    """Levels of the ops of a region, within the length of the longest chain, that need few delays."""
    return dict(zip(inside, least_levels(chain_of(inside)), strict=True))


def alus_of(region: Region) -> int:
    """The ALUs that a region takes, those that only delay among them."""
    inside = [op for op in region.block.ops if not isinstance(op, arith.ConstantOp | ts.YieldOp)]
    yielded = cast(ts.YieldOp, region.block.last_op).value
    return alus_of_chain(chain_of(inside)) + (yielded.owner not in inside)


# -- the mathematics -------------------------------------------------------------------------------------------------

Chain = tuple[tuple[int, ...], ...]
"""The operands of every ALU, each the number of an ALU before it, or `~i` for argument i. Constants are left out."""


def chain_of(inside: Sequence[Operation]) -> Chain:
    """The ALU ops of a region as a chain."""
    numbers: dict[SSAValue, int] = {op.results[0]: i for i, op in enumerate(inside)}
    return tuple(
        tuple(
            numbers[v] if v in numbers else ~cast(BlockArgument, v).index
            for v in dict.fromkeys(op.operands)
            if not isinstance(v.owner, arith.ConstantOp)
        )
        for op in inside
    )


def alus_of_chain(chain: Chain) -> int:
    """The ALUs of a chain and of its delays."""
    users = _users_of(chain)
    levels = least_levels(chain)
    return len(chain) + sum(_delays(value, users, levels) for value in users)


def least_levels(chain: Chain) -> list[int]:
    """Levels within the length of the longest chain that need few delays.

    Each op starts as early as its operands allow. Then ops, the last first, move a level later where that needs no more
    delays: alone, or with the branch that leads to nothing but them. So a short branch starts when a long one lets it.
    Where all as late as their users allow need fewer, they are.
    """
    users = _users_of(chain)
    early: list[int] = []
    for operands in chain:
        early.append(max((early[v] + 1 for v in operands if v >= 0), default=0))
    late = [max(early, default=0)] * len(chain)
    for i in reversed(range(len(chain))):
        late[i] = min((late[u] - 1 for u in users.get(i, ())), default=late[i])
    _move_later(chain, users, early)
    return min((early, late), key=lambda levels: sum(_delays(value, users, levels) for value in users))


def _users_of(chain: Chain) -> dict[int, list[int]]:
    """The ALUs that use each value."""
    users: dict[int, list[int]] = {}
    for i, operands in enumerate(chain):
        for value in operands:
            users.setdefault(value, []).append(i)
    return users


def _delays(value: int, users: Mapping[int, Sequence[int]], levels: Sequence[int]) -> int:
    """The delays of a value: it is there just after its ALU, an argument where it is first used."""
    at = [levels[user] for user in users[value]]
    return max(at) - (levels[value] + 1 if value >= 0 else min(at))


def _move_later(chain: Chain, users: Mapping[int, Sequence[int]], levels: list[int]) -> None:
    """Moves ops later while that needs no more delays."""
    last = max(levels, default=0)
    left = sum(_delays(value, users, levels) for value in users)

    def may_move(group: frozenset[int]) -> bool:
        return all(levels[i] < last for i in group) and all(
            levels[i] + 1 < levels[user] for i in group for user in users.get(i, ()) if user not in group
        )

    def moved(group: frozenset[int], touched: set[int]) -> bool:
        """Moves a group by a level if it may, and says whether it did."""
        nonlocal left
        if not may_move(group):
            return False
        before = sum(_delays(value, users, levels) for value in touched)
        for i in group:
            levels[i] += 1
        more = sum(_delays(value, users, levels) for value in touched) - before
        if more > 0:
            for i in group:
                levels[i] -= 1
            return False
        left += more
        return True

    groups = [frozenset(group) for i in reversed(range(len(chain))) for group in ({i}, _branch(i, chain, users))]
    moves = [(g, {v for i in g for v in (i, *chain[i]) if v in users}) for g in dict.fromkeys(groups)]
    again = True
    while again and left:
        again = False
        for group, touched in moves:
            while moved(group, touched):
                again = True


def _branch(top: int, chain: Chain, users: Mapping[int, Sequence[int]]) -> set[int]:
    """An op, and all before it that lead to nothing else."""
    branch = {top}
    for i in reversed(range(top)):
        if branch.issuperset(users.get(i, ())):
            branch.add(i)
    return branch
