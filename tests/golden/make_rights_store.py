"""Makes the golden store of rights and duties: what a killed process of this release leaves of them, and its answers.

`python -m tests.golden.make_rights_store` writes `store_v2/` and `store_v2.json` where they are missing. Once landed,
neither is ever made again: every later release must open the directory, answer the same, and go on from there.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiered_memory import TieredMemory, User
from tiered_memory.clock import SeededEntropy
from tiered_memory.erasure import verify_certificate
from tiered_memory.hold_model import HoldScope
from tiered_memory.model import Role
from tiered_memory.privacy.sharing import Member, MemberKind
from tiered_memory.testing import ManualClock

sys.path.insert(0, str(Path(__file__).parent))

from rights_answers import (
    ANSWERS,
    APART,
    ASKED_AT,
    BAKERY,
    BEGUN,
    DOCTOR,
    EVENT,
    EVIDENCE,
    FAINT,
    FORGOTTEN_AT,
    FROZEN,
    GONE,
    HABIT,
    HOLD,
    INSIGHT,
    LATE,
    MAIL,
    NOT_STORED,
    NOTICE,
    OFFERED,
    ORDER,
    PEOPLE,
    PLANS,
    POISON,
    PURPOSE,
    RELEASED_HOLD,
    REVIEW_AT,
    SERVICE,
    STORE,
    SUSPECT,
    TENANT,
    answers,
    copied,
    opened,
    parts,
    person,
    space,
)

# --- writing -----------------------------------------------------------------------------------------------------


async def fill(work: Path, image: Path) -> dict[str, Any]:
    """Fill a store in `work`, copy it to `image` as a kill leaves it, and return its ids by what they are."""
    async with opened(work, BEGUN, entropy=SeededEntropy(2)) as memory:
        clock: ManualClock = parts(memory).core.clock
        await _agree(memory, clock)
        await _share(memory)
        made = await _exercise(memory, clock)
        await _hold(memory, clock)
        clock.set(FORGOTTEN_AT)
        await memory.forget()
        await memory.drain()
        await memory.keys.rotate()
        await _compact(memory)
        await person(memory, "nora").add(LATE, session="s1", importance=0.9)
        for tenant in (TENANT, APART):
            await parts(memory, tenant).core.state.checkpoint()
        await _go_on(memory, made)
        await asyncio.to_thread(
            shutil.copytree, work, image, ignore=lambda _, names: NOT_STORED.intersection(names)
        )
    return made


async def _agree(memory: TieredMemory, clock: ManualClock) -> None:
    await memory.tenants.register(
        TENANT, quota_mib=5, retention_days=300, allowed_agents=["planner", "clerk"]
    )
    await memory.tenants.register(APART, isolation="moderate", audit=False)
    await memory.tenants.register(GONE)
    for version, language in (("1", "en"), ("1", "pt"), ("2", "en")):
        clock.advance(60.0)
        await memory.notices.publish(
            NOTICE,
            version=version,
            language=language,
            text=f"What we keep, in {language}, edition {version}.",
            purposes=[PURPOSE, OFFERED],
            recipients=["the print shop"],
            contact="dpo@harbour.example",
        )
    for name in PEOPLE:
        clock.advance(60.0)
        await person(memory, name).consent.grant(PURPOSE, notice=f"{NOTICE}@1", explicit=True)
    lost = memory.user("gil", GONE)
    await lost.consent.grant(PURPOSE, notice=NOTICE)
    await lost.add(BAKERY, importance=0.9)
    await memory.tenants.erase(GONE, "the contract ended")


async def _exercise(memory: TieredMemory, clock: ManualClock) -> dict[str, Any]:
    alice = person(memory, "alice")
    await alice.consent.grant(
        PURPOSE,
        notice=NOTICE,
        explicit=True,
        expires_at=REVIEW_AT,
        details={"form": "web"},
        method="a ticked box",
        actor="the person",
        data_categories=["what was said"],
        retention="half a year",
        language="en",
    )
    await alice.consent.refuse(OFFERED, notice=NOTICE, method="a box left empty")
    made = await _remember(alice, clock)
    await alice.object_to(INSIGHT, reason="not my Sundays")
    await alice.retention.event(EVENT, at=BEGUN)
    made |= await _decide(alice, made["doctor"]) | await _ask(alice, clock)
    bob, rita = person(memory, "bob"), person(memory, "rita")
    await bob.add(HABIT, importance=0.9, purpose=INSIGHT)
    await bob.object_to(INSIGHT, reason="not mine either", compelling_grounds="claims in court, file 9")
    await rita.add(FROZEN, importance=0.9)
    await rita.rights.restrict(reason="accuracy is contested")
    await rita.requests.open("rectification", channel="letter")
    dan = person(memory, "dan")
    await dan.add("gone with the consent", importance=0.9)
    await memory.drain()
    await dan.consent.withdraw(PURPOSE, reason="changed my mind")
    return made


async def _remember(alice: User, clock: ManualClock) -> dict[str, Any]:
    made = {}
    for name, text in (("bakery", BAKERY), ("mail", MAIL), ("doctor", DOCTOR[0])):
        clock.advance(60.0)
        made[name] = (await alice.add(text, importance=0.95, session="s1")).id
    await alice.update(made["doctor"], DOCTOR[1], reason="another name", by="clerk", keep_previous=False)
    clock.advance(3600.0)
    await alice.update(made["doctor"], DOCTOR[2], reason="the street was missing", metadata={"street": "Elm"})
    await alice.add(FAINT, importance=0.25)
    made["order"] = (await alice.add(ORDER, importance=0.9, purpose=SERVICE)).id
    await alice.add(HABIT, importance=0.9, purpose=INSIGHT)
    made["poison"] = (await alice.add(POISON, importance=0.9, role=Role.TOOL)).id
    made["suspect"] = (await alice.add(SUSPECT, importance=0.9, role=Role.TOOL)).id
    await alice.quarantine.put(made["suspect"], reason="looks odd")
    await alice.quarantine.release(made["suspect"], reason="it is harmless")
    return made


async def _decide(alice: User, used: str) -> dict[str, Any]:
    first = await alice.decisions.record(
        "no loan", memory_ids=[used], effect="legal", logic="a score below 4", outcome="refused"
    )
    await alice.decisions.request_review(first.id, reason="the score is wrong")
    await alice.decisions.review(first.id, reviewer="clerk", outcome="granted", note="income was missing")
    second = await alice.decisions.record("a reminder", memory_ids=[used], automated=True)
    return {"decisions": [first.id, second.id]}


async def _ask(alice: User, clock: ManualClock) -> dict[str, Any]:
    opened_ids = []
    for right, channel in (("access", "mail"), ("portability", "form"), ("erasure", "phone")):
        clock.advance(60.0)
        opened_ids.append((await alice.requests.open(right, channel=channel, note=f"asked for {right}")).id)
    await alice.requests.close(opened_ids[0], outcome="fulfilled", evidence="archive-1")
    await alice.requests.extend(opened_ids[1], months=1, reason="there is much of it")
    await alice.requests.close(opened_ids[2], outcome="refused", reason="the person changed their mind")
    return {"requests": opened_ids}


async def _hold(memory: TieredMemory, clock: ManualClock) -> None:
    eric = person(memory, "eric")
    await eric.add(EVIDENCE, importance=0.9)
    await memory.drain()
    for name in (RELEASED_HOLD, HOLD):
        clock.advance(60.0)
        await memory.holds.place(
            name,
            scope=HoldScope(tenant=TENANT, user="eric"),
            owner="counsel",
            reason="dispute 12",
            review_at=REVIEW_AT,
        )
    await memory.holds.place(
        "audit-1", scope=HoldScope(purpose=INSIGHT), owner="auditor", reason="audit", review_at=REVIEW_AT
    )
    certificate = await eric.erase(reason="asked by letter")
    verify_certificate(certificate)
    assert certificate.retained
    await memory.holds.release(RELEASED_HOLD, "settled out of court")


async def _share(memory: TieredMemory) -> None:
    alice = space(memory, "alice")
    await alice.create(notice=NOTICE, explicit=True)
    await alice.grant_access(Member("bob"), {"read", "write"})
    await alice.grant_access(Member("planner", MemberKind.AGENT), {"read"})
    await alice.grant_access(Member("rita"), {"read"})
    await alice.revoke_access(Member("rita"))
    for name, text in PLANS.items():
        await space(memory, name).add(text, importance=0.9)
    await person(memory, "nora").add(BAKERY, importance=0.9)


async def _compact(memory: TieredMemory) -> None:
    """Make each table one file, whatever it went through."""
    for tenant in (TENANT, APART):
        cold = parts(memory, tenant).core.cold
        for ref in await every_ref(memory, tenant):
            await cold.compact(ref)


async def every_ref(memory: TieredMemory, tenant: str) -> list[Any]:
    """Return where the rows of a tenant's living people, and of its shared memory, are."""
    found = []
    subjects = [
        person(memory, name).subject for name, theirs in PEOPLE.items() if theirs == tenant and name != "eric"
    ]
    if tenant == TENANT:
        subjects.append(space(memory, "alice")._scope.subject)
    for subject in subjects:
        async with parts(memory, tenant).directory.using(subject) as active:
            found.append(active.ref)
    return found


async def _go_on(memory: TieredMemory, made: Mapping[str, Any]) -> None:
    """What comes now rests in SQLite's log only."""
    alice = person(memory, "alice")
    await alice.add(LATE, session="s1", importance=0.9)
    await alice.update(made["bakery"], f"{BAKERY} It has a terrace.", reason="it was built", by="clerk")
    await alice.requests.open("objection", channel="mail")


async def make(store: Path, answers_file: Path) -> None:
    """Make both."""
    with tempfile.TemporaryDirectory() as folder:
        made = await fill(Path(folder) / "work", store)
        async with opened(copied(store, Path(folder) / "copy"), ASKED_AT) as memory:
            said = await answers(memory, made)
    answers_file.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if STORE.exists():
        sys.exit("the golden store is there: it is never made again")
    asyncio.run(make(STORE, ANSWERS))
