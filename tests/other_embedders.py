"""Embedders besides the shipped one: models written to disk, and a store's records seen through their keys."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support import parts_of

from tiered_memory import TieredMemory
from tiered_memory.crypto.envelope import Place
from tiered_memory.embedding import static_embedder
from tiered_memory.formats.record import decode_fields
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectState
from tiered_memory.tiers.base import TierRecord

SHIPPED = Path(static_embedder.__file__).parent / "model"
EXTRA = 8


def rotated_model(directory: Path) -> Path:
    """Write the shipped model with its axes in reverse, every second one mirrored, and eight more that are empty.

    All angles and lengths are the shipped model's, in other dimensions; int8 rounds them alike.
    """
    codes = np.load(SHIPPED / "codes.npy")[:, ::-1].copy()
    codes[:, ::2] *= -1
    empty = np.zeros((len(codes), EXTRA), dtype=np.int8)
    return _written(directory, "rotated", np.hstack([codes, empty]))


def truncated_model(directory: Path, dimensions: int = 64) -> Path:
    """Write the shipped model's first principal components: another, coarser vector space."""
    return _written(directory, "truncated", np.load(SHIPPED / "codes.npy")[:, :dimensions])


def _written(directory: Path, name: str, codes: Any) -> Path:
    directory.mkdir()
    np.save(directory / "codes.npy", np.ascontiguousarray(codes), allow_pickle=False)
    for file in ("scales.npy", "tokenizer.json"):
        shutil.copy(SHIPPED / file, directory)
    files = ("codes.npy", "scales.npy", "tokenizer.json")
    digests = {one: hashlib.sha256((directory / one).read_bytes()).hexdigest() for one in files}
    config = {"name": name, "dimensions": codes.shape[1], "sha256": digests}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


class LengthEmbedder:
    """Three numbers a text; `tests.other_embedders:LengthEmbedder` and `:length` name it in a setting."""

    name = "lengths-3"
    dimensions = 3

    async def embed(self, texts: Sequence[str], kind: str = "document") -> Any:
        rows = [[len(text), text.count(" "), len(set(text))] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, 3)


class UnlikeItsWord(LengthEmbedder):
    """Promises more dimensions than it gives."""

    name = "lengths-4"
    dimensions = 4


class NotANumber(LengthEmbedder):
    name = "nan-3"

    async def embed(self, texts: Sequence[str], kind: str = "document") -> Any:
        return await super().embed(texts, kind) * np.nan


def length() -> LengthEmbedder:
    return LengthEmbedder()


def no_embedder() -> str:
    return "none"


async def embedders_in(memory: TieredMemory) -> Counter[str]:
    """Return the embedder of every record that lies in the cold tables, the journal and the sessions' tails."""
    core, found = parts_of(memory).core, Counter[str]()
    for state in (SubjectState.ACTIVE, SubjectState.RESTRICTED):
        for row in await core.state.read(c.SubjectsInState(state)):
            active = await parts_of(memory).directory.peek(row)
            records = [
                (one, Place.MEMORY) for one in await parts_of(memory).directory.holdings.records(active)
            ]
            for tail in await core.state.read(c.SealedTails(row.subject)):
                record = TierRecord(tail.record_id, tail.order, 1, tail.sealed or b"")
                records.append((record, Place.TAIL))
            for record, where in records:
                plaintext = active.sealer_for(record.payload).open(where, record)
                found[decode_fields(plaintext)["embedder"]] += 1
    return found
