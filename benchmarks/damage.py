"""A small store with something of everything in it, what it answers, and how damaged answers are judged."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from tiered_memory import TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import TieredMemoryError
from tiered_memory.metrics import CorruptionDetected, RecordingObserver
from tiered_memory.model import Explanation
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

PURPOSE, SECOND = "personalization", "service_improvement"
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
ASKED_AT = START + timedelta(days=40)
USERS = ("alice", "bob", "carol")
SESSION = "s1"
QUESTIONS = ("where does my sister live", "the report that is due", "cat")
SAID = (
    ("My sister Ines moved to Porto to open a bakery.", 0.9),
    ("I adopted a grey cat called Pixel from the shelter.", 0.8),
    ("The quarterly report is due on Friday at noon.", 0.7),
    ("I am allergic to peanuts and carry a pen for it.", 1.0),
    ("We decided to ship the second release in May.", 0.85),
    ("My locker at the gym has the number forty-two.", 0.6),
)
FAINT = "It rained a little in the morning."

Question: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was answered with a typed error of this class."""

    error: str


@dataclass(frozen=True, slots=True)
class Untyped:
    """A call that ended in an exception which is none of the library's."""

    error: str


@dataclass(slots=True)
class Answers:
    """What a store said: an answer to each question, the ids it names as damaged, and how much it counted."""

    said: dict[Question, Any] = field(default_factory=dict)
    damaged: dict[str, frozenset[str]] = field(default_factory=dict)
    counted: int = 0


class Observed(RecordingObserver):
    """Hears of every fact and counts the damage among them."""

    @property
    def damage(self) -> int:
        """How often damage was reported."""
        return len(self.of(CorruptionDetected))


EMBEDDER = StaticEmbedder()


@asynccontextmanager
async def opened(
    folder: Path, moment: datetime, redis_url: str = "local"
) -> AsyncIterator[tuple[TieredMemory, Observed, ManualClock]]:
    """Open a store whose clock stands at `moment` and in which nothing happens by itself."""
    settings = load_settings(data_dir=folder, background=False, redis_url=redis_url, ballast_mib=0)
    observer, clock = Observed(), ManualClock(moment)
    async with TieredMemory.open(settings, clock=clock, observer=observer, embedder=EMBEDDER) as memory:
        yield memory, observer, clock


async def build(folder: Path, image: Path, *, crashed: bool, redis_url: str = "local") -> None:
    """Fill a store in `folder` and leave a copy in `image`: as a killed process leaves it, or a closed one."""
    async with opened(folder, START, redis_url) as (memory, _, clock):
        for user in USERS:
            await _tell(memory.user(user), clock)
        await memory.drain()
        await memory.user("gone").consent.grant(PURPOSE, notice="n1")
        await memory.user("gone").add("to be erased", importance=0.9)
        await memory.user("gone").erase(reason="request")
        clock.set(ASKED_AT - timedelta(minutes=30))
        await memory.forget()
        await memory.stats()
        await _checkpoint(memory)
        await _tell_more(memory)
        if crashed:
            shutil.copytree(folder, image, ignore=shutil.ignore_patterns("owner.*"))
    if not crashed:
        shutil.copytree(folder, image, ignore=shutil.ignore_patterns("owner.*"))


async def _tell(user: User, clock: ManualClock) -> None:
    await user.consent.grant(PURPOSE, notice="n1", explicit=True, details={"form": "paper"})
    for text, importance in SAID:
        clock.advance(60.0)
        await user.add(text, session=SESSION, importance=importance, metadata={"n": importance})
    await user.add(FAINT, importance=0.25)


async def _tell_more(memory: TieredMemory) -> None:
    """What is done last rests in the log and the journal only."""
    for name in USERS:
        user = memory.user(name)
        late = await user.add(
            "Late news: the bakery in Porto opens in June.", session=SESSION, importance=0.9
        )
        doomed = (await user.list(limit=2))[1]
        await user.delete(doomed.id)
        await user.pin(late.id)
        await user.used([late.id])
        await user.add("hm, well", session=SESSION, importance=0.0)
    await memory._parts().sweeper.write_uses()  # noqa: SLF001 - what runs in the background otherwise
    await memory._parts().sessions.snapshot_all()  # noqa: SLF001


async def _checkpoint(memory: TieredMemory) -> None:
    await memory._parts().core.state.checkpoint()  # noqa: SLF001


# --- asking --------------------------------------------------------------------------------------------------


async def ask(folder: Path, redis_url: str = "local") -> Answers:
    """Open the store and ask it everything; what cannot be opened answers nothing but why."""
    answers = Answers()
    try:
        async with opened(folder, ASKED_AT, redis_url) as (memory, observer, _):
            try:
                await _ask_all(memory, answers)
            finally:
                answers.counted = observer.damage
    except TieredMemoryError as error:
        answers.said["open",] = Refused(type(error).__name__)
    except Exception as error:  # noqa: BLE001 - what is not typed is what this looks for
        answers.said["open",] = Untyped(f"{type(error).__name__}: {error}"[:200])
    return answers


async def _ask_all(memory: TieredMemory, answers: Answers) -> None:
    for name in USERS:
        await _ask_user(memory, name, answers)
    await _put(answers, ("ledger",), lambda: _ledger(memory))
    await _put(answers, ("stats",), lambda: _stats(memory))


async def _ask_user(memory: TieredMemory, name: str, answers: Answers) -> None:
    user = memory.user(name)
    await _put(answers, (name, "list"), lambda: _listed(user))
    await _put(answers, (name, "forgotten"), lambda: _forgotten(user))
    await _put(answers, (name, "consents"), lambda: _consents(user))
    for question in QUESTIONS:
        await _put(answers, (name, "search", question), partial(_found, user, question))
    listed = answers.said[name, "list"]
    for one in listed if isinstance(listed, dict) else ():
        await _put(answers, (name, "explain", one), partial(_explained, user, one))
    await _put(answers, (name, "context"), lambda: _context(user))
    try:
        answers.damaged[name] = frozenset(await user.damaged())
    except TieredMemoryError:
        answers.damaged[name] = frozenset()


async def _put(answers: Answers, question: Question, call: Callable[[], Awaitable[Any]]) -> None:
    try:
        answers.said[question] = await call()
    except TieredMemoryError as error:
        answers.said[question] = Refused(type(error).__name__)
    except Exception as error:  # noqa: BLE001 - what is not typed is what this looks for
        answers.said[question] = Untyped(f"{type(error).__name__}: {error}"[:200])


async def _listed(user: User) -> dict[str, str]:
    return {one.id: repr(one) for one in await user.list(limit=1000)}


async def _forgotten(user: User) -> dict[str, str]:
    return {one.id: repr(one) for one in await user.forgotten()}


async def _consents(user: User) -> dict[str, str]:
    return {purpose: repr(event) for purpose, event in (await user.consent.current()).items()}


async def _found(user: User, question: str) -> dict[str, str]:
    hits = await user.search(question, limit=20)
    return {hit.memory.id: f"{hit.score:.6f} {hit.strength:.9f} {hit.memory!r}" for hit in hits}


async def _explained(user: User, memory_id: str) -> str:
    explanation: Explanation = await user.explain(memory_id)
    return repr(explanation)


async def _context(user: User) -> list[str]:
    packed = await user.context(QUESTIONS[0], session=SESSION)
    return sorted(item.content for item in packed.items)


async def _ledger(memory: TieredMemory) -> list[tuple[int, bytes, bytes]]:
    return list(await memory._parts().core.state.read(c.Leaves()))  # noqa: SLF001 - no public reader yet


async def _stats(memory: TieredMemory) -> str:
    stats = await memory.stats()
    return repr((stats.memories, stats.subjects, sorted(stats.by_state.items()), stats.forecast))


# --- judging -------------------------------------------------------------------------------------------------


IDENTICAL, REFUSED, COUNTED, WRONG, UNTYPED = "identical", "refused", "counted", "silent_wrong", "untyped"


def judge(truth: Answers, given: Answers) -> tuple[str, str]:
    """Return the verdict over what a damaged store said, and the question that decided it.

    Identical answers and typed errors are right; a loss is, when it was counted and each lost memory is named.
    """
    opening = given.said.get(("open",))
    if opening is not None:
        return (UNTYPED, str(opening)) if isinstance(opening, Untyped) else (REFUSED, str(opening))
    verdict, place = IDENTICAL, ""
    for question, right in truth.said.items():
        found, where = _judge_one(truth, given, question, right), str(question)
        if found in {WRONG, UNTYPED}:
            return found, f"{where}: {given.said.get(question)!s:.300}"
        if found != IDENTICAL and verdict != COUNTED:
            verdict, place = found, where
    return verdict, place


def _judge_one(truth: Answers, given: Answers, question: Question, right: Any) -> str:
    if question not in given.said:
        return _unasked(given, question)
    answer = given.said[question]
    if isinstance(answer, Untyped):
        return UNTYPED
    if isinstance(answer, Refused):
        return REFUSED
    if answer == right:
        return IDENTICAL
    lost = given.damaged.get(question[0], frozenset())
    return COUNTED if given.counted and _is_loss(truth, question, answer, lost) else WRONG


def _unasked(given: Answers, question: Question) -> str:
    """Nobody asks about a memory that is not listed: that it is missing was judged there."""
    listed = given.said.get((question[0], "list"))
    return REFUSED if isinstance(listed, Refused) else COUNTED


def _is_loss(truth: Answers, question: Question, answer: Any, lost: frozenset[str]) -> bool:
    right = truth.said[question]
    match question[1:]:
        case ("list" | "forgotten",):
            kept = all(right.get(one) == what for one, what in answer.items())
            return kept and set(right) - set(answer) <= lost | _volatile(truth, question[0])
        case ("search", _):
            return bool(lost or _volatile(truth, question[0])) and _all_true(
                truth.said[question[0], "list"], answer
            )
        case ("context",):
            return set(answer) <= set(right)
        case _:
            return False


def _volatile(truth: Answers, user: str) -> frozenset[str]:
    """Return the ids of what lives in hot alone: nobody but hot could name it once it is lost."""
    explained = {
        question[2]: said for question, said in truth.said.items() if question[:2] == (user, "explain")
    }
    return frozenset(one for one, said in explained.items() if "state='volatile'" in str(said))


def _all_true(memories: Mapping[str, str], hits: Mapping[str, str]) -> bool:
    return all(one in memories and said.endswith(memories[one]) for one, said in hits.items())
