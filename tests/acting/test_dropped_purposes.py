"""A purpose that a policy drops has no basis left: what is held for it is read by nobody, and kept for the person's rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from archive_tools import lines
from support import contents, opened

from tiered_memory import TieredMemory
from tiered_memory.errors import NotFoundError

pytestmark = pytest.mark.anyio
BASIS = "lawful_basis = 'legitimate_interests'\ndocumentation = 'file 7'\n"
BOTH = f"schema = 1\ndefault_purpose = 'service'\n[purposes.service]\n{BASIS}[purposes.insight]\n{BASIS}"
DROPPED = f"schema = 1\ndefault_purpose = 'service'\n[purposes.service]\n{BASIS}"
EMPTIED = BOTH + "keeps = false\n"


def under(tmp_path: Path, text: str, **settings: Any) -> dict[str, Any]:
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    return {"policy": str(policy), **settings}


async def told(memory: TieredMemory) -> list[str]:
    alice = memory.user("alice")
    await alice.add("the crane is red", session="s1", importance=0.9, purpose="service")
    for number in range(2):
        await alice.add(f"the harbour of insight {number}", session="s1", importance=0.9, purpose="insight")
    return [one.id for one in await alice.list() if one.purpose == "insight"]


@pytest.mark.parametrize("paged", [{}, {"indexed_above_memories": 1}])
@pytest.mark.parametrize("after", [DROPPED, EMPTIED])
async def test_what_was_held_for_it_is_read_by_nobody_and_comes_back_with_it(
    tmp_path: Path, paged: dict[str, int], after: str
) -> None:
    data = tmp_path / "data"
    async with opened(data, settings=under(tmp_path, BOTH)) as memory:
        ids = await told(memory)
    async with opened(data, settings=under(tmp_path, after, **paged)) as memory:
        alice = memory.user("alice")
        assert await contents(alice) == ["the crane is red"]
        found = [one.memory.content for one in await alice.search("harbour of insight")]
        assert [one for one in found if "insight" in one] == []
        assert "insight" not in (await alice.context("harbour", session="s1")).render()
        for memory_id in ids:
            with pytest.raises(NotFoundError):
                await alice.get(memory_id)
    async with opened(data, settings=under(tmp_path, BOTH)) as memory:
        assert {one.id for one in await memory.user("alice").list()} >= set(ids)


async def test_it_can_be_taken_out_and_erased_still(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data, settings=under(tmp_path, BOTH)) as memory:
        await told(memory)
    async with opened(data, settings=under(tmp_path, DROPPED)) as memory:
        alice = memory.user("alice")
        archive = await alice.export(tmp_path / "alice.zip")
        told_of = [one["content"] for one in lines(archive.path, "memories.jsonl")]
        assert sum("harbour of insight" in one for one in told_of) == 2
        certificate = await alice.erase(reason="asked for")
        assert sum(one.records for one in certificate.tiers) > 0
