"""A key that was made once is accepted by every later release, whatever else changes."""

from __future__ import annotations

import hmac
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import frozen
from api_key_specimens import API_KEY
from register_specimens import NAMES

from tiered_memory.metrics import RecordingObserver
from tiered_memory.privacy.api_keys import KIND, StoredKey, digested, id_in, stored_key
from tiered_memory.register import Register
from tiered_memory.state.register import EntryRow

pytestmark = pytest.mark.anyio


class OneEntry:
    """Answers every question with the frozen row."""

    async def read(self, _: object) -> list[EntryRow]:
        row = frozen.stored("api_key_v1")["row"]
        binary = {name: bytes.fromhex(row[name].removeprefix("hex:")) for name in ("owner", "sealed")}
        return [EntryRow(**{**row, **binary})]


async def read() -> StoredKey:
    core: Any = SimpleNamespace(names=NAMES, state=OneEntry(), observer=RecordingObserver())
    (entry,) = await Register(core).common(b"", KIND)
    return stored_key(entry.id, entry.at_us, entry.version, entry.fields)


async def test_a_frozen_key_is_read_as_it_was_kept() -> None:
    assert await read() == replace(API_KEY, version=4)


async def test_a_frozen_key_s_text_is_still_its_own() -> None:
    kept, text = await read(), frozen.stored("api_key_v1")["text"]
    assert id_in(text) == kept.id
    assert hmac.compare_digest(NAMES.register_key.fingerprint(digested(text)), kept.digest)
