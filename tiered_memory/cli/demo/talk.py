"""The acts in which memories come in and are asked for."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from tiered_memory.cli.demo.facts import (
    BeforeConsent,
    Decision,
    Opening,
    Packed,
    Piece,
    Search,
    Searches,
    Streaming,
    Used,
)
from tiered_memory.cli.demo.source import Question
from tiered_memory.cli.demo.stage import Stage
from tiered_memory.clock import stopwatch
from tiered_memory.errors import ConsentRequiredError
from tiered_memory.model import Durability, Explanation, Interaction, Memory, Receipt, TierName

UNASKED = "Please remember that I like my answers short."
NOTICE = "privacy-notice-1"
SEED_LINES = {
    "I'm getting a database timeout error in my app": (0.8, True),
    "Let's debug this step by step": (0.7, False),
    "I prefer concise code examples over long explanations": (0.9, True),
    "I'll keep that in mind for future responses": (0.5, False),
    "What's the weather like?": (0.8, True),
}
"""The five lines of the seed's hybrid memory, with the importance it gave them and whether it kept them for good."""
SAMPLE = 12
CYCLE = timedelta(days=7)
MOST_CYCLES = 120
SESSION_BUDGET = 300
CONTEXT_BUDGET = 280
HITS = 3
USED_SHOWN = 2
LEFT_OUT_SHOWN = 4
PAGE = 10_000
DAY, DAY_US = timedelta(days=1), 86_400_000_000


async def opening(stage: Stage, seconds: float) -> Opening:
    """Say what was started."""
    settings, talk = stage.where.settings, stage.conversation
    return Opening(
        seconds=seconds,
        conversation=talk.name,
        turns=len(talk.turns),
        first=min(talk.times),
        last=max(talk.times),
        user=talk.user,
        data_dir=str(settings.data_dir),
        temporary=stage.where.temporary,
        hot=stage.where.hot,
        state="SQLite, state.db: journal, keys, strengths, consents, audit",
        cold="LanceDB, cold/: one table per user, every row sealed",
        embedder=stage.embedder.name,
        dimensions=stage.embedder.dimensions,
        policy=stage.policy.version,
        warnings=tuple(stage.warnings),
    )


async def before_consent(stage: Stage) -> BeforeConsent:
    """Add without a lawful basis, ask for more than that allows, then record consent."""
    receipt = await stage.user.add(UNASKED, session="before-consent")
    refusal = ""
    try:
        await stage.user.add(UNASKED, durability=Durability.JOURNALED)
    except ConsentRequiredError as error:
        refusal = str(error)
    purpose = stage.policy.default_purpose
    await stage.user.consent.grant(purpose, notice=NOTICE)
    return BeforeConsent(
        content=UNASKED,
        receipt=receipt,
        refusal=refusal,
        purpose=purpose,
        notice=NOTICE,
        consented_at=stage.clock.now(),
    )


# --- the conversation comes in -------------------------------------------------------------------------------


class _Cycles:
    """Forgetting, once a virtual week; less often in a conversation over many years."""

    def __init__(self, stage: Stage) -> None:
        times = stage.conversation.times
        self._stage = stage
        self._every = max(CYCLE, (max(times) - min(times)) / MOST_CYCLES)
        self._next = stage.clock.now() + self._every
        self.done = self.forgotten = self.removed = 0

    async def until(self, turn: Interaction) -> None:
        """Run the cycles that fall before a turn, then move the clock to it."""
        assert turn.occurred_at is not None
        while self._next <= turn.occurred_at:
            self._stage.advance_to(self._next)
            report = await self._stage.memory.forget()
            self.done += 1
            self.forgotten += len(report.forgotten)
            self.removed += len(report.removed)
            self._next += self._every
        self._stage.advance_to(turn.occurred_at)


async def streaming(stage: Stage) -> Streaming:
    """Let every turn arrive at its own time; at the start of each session the agent asks for a context."""
    begun, cycles, contexts = stopwatch(), _Cycles(stage), 0
    session: str | None = None
    for done, turn in enumerate(stage.conversation.turns, 1):
        await cycles.until(turn)
        if turn.session is not None and turn.session != session:
            session = turn.session
            await stage.user.context(turn.content, session=session, token_budget=SESSION_BUDGET)
            contexts += 1
        stage.said.append((turn, (await stage.user.add_many([turn]))[0]))
        stage.watch.progress(done, len(stage.conversation.turns), stage.clock.now())
    await stage.memory.drain()
    receipts = [receipt for _, receipt in stage.said]
    return Streaming(
        turns=len(receipts),
        seconds=stopwatch() - begun,
        virtual_days=stage.virtual_days,
        by_tier=Counter(deepest(receipt) for receipt in receipts),
        by_durability=Counter(receipt.durability.value for receipt in receipts),
        decisions=tuple(_sample(stage.said)),
        forget_cycles=cycles.done,
        forgotten=cycles.forgotten,
        removed=cycles.removed,
        contexts=contexts,
        used=await _used(stage),
        held=len(await stage.held()),
    )


def deepest(receipt: Receipt) -> str:
    """Return the deepest tier an interaction reached."""
    found = [tier for tier in TierName if tier in receipt.tiers]
    return found[-1].value if found else "none"


def _sample(said: list[tuple[Interaction, Receipt]]) -> list[Decision]:
    """Return the seed's lines where they occur, and beside them turns from all over the scale, in order."""
    chosen = {at for at, (turn, _) in enumerate(said) if _seed(turn.content)}
    ranked = sorted(range(len(said)), key=lambda at: (said[at][1].importance, at))
    room = max(0, min(SAMPLE, len(said)) - len(chosen))
    spread = [ranked[round(step * (len(ranked) - 1) / max(1, room - 1))] for step in range(room)]
    return [_decision(*said[at]) for at in sorted(chosen | set(spread))]


def _seed(content: str) -> tuple[float, bool] | None:
    return next((seed for line, seed in SEED_LINES.items() if content.startswith(line)), None)


def _decision(turn: Interaction, receipt: Receipt) -> Decision:
    seed = _seed(turn.content)
    return Decision(
        content=turn.content,
        author=turn.author or str(turn.role),
        importance=receipt.importance,
        tier=deepest(receipt),
        reasons=receipt.reasons,
        routing=receipt.routing,
        seed_importance=None if seed is None else seed[0],
        seed_kept=None if seed is None else seed[1],
    )


async def _used(stage: Stage) -> tuple[Used, ...]:
    """Return the used memories whose life was lengthened most."""
    found = [_prolonged(stage, one) for one in await explanations(stage) if one.spaced_uses > 0]
    found.sort(key=lambda one: one.untouched_days - one.lasts_days)
    return tuple(found[:USED_SHOWN])


def _prolonged(stage: Stage, one: Explanation) -> Used:
    untouched = _untouched_days(stage, one.memory)
    return Used(
        content=one.memory.content,
        importance=one.memory.importance,
        spaced_uses=one.spaced_uses,
        lasts_days=untouched if one.forget_at is None else (one.forget_at - one.memory.ingested_at) / DAY,
        untouched_days=untouched,
    )


def _untouched_days(stage: Stage, memory: Memory) -> float:
    """Return how long the memory would have lasted without any use, by the policy's own curve; 0 for ever."""
    from tiered_memory.forgetting.decay import curve_for

    curve = curve_for(stage.policy.decay)
    return (curve.forget_at_us(curve.start(memory.importance, 0)) or 0) / DAY_US


async def explanations(stage: Stage) -> list[Explanation]:
    """Return the explanations of all memories that rest in cold, oldest first."""
    held = await stage.user.list(limit=PAGE)
    found = [await stage.user.explain(one.id) for one in reversed(held)]
    return [one for one in found if one.state == "active"]


# --- it is asked ---------------------------------------------------------------------------------------------


async def searches(stage: Stage) -> Searches:
    """Ask the conversation's questions."""
    return Searches(searches=tuple([await _search(stage, one) for one in stage.conversation.questions]))


async def _search(stage: Stage, question: Question) -> Search:
    begun = stopwatch()
    hits = await stage.user.search(question.text, limit=HITS)
    return Search(
        question=question.text, why=question.why, hits=tuple(hits), milliseconds=(stopwatch() - begun) * 1e3
    )


async def packed(stage: Stage) -> Packed:
    """Pack a context for a task, in the session that was the last."""
    task, session = stage.conversation.task.text, stage.conversation.turns[-1].session
    begun = stopwatch()
    context = await stage.user.context(task, session=session, token_budget=CONTEXT_BUDGET)
    seconds = stopwatch() - begun
    contents = {one.id: one.content for one in await stage.held()}
    left = [
        Piece(
            section=one.section,
            tokens=one.tokens,
            content=contents.get(one.memory_id or "", ""),
            reason=one.reason,
        )
        for one in context.left_out
    ]
    return Packed(
        question=task,
        session=session,
        tokens=context.tokens,
        token_budget=context.token_budget,
        pieces=tuple(Piece(section=i.section, tokens=i.tokens, content=i.content) for i in context.items),
        left_out=tuple([piece for piece in left if piece.content][:LEFT_OUT_SHOWN]),
        left_out_by_reason=Counter(f"{piece.section}: {piece.reason}" for piece in left),
        milliseconds=seconds * 1e3,
    )
