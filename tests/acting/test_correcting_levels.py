"""A text that was more sensitive than what it was corrected to stays so in its memory's history."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from roles import SUPPORT
from support import consenting, opened

from tiered_memory.caller import Caller
from tiered_memory.memory import TieredMemory
from tiered_memory.model import Sensitivity

pytestmark = pytest.mark.anyio
OLD, NEW = "my allergist is Dr Marek", "I see a doctor now and then"
LIMITED = """
schema = 1
name = "limited export"
[access.export]
export = "internal"
"""


async def test_who_may_read_the_new_text_is_not_shown_the_old_one(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    one = await alice.add(OLD, importance=0.9, sensitivity="restricted")
    await alice.update(one.id, NEW, reason="said too much", sensitivity="internal")
    seen = await memory.user("alice", tenant="acme", caller=SUPPORT).history(one.id)
    assert [entry.memory.content for entry in seen] == [NEW]
    whole = await alice.history(one.id)
    assert [entry.memory.sensitivity for entry in whole] == [Sensitivity.RESTRICTED, Sensitivity.INTERNAL]
    assert whole[0].memory.content == OLD


async def test_nor_is_it_exported_for_them(tmp_path: Path) -> None:
    policy = tmp_path / "limited.toml"
    policy.write_text(LIMITED)
    async with opened(tmp_path / "data", settings={"policy": str(policy)}) as memory:
        alice = await consenting(memory)
        one = await alice.add(OLD, importance=0.9, sensitivity="restricted")
        await alice.update(one.id, NEW, reason="said too much", sensitivity="internal")
        limited = memory.user("alice", tenant="acme", caller=Caller(role="export"))
        made, whole = await limited.export(tmp_path / "part.zip"), await alice.export(tmp_path / "whole.zip")
    assert (OLD in text_of(made.path), OLD in text_of(whole.path)) == (False, True)
    assert NEW in text_of(made.path)


def text_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


async def test_raising_it_leaves_the_old_text_as_open_as_it_was(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    one = await alice.add(NEW, importance=0.9, sensitivity="public")
    await alice.update(one.id, OLD, reason="more exactly", sensitivity="restricted")
    entries = await alice.history(one.id)
    assert [entry.memory.sensitivity for entry in entries] == [Sensitivity.PUBLIC, Sensitivity.RESTRICTED]
