"""Nothing personal rests outside the seal: not on disk, not in Redis, not in a name; and nothing at all by default."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from support import consenting, everything_at_rest, forms, lance_values, opened, redis_bytes, seen

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import ConsentRequiredError
from tiered_memory.model import Durability, Provenance, TierName

pytestmark = pytest.mark.anyio

FIELDS = (
    "content", "author", "session", "agent", "metadata_key", "metadata_value", "channel", "model", "user", "tenant",
    "notice", "details", "operation", "reason", "erased",
)  # fmt: skip


def _markers() -> dict[str, str]:
    return {field: f"mk{field[:4]}{secrets.token_hex(6)}" for field in FIELDS}


def _interaction(words: dict[str, str], **changes: object) -> Interaction:
    given = {
        "content": f"I always prefer {words['content']} in the morning",
        "author": words["author"],
        "session": words["session"],
        "agent": words["agent"],
        "importance": 0.9,
        "metadata": {words["metadata_key"]: [words["metadata_value"]]},
        "provenance": Provenance(channel=words["channel"], model=words["model"]),
    }
    return Interaction(**{**given, **changes})  # type: ignore[arg-type]


async def _live(memory: TieredMemory, words: dict[str, str]) -> User:
    """Let every path write that can write: cold, tail, hot, consent, operations, audit, statistics."""
    user = memory.user(words["user"], tenant=words["tenant"])
    await user.consent.grant("personalization", notice=words["notice"], details={"said": words["details"]})
    first = (await user.add_many([_interaction(words)], operation_id=words["operation"]))[0]
    await user.add_many([_interaction(words, importance=0.0), _interaction(words, role="system")])
    await memory.drain()
    doomed = (await user.add_many([_interaction(words)]))[0]
    await user.delete(doomed.id, reason=words["reason"])
    await user.context(words["content"], session=words["session"])
    await user.pin(first.id)
    await user.add_many([_interaction(words)])
    await memory.stats()
    return user


def test_the_search_finds_what_it_should() -> None:
    word = "mkcont0123456789ab"
    import base64

    for lead in range(4):
        assert seen([word], [base64.b64encode(b"x" * lead + word.encode() + b"tail")]) == {word}
    assert seen([word], [word.encode("utf-16-le")]) == seen([word], [word.encode().hex().encode()]) == {word}
    assert seen([word], [b"mkcont0123456789aB"]) == set()
    assert len(forms(word)) >= 8


async def test_under_a_basis_no_word_is_in_clear_anywhere(data: Path) -> None:
    words = _markers()
    async with opened(data) as memory:
        await _live(memory, words)
        assert seen(words.values(), redis_bytes(memory)) == set()
        assert seen(words.values(), everything_at_rest(data)) == set()
    assert len(lance_values(data)) > 4
    assert seen(words.values(), everything_at_rest(data)) == set()


async def test_an_erasure_s_reason_is_not_kept_in_clear(data: Path) -> None:
    words = _markers()
    async with opened(data) as memory:
        certificate = await (await _live(memory, words)).erase(reason=words["erased"])
        assert certificate.reason == words["erased"]
        assert seen(words.values(), redis_bytes(memory)) == set()
    assert seen(words.values(), everything_at_rest(data)) == set()


async def test_a_withdrawal_s_reason_is_not_kept_in_clear(data: Path) -> None:
    words = _markers()
    async with opened(data) as memory:
        user = await _live(memory, words)
        await user.consent.withdraw("personalization", reason=words["reason"])
    assert seen(words.values(), everything_at_rest(data)) == set()


async def test_without_a_basis_nothing_reaches_disk(data: Path) -> None:
    words = _markers()
    async with opened(data) as memory:
        await (await consenting(memory)).add("somebody else's", importance=0.9)
        await memory.drain()
        user = memory.user(words["user"], tenant=words["tenant"])
        receipts = await user.add_many([_interaction(words), _interaction(words, role="system")])
        assert {receipt.durability for receipt in receipts} == {Durability.EPHEMERAL}
        assert TierName.COLD not in receipts[0].tiers
        assert "no consent" in receipts[0].routing
        assert [hit.memory.id for hit in await user.search(words["content"])] == [receipts[0].id]
        assert seen(words.values(), redis_bytes(memory)) == set()
        await memory.drain()
        await memory.forget()
        rows = len([value for value in lance_values(data) if value.startswith(b"TM")])
        assert rows == 1
    assert seen(words.values(), everything_at_rest(data)) == set()


async def test_without_a_basis_it_is_gone_after_a_restart(data: Path) -> None:
    async with opened(data) as memory:
        user = memory.user("alice")
        await user.add("I prefer tea", session="s1", importance=0.9)
        assert "tea" in (await user.context("what drink?", session="s1")).render()
    async with opened(data) as memory:
        user = memory.user("alice")
        assert await user.search("what drink?") == []
        assert (await user.context("what drink?", session="s1")).items == ()


async def test_a_required_durability_without_a_basis_stores_nothing(memory: TieredMemory) -> None:
    user = memory.user("alice")
    for required in (Durability.JOURNALED, Durability.SESSION):
        with pytest.raises(ConsentRequiredError):
            await user.add("I prefer tea", session="s1", importance=0.9, durability=required)
    assert await user.list() == []
    assert (await user.context("tea", session="s1")).items == ()
    kept = await user.add("I prefer tea", durability=Durability.EPHEMERAL)
    assert kept.durability is Durability.EPHEMERAL


async def test_a_required_durability_is_met(alice: User) -> None:
    """What the scorer finds dull is kept all the same when the caller asks for it."""
    receipt = await alice.add("ok", importance=0.0, durability=Durability.JOURNALED)
    assert receipt.durability is Durability.JOURNALED
