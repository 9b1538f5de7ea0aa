"""What of a conversation stays in a buffer, and what of everything known goes into a prompt.

Both judge by whole exchanges (a user message and what follows it), keep the order of the talk, and never let go
of the system prompt and the latest exchange while there is room for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Context, ContextItem, LeftOut, Role
from tiered_memory.scoring.tokens import TokenCounter

SYSTEM, SUMMARY, RECALLED, RECENT = "system", "summary", "recalled", "recent"
OVER_BUDGET = "over budget"
IN_RECENT = "already in recent turns"
IN_RECALLED = "already recalled"
CUT = "cut to fit the budget"
RECENT_SOURCES = {Role.TOOL: "a tool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferedTurn:
    """One message of a session's buffer.

    `order` rises within the session, `tokens` (>= 0) is what `content` was counted as, `importance` is 0..1;
    a `pinned` turn is never trimmed; `memory_id` names the memory made of it, if one was.
    """

    id: str
    order: int
    role: Role
    content: str
    tokens: int
    importance: float
    occurred_at: datetime
    author: str | None = None
    pinned: bool = False
    memory_id: str | None = None


@dataclass(frozen=True, slots=True)
class TrimResult:
    """What stays and what goes, both in the order they came; `tokens` is what stays."""

    kept: tuple[BufferedTurn, ...]
    dropped: tuple[BufferedTurn, ...]
    tokens: int


def trim(turns: Sequence[BufferedTurn], token_budget: int) -> TrimResult:
    """Drop old and unimportant exchanges until `turns` (oldest first) fit `token_budget`.

    The exchange worth least goes first, worth being its highest importance plus its place in the talk (0 oldest,
    1 newest): alike, the oldest goes. Pinned turns, system turns that open the session, and the latest exchange
    (the last user message and what follows) stay. Only if those alone exceed the budget, the middle of the
    latest exchange goes, oldest first; opening, pinned turns, the last user message and the newest message stay
    even then, so the result may exceed the budget. A turn costs at least one token, so a buffer is bounded.
    """
    total = sum(map(turn_cost, turns))
    if total <= token_budget:
        return TrimResult(tuple(turns), (), total)
    gone: set[int] = set()
    for group in _droppable(turns):
        if total <= token_budget:
            break
        gone.update(group)
        total -= sum(turn_cost(turns[at]) for at in group)
    kept = tuple(turn for at, turn in enumerate(turns) if at not in gone)
    return TrimResult(kept, tuple(turns[at] for at in sorted(gone)), total)


def turn_cost(turn: BufferedTurn) -> int:
    """Return what a turn takes of a session's budget: its tokens, at least one."""
    return max(1, turn.tokens)


def _opening(turns: Sequence[BufferedTurn]) -> int:
    """Return how many system turns open the session."""
    return next((at for at, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))


def _latest_exchange(turns: Sequence[BufferedTurn]) -> int:
    """Return where the last user message is, or the newest message if there is none."""
    users = (at for at in range(len(turns) - 1, -1, -1) if turns[at].role is Role.USER)
    return next(users, max(0, len(turns) - 1))


def _exchanges(turns: Sequence[BufferedTurn], start: int, end: int) -> list[list[int]]:
    """Return the positions `start`..`end` grouped by exchange, without pinned turns."""
    groups: list[list[int]] = []
    for at in range(start, end):
        if at == start or turns[at].role is Role.USER:
            groups.append([])
        groups[-1].append(at)
    unpinned = ([at for at in group if not turns[at].pinned] for group in groups)
    return [group for group in unpinned if group]


def _droppable(turns: Sequence[BufferedTurn]) -> list[list[int]]:
    """Return what may be dropped, in the order to drop it."""
    latest = _latest_exchange(turns)
    groups = _exchanges(turns, _opening(turns), latest)
    ranked = sorted(range(len(groups)), key=lambda at: (_worth(turns, groups[at], at / len(groups)), at))
    middle = [[at] for at in range(latest + 1, len(turns) - 1) if not turns[at].pinned]
    return [groups[at] for at in ranked] + middle


def _worth(turns: Sequence[BufferedTurn], group: Sequence[int], place: float) -> float:
    return max(turns[at].importance for at in group) + place


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text that may go into a prompt, with what is shown beside it."""

    content: str
    role: Role
    occurred_at: datetime | None = None
    author: str | None = None
    memory_id: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """What competes for a prompt: `recalled` best first, `recent` oldest first."""

    system: Sequence[Piece] = ()
    summary: Sequence[Piece] = ()
    recalled: Sequence[Piece] = ()
    recent: Sequence[BufferedTurn] = ()


def pack(sections: Sections, token_budget: int, count: TokenCounter) -> Context:
    """Choose what goes into a prompt of at most `token_budget` (>= 0) tokens.

    An item costs what its rendered line is counted as, plus its line end. System prompts (given, pinned, or
    opening the session) and the latest exchange come first. Of what remains the summary is sure of a quarter and
    recalled memories of half of the rest; what one side does not need the other gets. What is among the recent
    turns taken is not recalled again, and the other way round. If not even system and latest exchange fit, the
    newest message is kept before the rest of its exchange, and content is cut from its end as the last resort.
    The items come in the order system, summary, recalled, recent, each in the order given; `left_out` has
    everything else, once, with its reason, and the lost part of what was cut. Raises `InvalidInputError` for a
    negative budget.
    """
    if token_budget < 0:
        raise InvalidInputError("token_budget must be 0 or more")
    packer = _Packer(_offers(sections, count), token_budget, count)
    packer.take_musts()
    packer.take_rest()
    return packer.context()


@dataclass(frozen=True, slots=True)
class _Offer:
    """An item with its exchange (counted per section) and whether it must be in."""

    item: ContextItem
    group: int
    must: bool = False


def _offers(sections: Sections, count: TokenCounter) -> list[_Offer]:
    system = [_Offer(_item(SYSTEM, piece, count), 0, must=True) for piece in sections.system]
    summary = [_Offer(_item(SUMMARY, piece, count), at) for at, piece in enumerate(sections.summary)]
    recalled = [_Offer(_item(RECALLED, piece, count), at) for at, piece in enumerate(sections.recalled)]
    prompts, talk = _recent_offers(sections.recent, count)
    return [*system, *prompts, *summary, *recalled, *talk]


def _recent_offers(turns: Sequence[BufferedTurn], count: TokenCounter) -> tuple[list[_Offer], list[_Offer]]:
    """Return the session's own system prompts and its talk."""
    opening = _opening(turns)
    prompts = [turn for at, turn in enumerate(turns) if at < opening or _is_prompt(turn)]
    talk = [turn for turn in turns[opening:] if not _is_prompt(turn)]
    latest, group, offers = _latest_exchange(talk), 0, []
    for at, turn in enumerate(talk):
        group += turn.role is Role.USER
        offers.append(_Offer(_item(RECENT, turn, count), group, must=at >= latest))
    return [_Offer(_item(SYSTEM, turn, count), 0, must=True) for turn in prompts], offers


def _is_prompt(turn: BufferedTurn) -> bool:
    return turn.pinned and turn.role is Role.SYSTEM


def _item(section: str, source: Piece | BufferedTurn, count: TokenCounter) -> ContextItem:
    item = ContextItem(
        section=section,
        content=source.content,
        role=source.role,
        tokens=0,
        occurred_at=source.occurred_at,
        author=source.author,
        memory_id=source.memory_id,
        source=source.source if isinstance(source, Piece) else RECENT_SOURCES.get(source.role),
    )
    return _counted(item, count)


def _counted(item: ContextItem, count: TokenCounter) -> ContextItem:
    line = Context(items=(item,), left_out=(), tokens=0, token_budget=0).render()
    return replace(item, tokens=count(line) + 1)


def _cut(item: ContextItem, room: int, count: TokenCounter) -> ContextItem | None:
    """Return `item` with the longest beginning of its content that fits, or None when not one character does."""
    shortest, longest, best = 1, len(item.content), None
    while shortest <= longest:
        middle = (shortest + longest) // 2
        tried = _counted(replace(item, content=item.content[:middle]), count)
        if tried.tokens <= room:
            best, shortest = tried, middle + 1
        else:
            longest = middle - 1
    return best


class _Packer:
    """Takes offers by their position until the room is used up."""

    def __init__(self, offers: list[_Offer], token_budget: int, count: TokenCounter) -> None:
        self._offers = offers
        self._budget = token_budget
        self._room = token_budget
        self._count = count
        self._taken: dict[int, ContextItem] = {}
        self._repeats: dict[int, str] = {}
        self._sections: dict[str | None, str] = {}

    def take_musts(self) -> None:
        """Take the system prompts and the latest exchange, or what of them there is room for."""
        musts = [at for at, offer in enumerate(self._offers) if offer.must]
        if self._cost(musts) <= self._room:
            self._fill([musts], self._room)
            return
        system = [at for at in musts if self._offers[at].item.section == SYSTEM]
        latest = musts[len(system) :]
        foothold = min(self._budget // 8, self._cost(latest[-1:]))
        for at in system:
            self._take_or_cut(at, self._room - foothold)
        for at in latest[-1:]:
            self._take_or_cut(at, self._room)
        self._fill([[at] for at in (*latest[:-1][:1], *reversed(latest[1:-1]))], self._room)

    def take_rest(self) -> None:
        """Fill summary and recent up to their shares, then recalled, then recent and summary with what is left."""
        self._fill([[at] for at in self._open(SUMMARY)], self._room // 4)
        wanted = self._cost(self._open(RECALLED))
        sure = min(wanted, self._room // 2)
        self._fill(self._exchanges(), self._room - sure)
        for at in self._open(RECALLED):
            if not self._is_repeat(at):
                self._fill([[at]], self._room)
        self._fill(self._exchanges(), self._room)
        self._fill([[at] for at in self._open(SUMMARY)], self._room)

    def context(self) -> Context:
        """Return what was taken and what was left out."""
        left_out = [self._left_out(at) for at in range(len(self._offers))]
        return Context(
            items=tuple(self._taken[at] for at in sorted(self._taken)),
            left_out=tuple(entry for entry in left_out if entry is not None),
            tokens=self._budget - self._room,
            token_budget=self._budget,
        )

    def _left_out(self, at: int) -> LeftOut | None:
        whole, taken = self._offers[at].item, self._taken.get(at)
        if taken is not None and taken.content == whole.content:
            return None
        lost = max(0, whole.tokens - (taken.tokens if taken else 0))
        reason = CUT if taken else self._repeats.get(at, OVER_BUDGET)
        return LeftOut(section=whole.section, memory_id=whole.memory_id, tokens=lost, reason=reason)

    def _cost(self, positions: Sequence[int]) -> int:
        return sum(self._offers[at].item.tokens for at in positions)

    def _open(self, section: str) -> list[int]:
        """Return what of a section may still be taken."""
        return [
            at
            for at, offer in enumerate(self._offers)
            if offer.item.section == section
            and not offer.must
            and at not in self._taken
            and not self._is_repeat(at)
        ]

    def _is_repeat(self, at: int) -> bool:
        """Tell, and note, whether a recalled memory or a turn's memory was taken in the other place already."""
        item = self._offers[at].item
        there = self._sections.get(item.memory_id) if item.memory_id is not None else None
        if there is None or at in self._taken or (item.section == RECENT and there != RECALLED):
            return False
        self._repeats[at] = IN_RECALLED if there == RECALLED else IN_RECENT
        return True

    def _exchanges(self) -> list[list[int]]:
        """Return what of the talk may still be taken by exchange, newest first."""
        groups: dict[int, list[int]] = {}
        for at in reversed(self._open(RECENT)):
            groups.setdefault(self._offers[at].group, []).append(at)
        return list(groups.values())

    def _fill(self, groups: Sequence[Sequence[int]], room: int) -> None:
        """Take each group that fits whole."""
        for group in groups:
            cost = self._cost(group)
            if cost <= room:
                room -= cost
                for at in group:
                    self._take(at, self._offers[at].item)

    def _take(self, at: int, item: ContextItem) -> None:
        self._taken[at] = item
        self._room -= item.tokens
        self._sections[item.memory_id] = item.section

    def _take_or_cut(self, at: int, room: int) -> None:
        item = self._offers[at].item
        fitting = item if item.tokens <= room else _cut(item, room, self._count)
        if fitting is not None:
            self._take(at, fitting)
