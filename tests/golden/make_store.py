"""Makes the golden store: a data directory as a killed process of this release leaves it, and what it answers.

`python -m tests.golden.make_store` writes `store_v1/` and `store_v1.json` where they are missing. Once landed, neither
is ever made again: every later release must open the directory, answer the same, and go on from there.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tiered_memory import TieredMemory, User
from tiered_memory.clock import Entropy, SeededEntropy
from tiered_memory.config import load_settings
from tiered_memory.privacy.merkle import leaf_hash, tree_root
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

FOLDER = Path(__file__).parent
STORE, ANSWERS = FOLDER / "store_v1", FOLDER / "store_v1.json"
POLICY = FOLDER / "store_v1_policy.toml"
BEGUN = datetime(2026, 3, 1, 9, tzinfo=UTC)
FORGOTTEN_AT = BEGUN + timedelta(days=40)
ASKED_AT = FORGOTTEN_AT + timedelta(minutes=30)
PURPOSE = "personalization"
TENANT, SESSION = "acme", "s1"
NOT_STORED = {"owner.lock", "owner.pid", "owner.sock", "state.db-shm"}
"""Files of the process that owns a directory, and SQLite's index of its log, which is made anew."""
SAID = (
    ("My sister Ines moved to Porto to open a bakery.", 0.9),
    ("I adopted a grey cat called Pixel from the shelter.", 0.8),
    ("The quarterly report is due on Friday at noon.", 0.7),
    ("私はピーナッツのアレルギーがあります。", 1.0),
)
FAINT = "It rained a little in the morning."
LATE = "Late news: the bakery in Porto opens in June."
REPEATED = "Please call me Maya from now on."
LAST = "My flight leaves from gate seven."
SMALL_TALK = "hm, well"
QUESTIONS = {"alice": "where did my sister move", "bob": "which cat did I adopt", "dora": ""}
USERS = tuple(QUESTIONS)
ERASED = "carol"


@asynccontextmanager
async def opened(
    folder: Path, moment: datetime, entropy: Entropy | None = None
) -> AsyncIterator[TieredMemory]:
    """Open a store whose clock stands at `moment` and in which nothing happens by itself."""
    settings = load_settings(
        data_dir=folder, policy=str(POLICY), background=False, redis_url="local", ballast_mib=0
    )
    async with TieredMemory.open(settings, clock=ManualClock(moment), entropy=entropy) as memory:
        yield memory


# --- writing -----------------------------------------------------------------------------------------------------


async def fill(work: Path, image: Path) -> dict[str, Any]:
    """Fill a store in `work`, copy it to `image` as a kill leaves it, and return its ids by what they are."""
    async with opened(work, BEGUN, SeededEntropy(1)) as memory:
        clock: Any = parts(memory).core.clock
        removed = await _begin(memory, clock)
        clock.set(FORGOTTEN_AT)
        await memory.forget()
        for user in USERS[:2]:  # so that each table is one file, whatever it went through
            ref = (await row_of(memory, user))[0]
            await parts(memory).core.cold.compact(ref)
        await _go_on(memory)
        await asyncio.to_thread(
            shutil.copytree, work, image, ignore=lambda _, names: NOT_STORED.intersection(names)
        )
    return removed


async def _begin(memory: TieredMemory, clock: ManualClock) -> dict[str, Any]:
    for name in USERS[:2]:
        user = memory.user(name, TENANT)
        await user.consent.grant(PURPOSE, notice="notice 1", explicit=True, details={"form": "paper"})
        for text, importance in SAID:
            clock.advance(60.0)
            await user.add(
                text, session=SESSION, importance=importance, author=name, metadata={"n": importance}
            )
        await user.add(FAINT, importance=0.25)
    doomed = await memory.user("bob", TENANT).add("to be deleted", importance=0.9)
    await memory.drain()
    await memory.user("bob", TENANT).delete(doomed.id)
    await memory.user("alice", TENANT).pin((await memory.user("alice", TENANT).list(limit=2))[1].id)
    dora = memory.user("dora", TENANT)
    await dora.consent.grant(PURPOSE, notice="notice 1")
    await dora.add("gone with the consent", importance=0.9)
    await dora.consent.withdraw(PURPOSE)
    await dora.consent.grant(PURPOSE, notice="notice 2", expires_at=ASKED_AT + timedelta(days=30))
    carol = memory.user(ERASED, TENANT)
    await carol.consent.grant(PURPOSE, notice="notice 1")
    await carol.add("to be erased", importance=0.9)
    await memory.drain()
    await carol.erase(reason="request")
    return {"deleted": doomed.id}


async def _go_on(memory: TieredMemory) -> None:
    """What comes now rests in the journal only, and what is done last in SQLite's log only."""
    for name in USERS:
        user = memory.user(name, TENANT)
        await user.add(LATE, session=SESSION, importance=0.9)
        await user.add(REPEATED, importance=0.8, operation_id="op-1")
        await user.add(SMALL_TALK, session=SESSION, importance=0.0)
    await memory.user("alice", TENANT).used([(await memory.user("alice", TENANT).list(limit=4))[-1].id])
    await parts(memory).sweeper.write_uses()
    await parts(memory).core.state.checkpoint()
    await memory.user("alice", TENANT).add(LAST, importance=0.7)


# --- reading -----------------------------------------------------------------------------------------------------


async def answers(memory: TieredMemory) -> dict[str, Any]:
    """Return what a store says, as plain JSON values."""
    said = {name: await _answers_of(memory, memory.user(name, TENANT)) for name in (*USERS, ERASED)}
    for name, question in QUESTIONS.items():
        if question:
            hits = await memory.user(name, TENANT).search(question, limit=1)
            said[name]["found"] = hits[0].memory.content
    leaves = await parts(memory).core.state.read(c.Leaves())
    ledger = {"leaves": len(leaves), "root": tree_root([leaf_hash(leaf) for _, leaf, _ in leaves]).hex()}
    return {"users": plain(said), "ledger": ledger, "listed": await erased_lines(memory)}


async def _answers_of(memory: TieredMemory, user: User) -> dict[str, Any]:
    listed = await user.list(limit=100)
    async with parts(memory).directory.using(user.subject) as active:
        history = [asdict(event) for event in active.consents]
    return {
        "memories": [asdict(one) for one in listed],
        "explained": [await _explained(user, one.id) for one in listed],
        "forgotten": [asdict(one) for one in await user.forgotten()],
        "consents": history,
        "in_force": sorted(await user.consent.current()),
        "session": await _session(user),
        "damaged": list(await user.damaged()),
    }


async def _session(user: User) -> list[str]:
    packed = await user.context("the bakery", session=SESSION)
    return [item.content for item in packed.items if item.section != "recalled"]


async def _explained(user: User, memory_id: str) -> dict[str, Any]:
    told = await user.explain(memory_id)
    return {
        "state": told.state,
        "deadline": told.deadline,
        "rule": told.deadline_rule,
        "uses": told.spaced_uses,
    }


async def erased_lines(memory: TieredMemory) -> list[list[Any]]:
    """Return whom and which memories the erased list names; what ended for a purpose came to it later."""
    entries = [one for one in await parts(memory).core.marks.erased() if not one.purpose]
    return [[one.subject, one.generation, one.memory] for one in entries]


async def row_of(memory: TieredMemory, name: str) -> Any:
    """Return where a user's rows are, and the user's state."""
    async with parts(memory).directory.using(memory.user(name, TENANT).subject) as active:
        return active.ref, await parts(memory).core.state.read(c.GetSubject(active.ref.pseudonym))


def parts(memory: TieredMemory) -> Any:
    """Return the runtime's inner parts."""
    return memory._parts()


def plain(value: Any) -> Any:
    """Return a value as it is after a trip through JSON."""
    return json.loads(json.dumps(value, default=lambda one: one.isoformat(), ensure_ascii=False))


async def make(store: Path, answers_file: Path) -> None:
    """Make both."""
    with tempfile.TemporaryDirectory() as folder:
        made = await fill(Path(folder) / "work", store)
        copy = Path(folder) / "copy"
        shutil.copytree(store, copy)
        async with opened(copy, ASKED_AT) as memory:
            said = {**await answers(memory), **made}
    answers_file.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if STORE.exists():
        sys.exit("the golden store is there: it is never made again")
    asyncio.run(make(STORE, ANSWERS))
