"""Hostile names and questions: does anybody ever see what is another's, or does a name become a path?

Pairs of subjects are named so that a careless join of tenant and user, a careless normalisation, a careless pattern,
query or path would take one for the other. Each has a marker of its own; each asks for the other's in every way there
is. Whatever comes back with a marker that is not the asker's is a hit.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.store import NOTICE, PURPOSE, fresh_folder
from benchmarks.suite import Progress
from tiered_memory import TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.model import Filter
from tiered_memory.tiers.redis_server import find_redis_server

TELLING = 8
"""Shorter words turn up in random names by chance."""
OPAQUE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
BASES = ("alice", "a", "42", "root", "ΑΒΓ", "straße", "İstanbul", "用户", "\u0061\u0308", "null", "0x1")
TWISTS: Sequence[Callable[[str, int], tuple[str, str]]] = (
    lambda name, n: (f"{name}{n}", f"{name}{n} "),
    lambda name, n: (f"{name}{n}", f"{name}{n}".upper()),
    lambda name, n: (f"{name}{n}", f"{name}{n}".swapcase() + "\u200b"),
    lambda name, n: (f"../{name}{n}", f"..\\{name}{n}"),
    lambda name, n: (f"../../../../tmp/{name}{n}", f"/tmp/{name}{n}"),  # noqa: S108 - a name, not a path
    lambda name, n: (f"{name}{n}*", f"{name}{n}?"),
    lambda name, n: (f"{name}{n}:{{x}}", f"{name}{n}:{{y}}"),
    lambda name, n: (f"{name}{n}' OR '1'='1", f'{name}{n}" OR "1"="1'),
    lambda name, n: (f"{name}{n}'; DROP TABLE memories; --", f"{name}{n}%"),
    lambda name, n: (f"{name}{n}_", f"{name}{n}%_"),
    lambda name, n: (f"\u00e9{name}{n}", f"e\u0301{name}{n}"),
    lambda name, n: (f"\uff21{name}{n}", f"A{name}{n}"),
    lambda name, n: (f"{name}{n}|b", f"{name}{n}/b"),
    lambda name, n: (f"file://{name}{n}", f"redis://{name}{n}"),
    lambda name, n: (f"CON{name}{n}", f"{name}{n}.lance"),
    lambda name, n: ("." * (n % 9 + 1) + name, "." * (n % 9 + 1) + name + "."),
)


@dataclass(frozen=True, slots=True)
class Named:
    """A subject's name and the marker that only its memories hold."""

    tenant: str
    user: str
    marker: str


@dataclass(slots=True)
class Found:
    """What was tried and what went wrong."""

    subjects: int = 0
    attempts: int = 0
    cross_subject_hits: int = 0
    path_escapes: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Subject:
    named: Named
    user: User
    memory_ids: list[str]


async def try_hostile(subjects: int, attempts: int, seed: int, progress: Progress) -> Found:
    """Make `subjects` (>= 2), and let each of `attempts` be one asking about another in every way there is."""
    chance = random.Random(seed)
    with fresh_folder() as folder:
        data = folder / "inner" / "data"
        redis_url = "private" if find_redis_server() is not None else "local"
        settings = load_settings(data_dir=data, redis_url=redis_url, background=False, active_users_mib=64)
        async with TieredMemory.open(settings) as memory:
            people = await _people(memory, list(pairs(subjects, chance)), progress)
            found = Found(subjects=len(people), attempts=attempts)
            await _check_harness(people)
            await _ask(people, attempts, chance, progress, found)
            await _look_whether_all_is_there(people, found)
        _look_at_paths(folder, data, people, found)
    return found


def pairs(subjects: int, chance: random.Random) -> Iterator[Named]:
    """Give names in pairs that are easily confused; every other pair differs in where tenant and user part."""
    taken = set[tuple[str, str]]()
    for number in count():
        if len(taken) >= subjects:
            return
        marker = f"{chance.getrandbits(64):016x}"
        base = BASES[number % len(BASES)]
        if number % 3 == 0:
            joined, cut = f"{base}{number}:tenant|user", 1 + number % 5
            first, second = (joined[:cut], joined[cut:]), (joined[: cut + 1], joined[cut + 1 :])
        else:
            one, other = TWISTS[number % len(TWISTS)](base, number)
            same_user = number % 2 == 0
            first = (one, "shared") if same_user else ("shared", one)
            second = (other, "shared") if same_user else ("shared", other)
        if first == second or {first, second} & taken:
            continue  # some scripts know no case, some twists change nothing
        taken |= {first, second}
        yield Named(*first, f"marker{marker}a")
        yield Named(*second, f"marker{marker}b")


async def _people(memory: TieredMemory, names: Sequence[Named], progress: Progress) -> list[_Subject]:
    progress.stage("telling hostile names apart", len(names))
    people: list[_Subject] = []
    for named in names:
        user = memory.user(named.user, tenant=named.tenant)
        await user.consent.grant(PURPOSE, notice=NOTICE)
        session = names[len(people) ^ 1].user if len(people) % 4 == 0 else "the session"
        receipts = [
            await user.add(f"the code word is {named.marker}", session=session, importance=0.9),
            await user.add(f"{named.marker} is what I decided on", importance=0.8, agent=named.user),
        ]
        people.append(_Subject(named, user, [one.id for one in receipts]))
        progress.step()
    return people


async def _ask(
    people: Sequence[_Subject], attempts: int, chance: random.Random, progress: Progress, found: Found
) -> None:
    progress.stage("asking for what is another's", attempts)
    for number in range(attempts):
        at = chance.randrange(len(people))
        victim = people[at ^ 1] if chance.random() < 0.7 else people[chance.randrange(len(people))]
        asker = people[at]
        if victim is not asker:
            await _attempt(asker, victim, chance, number, found)
        progress.step()


async def _check_harness(people: Sequence[_Subject]) -> None:
    """Its zero proves nothing unless it sees what there is to see."""
    one, other = people[0], people[1]
    shown = str(await _contents(one.user.search(f"the code word {one.named.marker}", limit=20)))
    if not _shows_another(shown, other.named.marker, one):
        raise RuntimeError("the search for foreign markers finds nothing where there is something")


async def _look_whether_all_is_there(people: Sequence[_Subject], found: Found) -> None:
    """What is another's cannot be deleted either."""
    for one in people:
        lost = len(one.memory_ids) - len(await one.user.list(limit=10))
        found.cross_subject_hits += max(0, lost)


async def _attempt(
    asker: _Subject, victim: _Subject, chance: random.Random, number: int, found: Found
) -> None:
    ways = _ways(asker.user, victim, chance)
    name, call = ways[number % len(ways)]
    try:
        answer = await call()
    except (NotFoundError, InvalidInputError):
        return
    if _shows_another(str(answer), asker.named.marker, victim):
        found.cross_subject_hits += 1
        found.examples.append(name)


def _shows_another(shown: str, own: str, victim: _Subject) -> bool:
    foreign = shown.replace(own, "")
    return "marker" in foreign or any(one in foreign for one in victim.memory_ids)


def _ways(
    user: User, victim: _Subject, chance: random.Random
) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
    named, theirs = victim.named, chance.choice(victim.memory_ids)
    hostile = f"{named.user}' OR subject != '' --"
    everything = Filter(include_superseded=True)
    by_name = Filter(sessions=frozenset({named.user, "the session"}), agents=frozenset({named.user}))
    return [
        ("search", lambda: _contents(user.search(f"the code word {named.marker}", limit=20))),
        ("search by a query", lambda: _contents(user.search(hostile, limit=20, where=everything))),
        ("context", lambda: user.context(f"what is {named.marker}?", session=named.user)),
        ("list", lambda: user.list(where=by_name, limit=50)),
        ("get", lambda: user.get(theirs)),
        ("history", lambda: user.history(theirs)),
        ("explain", lambda: user.explain(theirs)),
        ("delete", lambda: user.delete(theirs)),
        ("pin", lambda: user.pin(theirs)),
        ("restore", lambda: user.restore(theirs)),
        ("path as an id", lambda: user.get(f"../../{theirs}")),
        ("forgotten", user.forgotten),
    ]


async def _contents(hits: Awaitable[Sequence[Any]]) -> list[Any]:
    return [(one.memory, one.conflicts_with) for one in await hits]


def _look_at_paths(folder: Path, data: Path, people: Sequence[_Subject], found: Found) -> None:
    """Nothing lies outside the data directory, and no name inside it is or holds anybody's name."""
    outside = [path for path in folder.rglob("*") if not path.is_relative_to(data) and path.is_file()]
    words = {word for one in people for word in (one.named.tenant, one.named.user) if len(word) >= TELLING}
    named = [
        path
        for path in data.rglob("*")
        if set(path.name.lower()) - OPAQUE or any(word in path.name for word in words)
    ]
    found.path_escapes = len(outside) + len(named)
    found.examples += [path.name for path in (*outside, *named)[:3]]
