"""The most evidence any policy can keep: exact, by a flow of greatest gain (Arkin and Silverberg 1987).

A place in memory is a unit of flow through time. It is free, or it holds one item from that item's arrival on; what an
item has earned once it is asked for is its gain, and after that it may be let go, never to come back. Whoever knew
every question and every answer could do as well, and nobody better.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

from benchmarks.forget_items import Story
from benchmarks.forget_replay import Regime, Room, schedule

EPSILON = 1e-9

Needs = Mapping[int, Mapping[int, float]]
"""By item (its place), by step (arrivals so far) at which it is asked for: what it is worth to hold it then."""


def optimum(story: Story, regime: Regime, room: Room) -> float:
    """Return the greatest sum over questions of the share of evidence held.

    Whoever evicts cannot do better; it also bounds what an online policy can do.
    """
    return greatest_gain(len(story.items), needs_of(story, regime), room)


def needs_of(story: Story, regime: Regime) -> Needs:
    """Return what holding each item is worth, and when."""
    arrivals, needs = [item.at_us for item in story.items], defaultdict[int, dict[int, float]](dict)
    for at_us, _, question in schedule(story.questions, regime):
        step = bisect_right(arrivals, at_us)
        for place in question.evidence:
            worth = needs[place]
            worth[step] = worth.get(step, 0.0) + 1.0 / len(question.evidence)
    return needs


def greatest_gain(arrivals: int, needs: Needs, room: Room) -> float:
    """Return the greatest gain of holding items from their arrival on, within the capacity after each arrival."""
    flow = _Flow(_useful_steps(arrivals, needs))
    for place, worth in needs.items():
        flow.hold(place + 1, sorted(worth.items()))
    before = 0
    for step in range(1, arrivals + 1):
        flow.open(step, room(step) - before)
        before = room(step)
    return flow.run()


def _useful_steps(arrivals: int, needs: Needs) -> list[int]:
    """Return the steps at which a place may change hands: all others are passed through."""
    begun = {place + 1 for place in needs}
    ended = {step + 1 for worth in needs.values() for step in worth}
    return sorted(begun | ended | {arrivals + 1})


class _Flow:
    """Successive paths of greatest gain, found by Dijkstra's algorithm on reduced costs (Edmonds and Karp 1972).

    Node 0 is the source; then one node per useful step, the last of which is the sink; then the held items.
    """

    def __init__(self, steps: list[int]) -> None:
        self._node = {step: number for number, step in enumerate(steps, start=1)}
        self._steps = steps
        self._sink = len(steps)
        self._time = [0.0, *map(float, steps)]
        self._arcs: list[list[int]] = [[] for _ in range(len(steps) + 1)]
        self._to: list[int] = []
        self._room: list[float] = []
        self._cost: list[float] = []
        for number in range(1, len(steps)):
            self._arc(number, number + 1, math.inf, 0.0)

    def open(self, step: int, count: int) -> None:
        """Add `count` (>= 0) free places from a step on."""
        if count:
            self._arc(0, self._node[self._steps[bisect_right(self._steps, step - 1)]], count, 0.0)

    def hold(self, step: int, uses: Iterable[tuple[int, float]]) -> None:
        """Let an item that arrives at a step be held until any of its uses."""
        at = self._node[step]
        for used, worth in uses:
            node = self._new_node(used + 0.5)
            self._arc(at, node, 1, -worth)
            self._arc(node, self._node[used + 1], 1, 0.0)
            at = node

    def run(self) -> float:
        """Return the greatest gain."""
        potential, gain = self._first_distances(), 0.0
        while potential[self._sink] < -EPSILON:
            distance, through = self._shortest(potential)
            if math.isinf(distance[self._sink]):
                break
            reached = distance[self._sink]
            potential = [p + min(d, reached) for p, d in zip(potential, distance, strict=True)]
            cost = potential[self._sink] - potential[0]
            if cost > -EPSILON:
                break
            gain -= cost * self._send(through)
        return gain

    def _new_node(self, time: float) -> int:
        self._arcs.append([])
        self._time.append(time)
        return len(self._arcs) - 1

    def _arc(self, start: int, end: int, room: float, cost: float) -> None:
        for one, other, capacity, price in ((start, end, room, cost), (end, start, 0.0, -cost)):
            self._arcs[one].append(len(self._to))
            self._to.append(other)
            self._room.append(capacity)
            self._cost.append(price)

    def _first_distances(self) -> list[float]:
        """Without flow, time orders the nodes, so one pass is enough. What is out of reach gets a price all the same."""
        distance = [0.0 if node == 0 else math.inf for node in range(len(self._arcs))]
        for node in sorted(range(len(self._arcs)), key=self._time.__getitem__):
            for arc in self._arcs[node]:
                if self._room[arc] > 0:
                    end = self._to[arc]
                    distance[end] = min(distance[end], distance[node] + self._cost[arc])
        return distance

    def _shortest(self, potential: list[float]) -> tuple[list[float], list[int]]:
        distance, through = [math.inf] * len(self._arcs), [-1] * len(self._arcs)
        distance[0] = 0.0
        waiting = [(0.0, 0)]
        while waiting:
            far, node = heapq.heappop(waiting)
            if far > distance[node]:
                continue
            if node == self._sink:
                break
            here = far + potential[node]
            for arc in self._arcs[node]:
                if self._room[arc] <= 0:
                    continue
                end = self._to[arc]
                reach = max(far, here + self._cost[arc] - potential[end])
                if reach < distance[end] - EPSILON:
                    distance[end], through[end] = reach, arc
                    heapq.heappush(waiting, (reach, end))
        return distance, through

    def _send(self, through: list[int]) -> float:
        path, node = [], self._sink
        while node:
            path.append(through[node])
            node = self._to[through[node] ^ 1]
        amount = min(self._room[arc] for arc in path)
        for arc in path:
            self._room[arc] -= amount
            self._room[arc ^ 1] += amount
        return amount
