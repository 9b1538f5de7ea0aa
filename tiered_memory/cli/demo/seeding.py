"""A store worth looking at: some people's months up to now, lived through the real engines on a clock moved by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from tiered_memory.cli.demo.cast import (
    AMIRA,
    INJECTION,
    JONAS,
    LINES,
    MAYA,
    NOTICE,
    NOTICE_TEXTS,
    PEOPLE,
    SPACE,
    SPACE_LINES,
    TENANT,
    VIKTOR,
    Line,
)
from tiered_memory.cli.demo.source import bundled
from tiered_memory.config import Settings
from tiered_memory.hold_model import HoldScope
from tiered_memory.memory import TieredMemory
from tiered_memory.model import Interaction, Provenance, SourceKind, Subject
from tiered_memory.privacy.sharing import Member, MemberKind
from tiered_memory.testing import ManualClock
from tiered_memory.user import User

PURPOSE = "personalization"
AGENT = "assistant"
WEEK = timedelta(days=7)
LAST_CYCLE = timedelta(days=2)
BEFORE_THE_FIRST_WORD = timedelta(minutes=10)
CONTEXT_BUDGET = 300
USES = (
    (MAYA, "Which food must the daughter never get?"),
    (MAYA, "How should code examples look?"),
    (JONAS, "Which medicine must never be given?"),
    (AMIRA, "How should sources be cited?"),
)
"""What somebody's agent needs once a month: it keeps those memories strong."""
USE_EVERY = timedelta(days=30)

Progress = Callable[[int, int, datetime], None]
Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the store holds of one person."""

    person: Subject
    memories: int
    forgotten: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """What was put into the store: how many turns over how many days, how much faded, and what is there now."""

    days: int
    said: int
    faded: int
    people: tuple[Held, ...]
    certificate: str
    """Id of the erasure's certificate."""


@dataclass(slots=True)
class _Story:
    """The story as it goes: everything that happens, each at its moment."""

    memory: TieredMemory
    clock: ManualClock
    end: datetime
    events: list[tuple[datetime, Act]] = field(default_factory=list)
    said: int = 0
    faded: int = 0
    certificate: str = ""
    sessions: dict[Subject, str] = field(default_factory=dict)

    def at(self, before: float, act: Act) -> None:
        """Let something happen, that many days before the end."""
        self.events.append((self.end - timedelta(days=before), act))

    def user(self, subject: Subject) -> User:
        """Return a person's face."""
        return self.memory.user(subject.user, subject.tenant)


async def seed(settings: Settings, now: datetime, progress: Progress) -> Seeded:
    """Fill the new store of `settings` with a story that ends `now`; `progress` hears of each step.

    Its memory is opened and closed here; hot is in this process meanwhile, and nothing runs by itself.
    """
    alone = settings.model_copy(update={"background": False, "redis_url": "local", "owner_socket": False})
    turns = list(_turns(now))
    start = min(moment for moment, _ in turns) - BEFORE_THE_FIRST_WORD
    clock = ManualClock(start)
    async with TieredMemory.open(alone, clock=clock) as memory:
        story = _Story(memory, clock, now)
        _write(story, turns)
        await _live(story, progress)
        return await _told(story, start)


async def _live(story: _Story, progress: Progress) -> None:
    events = sorted(story.events, key=lambda event: event[0])
    for done, (moment, act) in enumerate(events, 1):
        story.clock.advance(max(timedelta(), moment - story.clock.now()))
        await act()
        progress(done, len(events), moment)
    story.clock.advance(max(timedelta(), story.end - story.clock.now()))
    await story.memory.drain()
    await story.memory.ledger.checkpoint()


async def _told(story: _Story, start: datetime) -> Seeded:
    held = [await _held(story, one) for one in PEOPLE]
    return Seeded(
        days=(story.end - start).days,
        said=story.said,
        faded=story.faded,
        people=tuple(held),
        certificate=story.certificate,
    )


async def _held(story: _Story, person: Subject) -> Held:
    user = story.user(person)
    return Held(
        person=person,
        memories=len(await user.list(limit=10_000)),
        forgotten=len(await user.forgotten()),
        quarantined=len(await user.quarantine.list()),
    )


def _turns(now: datetime) -> Iterator[tuple[datetime, Interaction]]:
    """Yield the bundled turns, moved by whole weeks so that the last one was said within the week that ends `now`."""
    talk = bundled()
    moved = (now - max(talk.times)) // WEEK * WEEK
    for turn in talk.turns:
        assert turn.occurred_at is not None
        when = turn.occurred_at + moved
        yield when, replace(turn, occurred_at=when, agent=AGENT)


# --- what happens --------------------------------------------------------------------------------------------


def _write(story: _Story, turns: list[tuple[datetime, Interaction]]) -> None:
    """Write down everything that happens, in any order."""
    first = turns[0][0] - BEFORE_THE_FIRST_WORD
    story.events.append((first, partial(_publish, story, "1")))
    story.events.append((first, partial(_consent, story, MAYA)))
    story.events.extend((when, partial(_say, story, MAYA, turn)) for when, turn in turns)
    _others(story)
    _seasons(story, first)
    _single_events(story)


def _others(story: _Story) -> None:
    for person, lines in LINES.items():
        story.at(lines[0].before + 0.01, partial(_consent, story, person))
        for number, line in enumerate(lines):
            turn = _interaction(line, story.end, f"{person.user}-{number // 3 + 1}")
            story.at(line.before, partial(_say, story, person, turn))


def _seasons(story: _Story, first: datetime) -> None:
    """Forgetting once a week, the last time so lately that what went can still be restored; uses once a month."""
    moment = story.end - LAST_CYCLE
    while moment > first:
        story.events.append((moment, partial(_forget, story)))
        moment -= WEEK
    for person, question in USES:
        moment = story.end - USE_EVERY / 2
        while moment > first:
            story.events.append((moment, partial(_use, story, person, question)))
            moment -= USE_EVERY


def _single_events(story: _Story) -> None:
    story.at(90, partial(_pin, story, "daughter Elsa allergic to hazelnuts"))
    story.at(60, partial(_publish, story, "2"))
    story.at(55, partial(_share, story))
    story.at(INJECTION.before, partial(_inject, story))
    story.at(62, partial(_erase, story))
    story.at(44, partial(_decide, story))
    story.at(40, partial(_hold, story))
    story.at(12, partial(_correct, story))
    story.at(6, partial(_ask, story))
    story.at(5, partial(_complain, story))


def _interaction(line: Line, end: datetime, session: str) -> Interaction:
    return Interaction(
        content=line.content,
        session=session,
        agent=AGENT,
        occurred_at=end - timedelta(days=line.before),
        kind=line.kind,
        sensitivity=line.sensitivity,
        importance=line.importance,
    )


async def _publish(story: _Story, version: str) -> None:
    notices, text = story.memory.notices, NOTICE_TEXTS[version]
    stated = {"purposes": [PURPOSE], "contact": "privacy@example.com"}
    await notices.publish(NOTICE, version=version, language="en", text=text, **stated)  # type: ignore[arg-type]


async def _consent(story: _Story, person: Subject) -> None:
    await story.user(person).consent.grant(PURPOSE, notice=NOTICE, explicit=True)


async def _say(story: _Story, person: Subject, turn: Interaction) -> None:
    """Say something; at the start of a session the person's agent asks for what it should know."""
    user = story.user(person)
    if turn.session is not None and story.sessions.get(person) != turn.session:
        story.sessions[person] = turn.session
        await user.context(turn.content, session=turn.session, token_budget=CONTEXT_BUDGET)
    await user.add_many([turn])
    story.said += 1


async def _forget(story: _Story) -> None:
    report = await story.memory.forget()
    story.faded += len(report.forgotten)
    await story.memory.drain()


async def _use(story: _Story, person: Subject, question: str) -> None:
    found = await story.user(person).search(question, limit=1)
    await story.user(person).used([one.memory.id for one in found])


async def _found(story: _Story, person: Subject, question: str) -> str:
    return (await story.user(person).search(question, limit=1))[0].memory.id


async def _pin(story: _Story, question: str) -> None:
    await story.user(MAYA).pin(await _found(story, MAYA, question))


async def _correct(story: _Story) -> None:
    user = story.user(MAYA)
    old = (await user.search("garden for Knut, Elsa gets her own room, moving van", limit=1))[0].memory
    wording = old.content.replace("own room", "own room under the roof")
    await user.update(old.id, wording + " Corrected: it came at 09:00.", reason="said so on the phone")


async def _inject(story: _Story) -> None:
    turn = _interaction(INJECTION, story.end, "inbox-import")
    source = Provenance(source=SourceKind.DOCUMENT, channel="inbox")
    await story.user(MAYA).add_many([replace(turn, provenance=source)])
    story.said += 1


async def _share(story: _Story) -> None:
    space = story.memory.shared(SPACE, TENANT, user=MAYA.user)
    await space.create(notice=NOTICE, purpose=PURPOSE)
    await space.grant_access(Member(JONAS.user), ["read", "write"])
    await space.grant_access(Member(AGENT, MemberKind.AGENT), ["read"])
    for line in SPACE_LINES:
        await space.add(line, importance=0.8)


async def _erase(story: _Story) -> None:
    viktor = story.user(VIKTOR)
    await viktor.requests.open("erasure", channel="email")
    story.certificate = (await viktor.erase(reason="asked for it by email")).id


async def _decide(story: _Story) -> None:
    await story.user(JONAS).decisions.record(
        "Pre-check of a loan for a second oven",
        memory_ids=[await _found(story, JONAS, "loan for a second oven")],
        effect="legal",
        logic="Amount against the turnover that was stated; no statement of it was found.",
        outcome="refused",
    )


async def _hold(story: _Story) -> None:
    await story.memory.holds.place(
        "loan-complaint",
        scope=HoldScope(
            tenant=TENANT, user=JONAS.user, memory_ids=frozenset({await _found(story, JONAS, "loan")})
        ),
        owner="legal@example.com",
        reason="A complaint about the loan's refusal is being dealt with.",
        review_at=story.end + timedelta(days=20),
    )


async def _ask(story: _Story) -> None:
    await story.user(AMIRA).requests.open("access", channel="email", note="A copy of everything, please.")


async def _complain(story: _Story) -> None:
    jonas = story.user(JONAS)
    refused = (await jonas.decisions.list())[0]
    await jonas.decisions.request_review(refused.id, reason="Nobody asked me about my turnover.")
