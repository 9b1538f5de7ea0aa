"""Personal data in what is written is treated as the policy says, before anything is embedded, indexed or stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, state_pages

from tiered_memory.embedding.base import TextKind, Vectors
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.formats.record import decode_fields
from tiered_memory.memory import TieredMemory
from tiered_memory.model import Interaction, Sensitivity
from tiered_memory.policy.pii_types import PiiType, Span
from tiered_memory.privacy.pii_masking import PiiRefusedError
from tiered_memory.register import Register
from tiered_memory.user import User

pytestmark = pytest.mark.anyio
MAIL, PHONE = "jo.marker@mail.example", "+49 30 1234567"
SECRET = "sk-live-9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"
MASKS = """
schema = 1
name = "masks"
[pii]
public = "redact"
internal = "mask"
confidential = "keep_sealed"
restricted = "refuse"
[pii.types]
CARD = "refuse"
[routing]
cold_threshold = 0.0
[purposes.personalization]
lawful_basis = "consent"
max_sensitivity = "restricted"
"""


class Listening(StaticEmbedder):
    """The shipped embedder, with a note of what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        self.heard += texts
        return await super().embed(texts, kind)


@pytest.fixture
def masks(tmp_path: Path) -> dict[str, object]:
    path = tmp_path / "masks.toml"
    path.write_text(MASKS)
    return {"policy": str(path)}


async def said(user: User, text: str, level: Sensitivity, **more: object) -> str:
    receipt = await user.add(text, sensitivity=level, importance=0.9, **more)  # type: ignore[arg-type]
    return (await user.get(receipt.id)).content


async def test_each_sensitivity_has_its_mode(tmp_path: Path, masks: dict[str, object]) -> None:
    async with opened(tmp_path / "data", settings=masks) as memory:
        user = await consenting(memory)
        text = f"write to {MAIL} or call {PHONE}"
        assert await said(user, text, Sensitivity.PUBLIC) == "write to <EMAIL> or call <PHONE>"
        assert await said(user, text, Sensitivity.INTERNAL) == "write to <EMAIL_1> or call <PHONE_1>"
        assert await said(user, text, Sensitivity.CONFIDENTIAL) == text
        before = await contents(user)
        with pytest.raises(PiiRefusedError, match="EMAIL, PHONE"):
            await user.add(text, sensitivity=Sensitivity.RESTRICTED)
        with pytest.raises(PiiRefusedError, match="CARD"):
            await user.add_many(
                [Interaction(content="fine"), Interaction(content="card 4111 1111 1111 1111")],
                purpose=PURPOSE,
            )
        assert await contents(user) == before


async def test_one_value_has_one_placeholder_for_good_and_another_user_s_are_their_own(
    tmp_path: Path, masks: dict[str, object]
) -> None:
    async with opened(tmp_path / "data", settings=masks) as memory:
        alice, bob = await consenting(memory, "alice"), await consenting(memory, "bob")
        assert await said(alice, f"mail {MAIL}", Sensitivity.INTERNAL) == "mail <EMAIL_1>"
        assert await said(bob, "mail b@mail.example", Sensitivity.INTERNAL) == "mail <EMAIL_1>"
    async with opened(tmp_path / "data", settings=masks) as memory:
        alice = memory.user("alice", tenant="acme")
        kept = await said(alice, f"also {MAIL.upper()} and c@mail.example", Sensitivity.INTERNAL)
        assert kept == "also <EMAIL_1> and <EMAIL_2>"
        entries = await entries_of(memory, alice)
        assert len(entries) == 2
        assert not any(MAIL in one for one in entries)
        await alice.erase(reason="request")
    assert MAIL.encode() not in state_pages(tmp_path / "data")


async def entries_of(memory: TieredMemory, user: User) -> dict[str, str]:
    async with user._using("rights") as (_, active):
        entry = await Register(parts_of(memory).core).get(active, "placeholders", "values")
        assert entry is not None
        return dict(entry.fields)


async def test_a_value_numbered_before_there_was_consent_keeps_its_number(
    tmp_path: Path, masks: dict[str, object]
) -> None:
    async with opened(tmp_path / "data", settings=masks) as memory:
        user = memory.user("alice", tenant="acme")
        assert await said(user, f"mail {MAIL}", Sensitivity.INTERNAL, session="s") == "mail <EMAIL_1>"
        await user.consent.grant(PURPOSE, notice="n", explicit=True)
        text = f"x@mail.example wrote to {MAIL}"
        assert await said(user, text, Sensitivity.INTERNAL) == "<EMAIL_2> wrote to <EMAIL_1>"
        assert len(await entries_of(memory, user)) == 2


async def test_secrets_are_nowhere_whatever_the_mode(tmp_path: Path) -> None:
    embedder = Listening()
    async with opened(tmp_path, embedder=embedder) as memory:
        user = await consenting(memory)
        metadata = {"config": {"headers": [f"api_key={SECRET}"]}, "n": 3}
        receipt = await user.add(
            f"the key is api_key={SECRET}", importance=0.9, session="s1", metadata=metadata
        )
        kept = await user.get(receipt.id)
        assert SECRET not in kept.content
        assert kept.metadata == {"config": {"headers": ["api_key=<API_KEY>"]}, "n": 3}
        context = await user.context("what is the key?", session="s1")
        assert SECRET not in context.render()
        assert not any(SECRET in one for one in embedder.heard)


async def test_what_is_computed_knows_tokens_and_no_values_and_a_value_is_found_all_the_same(
    tmp_path: Path,
) -> None:
    embedder = Listening()
    async with opened(tmp_path, embedder=embedder) as memory:
        user = await consenting(memory)
        receipt = await user.add(f"the lift firm answers at {PHONE}", importance=0.9)
        for number in range(30):
            await user.add(f"the firm number {number} answers at +49 30 76543{number:02d}", importance=0.9)
        hits = await user.search("who is +49-30-1234567?", limit=1)
        assert hits[0].memory.id == receipt.id
        assert PHONE in hits[0].memory.content
        async with user._using("get") as (_, active):
            terms = decode_fields(active.held[receipt.id].plaintext)["terms"]
        assert not any("1234567" in term for term in terms)
        assert not any("1234567" in one for one in embedder.heard)


async def test_a_masked_value_is_found_by_its_value(tmp_path: Path, masks: dict[str, object]) -> None:
    async with opened(tmp_path / "data", settings=masks) as memory:
        user = await consenting(memory)
        for number in range(12):
            await said(user, f"person {number} writes from p{number}@mail.example", Sensitivity.INTERNAL)
        hits = await user.search("who has p7@mail.example?", limit=1)
        assert hits[0].memory.content == "person 7 writes from <EMAIL_8>"


class Names:
    """A recogniser that knows one name, as a model would find many; it also reaches for a placeholder."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def find(self, text: str) -> Sequence[Span]:
        self.asked.append(text)
        found = [(text.find(one), one) for one in ("Ada Lovelace", "EMAIL_1")]
        return [Span(at, at + len(one), PiiType.PERSON, 0.9, "names") for at, one in found if at >= 0]


async def test_a_recogniser_adds_what_needs_a_model_and_a_hook_comes_first(
    tmp_path: Path, masks: dict[str, object]
) -> None:
    async def hook(text: str) -> str:
        return text.replace("AL", "Ada Lovelace")

    async with opened(tmp_path / "data", settings=masks, recogniser=Names(), pii=hook) as memory:
        user = await consenting(memory)
        assert await said(user, f"AL has {MAIL}", Sensitivity.INTERNAL) == "<PERSON_1> has <EMAIL_1>"
        assert await said(user, "<EMAIL_1> wrote again", Sensitivity.INTERNAL) == "<EMAIL_1> wrote again"


async def test_a_text_that_is_kept_as_it_is_is_read_once_and_a_masked_one_once_more(
    tmp_path: Path, masks: dict[str, object]
) -> None:
    names, embedder = Names(), Listening()
    async with opened(tmp_path / "data", settings=masks, recogniser=names, embedder=embedder) as memory:
        user = await consenting(memory)
        kept = f"Ada Lovelace has {MAIL}"
        assert await said(user, kept, Sensitivity.CONFIDENTIAL) == kept
        assert names.asked == [kept]
        names.asked.clear()
        assert await said(user, kept, Sensitivity.INTERNAL) == "<PERSON_1> has <EMAIL_1>"
        assert names.asked == [kept, "<PERSON_1> has <EMAIL_1>"]
    heard = " ".join(embedder.heard)
    assert "person " in heard
    assert "Ada" not in heard
    assert MAIL not in heard


async def test_keys_of_metadata_say_no_more_than_values(tmp_path: Path, masks: dict[str, object]) -> None:
    other = "kim.marker@mail.example"
    async with opened(tmp_path / "data", settings=masks) as memory:
        user = await consenting(memory)
        given = {MAIL: {SECRET: [{PHONE: MAIL}]}, "plain": {"": 1}}
        one = await user.add(f"write to {MAIL}", metadata=given, importance=0.9)
        expected = {"<EMAIL_1>": {"<API_KEY>": [{"<PHONE_1>": "<EMAIL_1>"}]}, "plain": {"": 1}}
        assert (await user.get(one.id)).metadata == expected
        corrected = await user.update(one.id, "write to them", reason="shorter", metadata={MAIL: other})
        assert corrected.memory.metadata == {"<EMAIL_1>": "<EMAIL_2>"}
        sealed = await user.add(MAIL, metadata={MAIL: 1, SECRET: 2}, sensitivity="confidential")
        assert (await user.get(sealed.id)).metadata == {MAIL: 1, "<API_KEY>": 2}
        with pytest.raises(PiiRefusedError):
            await user.add("plain", metadata={"a": [{MAIL: 1}]}, sensitivity="restricted")


async def test_keys_that_come_to_the_same_lose_nothing(tmp_path: Path, masks: dict[str, object]) -> None:
    async with opened(tmp_path / "data", settings=masks) as memory:
        user = await consenting(memory)
        given = {MAIL: 1, "kim.marker@mail.example": 2, "<EMAIL>": 3, "<EMAIL> 2": 4}
        one = await user.add("hello", metadata=given, sensitivity="public", importance=0.9)
        found = (await user.get(one.id)).metadata
        assert sorted(found.values()) == [1, 2, 3, 4]
        assert (found["<EMAIL>"], found["<EMAIL> 2"]) == (3, 4)
        assert "marker" not in str(found)


async def test_secrets_are_not_kept_beside_memories_either(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as memory:
        user = await consenting(memory)
        one = await user.add("she prefers evenings", importance=0.9)
        await user.update(one.id, "she prefers mornings", reason=f"she logged in with {SECRET}")
        assert [entry.reason for entry in await user.history(one.id)] == [
            "she logged in with <API_KEY>",
            None,
        ]
        made = await user.decisions.record(
            f"called with {SECRET}", memory_ids=[one.id], logic=f"{SECRET} was given", outcome=SECRET
        )
        await user.decisions.request_review(made.id, reason=f"why {SECRET}?")
        told = await user.decisions.review(made.id, reviewer="officer", outcome=SECRET, note=f"{SECRET}!")
        limited = await user.rights.restrict(reason=f"{SECRET} is disputed")
        lifted = await user.rights.lift_restriction(reason=f"{SECRET} was changed")
        assert SECRET not in repr([made, told, limited, lifted, await user.decisions.list()])
        assert (told.outcome, limited.reason) == ("<API_KEY>", "<API_KEY> is disputed")
