"""Covers a graph of ALU operations with cones, each of which becomes a map.

A cone is an operation and those before it, down to its leaves: arguments, or results of other cones. What two cones
need and neither outputs is computed in both. This is technology mapping for lookup tables with other limits
(Mishchenko et al., "Combinational and sequential mapping with priority cuts", ICCAD 2007): a cone has no more ALUs than
the chip, delays among them, and leaves of so many bytes.

From the arguments on, each operation keeps a few cones, made of those of its operands; what comes before a leaf is
shared by all its users. These are known only for a whole cover, so there are several rounds, each with the users of the
cover before. Then maps that can be part of all their users are removed, and the longest chain of maps becomes shorter.
The work is linear in the number of operations, as each keeps at most a small multiple of the chip's ALUs of cones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from ...policy import Policy
from ...stream.analysis.alu_levels import Chain, alus_of_chain


@dataclass(frozen=True)
class Node:
    """An operation, in a sequence of such in which operands come before their users."""

    operands: tuple[int, ...]
    """Numbers of operations; argument i of the graph is `~i`. Constants are omitted."""
    bytes: int | None = 4
    """Those of an element of the result; None where it cannot be a leaf."""
    words: int = 1
    """The vectors that the result has."""
    blocks: int = 1
    """Blocks of them on which a map works side by side, if there are ALUs for them."""
    elements: int = 1


@dataclass(frozen=True)
class Limits:
    """What one cone may take, and what it costs."""

    alus: int
    """The ALUs of the chip."""
    bytes: int
    """Those of an element of each leaf, taken together."""
    latency: int
    """Cycles from the first vector of the leaves to the first of the result."""


_TIE = 2.0**-30
"""Cycles that an operation on one element counts, which only tell cones apart that take equally long."""


@dataclass(frozen=True)
class Cone:
    """An operation's cone: the operations in it, its leaves, and the ALUs that it takes."""

    inside: frozenset[int]
    leaves: frozenset[int]
    alus: int = 0
    before: float = 0.0
    """The cost of the leaves, each divided between its users."""

    def sources(self) -> list[int]:
        """The cones that it takes results of."""
        return [v for v in self.leaves if v >= 0]


Cones = dict[int, Cone]
"""The cones of a cover, by the operation whose they are, in order."""


@dataclass
class Cover:
    """Finds cones that together compute the last operation."""

    nodes: Sequence[Node]
    arguments: Sequence[int]
    """The bytes of an element of each argument."""
    limits: Limits
    counted: dict[Chain, int] = field(default_factory=dict[Chain, int])
    """The ALUs of what was met so far: long maps repeat themselves."""
    merged: int = 0
    """How often cones were joined, which is what this costs."""

    def best(self) -> Cones | None:
        """The cover that takes the fewest cycles; None where there is none within the limits."""
        users = _users(len(self.nodes), (node.operands for node in self.nodes))
        found: list[Cones] = []
        for _ in range(Policy.cover_rounds):
            cones = self._chosen(users)
            if cones is None:
                return None
            users = _users(len(self.nodes), (cone.leaves for cone in cones.values()))
            found += [fewer := self._fewer(cones), self._shorter(fewer)]
        return self._in_turn(min(found, key=self.cycles))

    def _in_turn(self, cones: Cones) -> Cones:
        """Those first that most others wait for, one after the other."""
        behind = dict.fromkeys(cones, 0)
        for number, cone in reversed(cones.items()):
            for v in cone.sources():
                behind[v] = max(behind[v], behind[number] + 1)
        return {number: cones[number] for number in sorted(cones, key=lambda n: (-behind[n], -n))}

    def cycles(self, cones: Cones) -> float:
        """About what the maps of a cover take: the longest chain of them, and the ALUs one after the other."""
        return max(self._arrivals(cones).values()) + sum(self._time(n, cone.alus) for n, cone in cones.items())

    def _time(self, number: int, alus: int) -> float:
        """The cycles for which a cone keeps the ALUs. Those that work on several blocks side by side are done earlier,
        though seldom by all that they might."""
        node = self.nodes[number]
        blocks = min(node.blocks, self.limits.alus // alus)
        return node.words * (1 + 1 / blocks) / 2 + alus * node.elements * _TIE

    def _cost(self, number: int, alus: int) -> float:
        """What a cone costs if no other waits less for it."""
        return self.limits.latency + self._time(number, alus)

    def _arrivals(self, cones: Cones) -> dict[int, int]:
        arrivals: dict[int, int] = {}
        for number, cone in cones.items():
            arrivals[number] = self.limits.latency + max((arrivals[v] for v in cone.sources()), default=0)
        return arrivals

    # -- a cover -------------------------------------------------------------------------------------------------------

    def _chosen(self, users: Sequence[int]) -> Cones | None:
        """The cover in which every operation has its cheapest cone, if what is before a leaf has so many users."""
        best: Cones = {}
        cost: dict[int, float] = {}
        alive: dict[int, list[Cone]] = {}
        left = _users(len(self.nodes), (node.operands for node in self.nodes))
        for number, node in enumerate(self.nodes):
            cones = self._cones(number, alive, cost)
            if cones:
                costs = [c.before + self._cost(number, c.alus) for c in cones]
                first = min(range(len(cones)), key=lambda i: (costs[i], -cones[i].alus))
                best[number] = cones[first]
                cost[number] = costs[first] / max(1, users[number])
                if node.bytes is not None:
                    cones.append(Cone(frozenset(), frozenset((number,)), before=cost[number]))
            alive[number] = cones
            for operand in {v for v in node.operands if v >= 0}:
                left[operand] -= 1
                if not left[operand]:
                    del alive[operand]
        return _reached(best, len(self.nodes) - 1)

    def _cones(self, number: int, alive: Mapping[int, list[Cone]], cost: Mapping[int, float]) -> list[Cone]:
        """The cones that an operation keeps, made of those of its operands."""
        operands = dict.fromkeys(self.nodes[number].operands)
        choices = [alive[v] if v >= 0 else [Cone(frozenset(), frozenset((v,)))] for v in operands]
        found: dict[frozenset[int], Cone] = {}
        for parts in product(*choices):
            self.merged += 1
            inside = frozenset((number,)).union(*(p.inside for p in parts))
            if len(inside) <= self.limits.alus:
                leaves = frozenset[int]().union(*(p.leaves for p in parts)) - inside
                if leaves not in found and self._bytes(leaves) <= self.limits.bytes:
                    before = sum(cost[v] for v in sorted(leaves) if v >= 0)
                    found[leaves] = Cone(inside, leaves, before=before)
        return self._kept(found.values())

    def _kept(self, cones: Iterable[Cone]) -> list[Cone]:
        """Of cones of one operation those that are best in something: the cost before them, ALUs, or bytes."""
        kept: list[Cone] = []
        least: dict[int, int] = {}
        """The fewest bytes of those that cost no more, by their ALUs."""
        for cone in sorted(cones, key=lambda c: (c.before, len(c.inside), sorted(c.leaves))):
            bytes_ = self._bytes(cone.leaves)
            if any(alus <= len(cone.inside) and least[alus] <= bytes_ for alus in least):
                continue
            alus = self._alus(cone.inside)
            if alus > self.limits.alus or any(a <= alus and least[a] <= bytes_ for a in least):
                continue
            least[alus] = min(bytes_, least.get(alus, bytes_))
            kept.append(Cone(cone.inside, cone.leaves, alus, cone.before))
        return kept

    def _bytes(self, leaves: Iterable[int]) -> int:
        return sum(self.arguments[~v] if v < 0 else self.nodes[v].bytes or 0 for v in leaves)

    def _alus(self, inside: Iterable[int]) -> int:
        """The ALUs of a cone, delays among them."""
        order = sorted(inside)
        local = {v: i for i, v in enumerate(order)}
        names: dict[int, int] = {}
        chain = tuple(
            tuple(local[v] if v in local else ~names.setdefault(v, len(names)) for v in self.nodes[n].operands)
            for n in order
        )
        if chain not in self.counted:
            self.counted[chain] = alus_of_chain(chain)
        return self.counted[chain]

    # -- a better one --------------------------------------------------------------------------------------------------

    def _joined(self, source: Cone, user: Cone) -> Cone | None:
        """One cone that computes what two did, if it is within the limits."""
        self.merged += 1
        inside = source.inside | user.inside
        leaves = (source.leaves | user.leaves) - inside
        if len(inside) > self.limits.alus or self._bytes(leaves) > self.limits.bytes:
            return None
        alus = self._alus(inside)
        return Cone(inside, leaves, alus) if alus <= self.limits.alus else None

    def _fewer(self, cones: Cones) -> Cones:
        """A cover without the cones that can be part of all their users, where that costs less."""
        cones = dict(cones)
        users: dict[int, set[int]] = {number: set() for number in cones}
        for number, cone in cones.items():
            for v in cone.sources():
                users[v].add(number)
        last = len(self.nodes) - 1
        left = [*cones]
        while left:
            number = left.pop()
            if number == last or number not in cones:
                continue
            made = {u: self._joined(cones[number], cones[u]) for u in sorted(users[number])}
            now = self._cost(number, cones[number].alus) + sum(self._cost(u, cones[u].alus) for u in made)
            whole = {u: cone for u, cone in made.items() if cone is not None}
            if len(whole) < len(made) or sum(self._cost(u, cone.alus) for u, cone in whole.items()) >= now:
                continue
            for user, cone in [(number, Cone(frozenset(), frozenset())), *whole.items()]:
                for v in cones[user].sources():
                    users[v].discard(user)
                cones[user] = cone
                for v in cone.sources():
                    users[v].add(user)
            del cones[number]
            left += [v for u in whole for v in cones[u].sources()]
        return _reached(cones, last) or {}

    def _shorter(self, cones: Cones) -> Cones:
        """A cover in which cones of the longest chain compute again what they waited for."""
        cones = dict(cones)
        arrivals = self._arrivals(cones)
        last = len(self.nodes) - 1
        longest, stack = {last}, [last]
        while stack:
            cone = cones[stack.pop()]
            late = max((arrivals[v] for v in cone.sources()), default=0)
            stack += [v for v in cone.sources() if arrivals[v] == late and v not in longest]
            longest.update(stack)
        for number, cone in cones.items():
            late = max((arrivals[v] for v in cone.sources()), default=0)
            if number in longest:
                joined: Cone | None = cone
                for v in sorted(cone.sources()):
                    if joined is not None and arrivals[v] == late:
                        joined = self._joined(cones[v], joined)
                if joined is not None and joined is not cone:
                    earlier = max((arrivals[v] for v in joined.sources()), default=0)
                    if late - earlier > self._time(number, joined.alus) - self._time(number, cone.alus):
                        cones[number], late = joined, earlier
            arrivals[number] = self.limits.latency + late
        return _reached(cones, last) or {}


def _users(count: int, taken: Iterable[Iterable[int]]) -> list[int]:
    """How many take the result of each operation."""
    users = [0] * count
    for some in taken:
        for v in {*some}:
            if v >= 0:
                users[v] += 1
    return users


def _reached(cones: Mapping[int, Cone], last: int) -> Cones | None:
    """The cones that the last operation's needs, in order."""
    if last not in cones:
        return None
    needed: set[int] = set()
    stack = [last]
    while stack:
        if (number := stack.pop()) not in needed:
            needed.add(number)
            stack += cones[number].sources()
    return {number: cones[number] for number in sorted(needed)}
