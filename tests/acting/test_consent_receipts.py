"""Consents leave receipts that anybody can check, and rest on notices that nobody can change."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support import PURPOSE, contents, opened, parts_of, sealed_in_cold, sqlite_rows

from tiered_memory import TieredMemory
from tiered_memory.consent_records import verify_receipt
from tiered_memory.errors import ConflictError, CorruptionError, InvalidInputError, NotFoundError
from tiered_memory.model import Durability
from tiered_memory.privacy.consent import ConsentAction
from tiered_memory.privacy.consent_receipt import receipt_from
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
STATED = """
schema = 1
name = "stated"
[consent]
require_published_notice = true
controller = "Example Ltd"
contact = "privacy@example.org"
jurisdiction = "EU"
withdrawal_method = "in the settings"
[purposes.personalization]
max_sensitivity = "restricted"
retention = "until withdrawn"
recipients = ["hosting partner"]
data_categories = ["preferences", "conversations"]
[purposes.marketing]
jurisdiction = "DE"
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    policy = tmp_path / "stated.toml"
    policy.write_text(STATED)
    return {"policy": str(policy)}


async def published(memory: TieredMemory, version: str = "1", language: str = "en", **more: object) -> object:
    given = {"text": f"We remember what you say ({version}, {language}).", **more}
    return await memory.notices.publish("privacy-2026-11", version=version, language=language, **given)  # type: ignore[arg-type]


async def test_a_notice_is_published_once_and_for_good(memory: TieredMemory, data: Path) -> None:
    first = await published(memory)
    assert await published(memory) == first
    with pytest.raises(ConflictError, match="publish a new version"):
        await published(memory, text="We forget everything.")
    await published(memory, version="2")
    assert [one.version for one in await memory.notices.list()] == ["1", "2"]
    assert (await memory.notices.get("privacy-2026-11")).version == "2"
    assert (await memory.notices.get("privacy-2026-11@1")) == first
    for name in ("privacy", "privacy-2026-11@3"):
        with pytest.raises(NotFoundError):
            await memory.notices.get(name)
    leaves = b"".join(row["leaf"] for row in sqlite_rows(data, "audit"))
    assert leaves.count(b"notice_published") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"language": "en us"},
        {"version": ""},
        {"version": "1@2"},
        {"purposes": ["unknown"]},
        {"recipients": "everybody"},
    ],
)
async def test_a_notice_that_is_none_is_refused(memory: TieredMemory, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        await published(memory, **wrong)  # type: ignore[arg-type]
    assert await memory.notices.list() == []


async def test_notices_outlive_the_process(data: Path) -> None:
    async with opened(data) as memory:
        first = await published(memory, purposes=[PURPOSE], recipients=["printer"])
    async with opened(data) as memory:
        assert await memory.notices.list() == [first]


async def test_a_grant_takes_the_notice_it_names(data: Path, settings: dict[str, object]) -> None:
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice")
        with pytest.raises(InvalidInputError, match="publish the notice first"):
            await alice.consent.grant(PURPOSE, notice="privacy-2026-11")
        assert sqlite_rows(data, "subjects") == []
        notice = await published(memory, purposes=[PURPOSE], controller="Daughter Ltd")
        await published(memory, language="de", purposes=[PURPOSE])
        with pytest.raises(InvalidInputError, match="does not inform"):
            await alice.consent.grant("marketing", notice="privacy-2026-11")
        with pytest.raises(InvalidInputError, match="it is in: en, de"):
            await alice.consent.grant(PURPOSE, notice="privacy-2026-11@1", language="fr")
        await alice.consent.grant(
            PURPOSE, notice="privacy-2026-11", method="web form", actor="person", recipients=["printer"]
        )
        receipt = await alice.consent.receipt(PURPOSE)
    assert (receipt.notice, receipt.notice_version, receipt.notice_language) == ("privacy-2026-11", "1", "en")
    assert receipt.notice_sha256 == notice.sha256  # type: ignore[attr-defined]
    assert (receipt.controller, receipt.contact) == ("Daughter Ltd", "privacy@example.org")
    assert receipt.recipients == ("printer",)
    assert receipt.data_categories == ("preferences", "conversations")
    assert (receipt.retention, receipt.jurisdiction) == ("until withdrawn", "EU")
    assert (receipt.method, receipt.actor) == ("web form", "person")
    assert receipt.withdrawal_method == "in the settings"


async def test_a_receipt_is_signed_and_proven(memory: TieredMemory) -> None:
    alice = memory.user("alice")
    await alice.consent.grant(PURPOSE, notice="n1")
    receipt = await alice.consent.receipt(PURPOSE)
    verify_receipt(receipt)
    verify_receipt(receipt, parts_of(memory).core.notary.public_key)
    assert receipt.ledger_checkpoint
    assert alice.subject.user not in json.dumps(receipt.as_document())
    assert receipt_from(json.loads(json.dumps(receipt.as_document()))) == receipt
    with pytest.raises(CorruptionError, match="another store"):
        verify_receipt(receipt, bytes(32))
    for altered in (
        replace(receipt, purpose="marketing"),
        replace(receipt, at_us=receipt.at_us + 1),
        replace(receipt, recipients=("everybody",)),
        replace(receipt, ledger_leaf="0"),
        replace(receipt, signature="ab"),
        replace(receipt, signature="xy"),
        replace(receipt, public_key=bytes(32).hex()),
    ):
        with pytest.raises(CorruptionError):
            verify_receipt(altered)


async def test_a_proof_of_another_event_does_not_do(memory: TieredMemory) -> None:
    """Even one that the store itself signs over."""
    from tiered_memory.privacy.consent_receipt import signed_part

    alice, core = memory.user("alice"), parts_of(memory).core
    await alice.consent.grant(PURPOSE, notice="n1")
    one = await alice.consent.receipt(PURPOSE)
    await alice.consent.withdraw(PURPOSE)
    two = await alice.consent.receipt(PURPOSE)
    swapped = replace(
        two,
        ledger_leaf=one.ledger_leaf,
        ledger_entry=one.ledger_entry,
        ledger_path=one.ledger_path,
        ledger_checkpoint=one.ledger_checkpoint,
    )
    signed = replace(swapped, signature=core.notary.sign(signed_part(swapped)).hex())
    with pytest.raises(CorruptionError, match="proof in the ledger"):
        verify_receipt(signed)


async def test_every_event_has_a_receipt_of_one_record(data: Path, clock: ManualClock) -> None:
    receipts = []
    async with opened(data, clock=clock) as memory:
        alice = memory.user("alice")
        await alice.consent.refuse(PURPOSE, notice="n1")
        receipts.append(await alice.consent.receipt(PURPOSE))
        await alice.consent.grant(PURPOSE, notice="n1", expires_at=clock.now() + timedelta(days=1))
        receipts.append(await alice.consent.receipt(PURPOSE))
        clock.advance(timedelta(days=1))
        receipts.append(await alice.consent.receipt(PURPOSE))
        await alice.consent.grant(PURPOSE, notice="n1")
        await alice.consent.withdraw(PURPOSE)
        receipts.append(await alice.consent.receipt(PURPOSE))
    async with opened(data, clock=clock) as memory:
        history = await memory.user("alice").consent.history()
    for receipt in receipts:
        verify_receipt(receipt)
        assert receipt.ledger_entry
    assert [one.action for one in receipts] == ["refused", "renewed", "expired", "withdrawn"]
    assert len({one.record_id for one in receipts}) == 1
    assert len({one.receipt_id for one in receipts}) == 4
    assert [event.action.value for event in history] == [
        "refused",
        "renewed",
        "expired",
        "renewed",
        "withdrawn",
    ]


async def test_the_ledger_names_nobody(memory: TieredMemory, data: Path) -> None:
    alice = memory.user("alice")
    await alice.consent.grant(PURPOSE, notice="n1", actor="nurse-77", method="on paper")
    await alice.consent.refuse(PURPOSE, notice="n1")
    leaves = b"".join(row["leaf"] for row in sqlite_rows(data, "audit"))
    assert b"consent_refused" in leaves
    record = (await alice.consent.receipt(PURPOSE)).record_id
    for word in (b"nurse", b"paper", PURPOSE.encode(), record.encode(), b"alice"):
        assert word not in leaves


async def test_a_refusal_after_a_grant_withdraws(memory: TieredMemory, data: Path) -> None:
    alice = memory.user("alice")
    await alice.consent.grant(PURPOSE, notice="n1")
    await alice.add("kept for now", importance=0.9)
    await memory.drain()
    event = await alice.consent.refuse(PURPOSE, notice="n2", method="by phone")
    assert event.action is ConsentAction.REFUSED
    assert await contents(alice) == []
    assert sealed_in_cold(data) == []
    assert {row["purpose"] for row in sqlite_rows(data, "data_keys")} == {"_subject"}
    assert (await alice.add("not kept", importance=0.9)).durability is Durability.EPHEMERAL


async def test_a_refusal_of_a_stranger_is_remembered(data: Path) -> None:
    async with opened(data) as memory:
        await memory.user("alice").consent.refuse(PURPOSE, notice="n1")
    async with opened(data) as memory:
        alice = memory.user("alice")
        assert await alice.consent.current() == {}
        assert [one.action for one in await alice.consent.history(PURPOSE)] == [ConsentAction.REFUSED]
        assert await alice.consent.history("another") == []
        assert await memory.user("bob").consent.history() == []
        with pytest.raises(NotFoundError):
            await memory.user("bob").consent.receipt(PURPOSE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipients": "everybody"},
        {"recipients": [""]},
        {"method": ""},
        {"retention": 3},
        {"unheard_of": "x"},
        {"details": {"record": "mine"}},
    ],
)
async def test_terms_that_are_none_are_refused(
    memory: TieredMemory, data: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(InvalidInputError):
        await memory.user("alice").consent.grant(PURPOSE, notice="n1", **wrong)  # type: ignore[arg-type]
    assert sqlite_rows(data, "subjects") == []
