"""What came from a source, what derives from that, and what holds good again once it is gone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields

from tiered_memory.model import SourceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which memories are meant, by where they came from; every given field must match.

    `since_us` (inclusive) and `until_us` (exclusive) are moments of storing, microseconds since 1970: what a text
    says of its own time may be part of the deceit.
    """

    source: SourceKind | None = None
    channel: str | None = None
    session: str | None = None
    agent: str | None = None
    model: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked, so that everything would be meant."""
        return all(getattr(self, one.name) is None for one in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A memory by where it came from; `parents` are the ids it derives from, which need not be held."""

    id: str
    source: SourceKind
    channel: str | None
    session: str | None
    agent: str | None
    model: str | None
    stored_us: int
    parents: tuple[str, ...] = ()

    def came_from(self, origin: Origin) -> bool:
        """Tell whether the memory itself came from there."""
        asked = (
            (origin.source, self.source),
            (origin.channel, self.channel),
            (origin.session, self.session),
            (origin.agent, self.agent),
            (origin.model, self.model),
        )
        after = origin.since_us is None or self.stored_us >= origin.since_us
        before = origin.until_us is None or self.stored_us < origin.until_us
        return after and before and all(wanted is None or wanted == has for wanted, has in asked)


@dataclass(frozen=True, slots=True)
class Tainted:
    """The ids of what came from a source, and of what derives from that and did not come from there itself."""

    matched: tuple[str, ...]
    derived: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.matched, *self.derived)


def tainted(nodes: Collection[Node], origin: Origin) -> Tainted:
    """Return what came from `origin` and what derives from it by any number of steps, each in the nodes' order."""
    matched = [node.id for node in nodes if node.came_from(origin)]
    reached = descendants({node.id: node.parents for node in nodes}, matched)
    return Tainted(tuple(matched), tuple(node.id for node in nodes if node.id in reached))


def descendants(parents: Mapping[str, Iterable[str]], roots: Iterable[str]) -> set[str]:
    """Return everything of `parents` that derives from a root, without the roots; cycles do no harm."""
    children = dict[str, list[str]]()
    for child, its in parents.items():
        for parent in its:
            children.setdefault(parent, []).append(child)
    begun = set(roots)
    found, ahead = set(begun), list(begun)
    while ahead:
        for child in children.get(ahead.pop(), ()):
            if child not in found:
                found.add(child)
                ahead.append(child)
    return found - begun


def heirs_without(superseded_by: Mapping[str, str], gone: Collection[str]) -> dict[str, str | None]:
    """Return what takes the place of each memory whose successor is `gone`; None: it holds good again.

    `superseded_by` maps superseded memories to what took their place. Where a successor that is gone was superseded
    itself, the first of its successors that stays takes its place; a chain that leads in a circle ends in nothing.
    """
    found = dict[str, str | None]()
    for one, heir in superseded_by.items():
        if one in gone or heir not in gone:
            continue
        seen, ahead = {one}, superseded_by.get(heir)
        while ahead is not None and ahead in gone and ahead not in seen:
            seen.add(ahead)
            ahead = superseded_by.get(ahead)
        found[one] = None if ahead is None or ahead in seen or ahead in gone else ahead
    return found
