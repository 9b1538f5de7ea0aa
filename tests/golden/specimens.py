"""What the frozen formats' specimens are made of: one moment, one person, one memory, fixed keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from tiered_memory.clock import to_us
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey
from tiered_memory.crypto.signing import Signer
from tiered_memory.formats.record import Features, PassageFeatures
from tiered_memory.highwater import (
    CAUSES,
    ErasedEntry,
    Mark,
)
from tiered_memory.model import (
    Kind,
    LawfulBasis,
    Memory,
    Provenance,
    Role,
    Sensitivity,
    SourceKind,
)

FOLDER = Path(__file__).parent
ROOT = bytes(range(32))
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
PASSPHRASE = "correct horse battery staple"
TENANT, SUBJECT = b"t" * 32, b"s" * 32
KEY = SealingKey(b"k" * 16, 3, bytes(range(32, 64)))
CONTEXT = SealContext(
    TENANT, SUBJECT, Place.MEMORY, "0a" * 16, "personalization", generation=2, order=17, version=4
)

MARKS_KEY = bytes(range(96, 128))
MARK = Mark("0f" * 16, journal_seq=41, leaf_index=7, commits=1234)
ERASED = (
    ErasedEntry(SUBJECT.hex(), 3, to_us(NOW)),
    ErasedEntry(SUBJECT.hex(), 2, to_us(NOW) + 1, "0a" * 16),
)
ENDED = tuple(
    ErasedEntry(SUBJECT.hex(), 3, to_us(NOW) + 2, purpose="0b" * 16, cause=cause) for cause in CAUSES
)


SIGNER = Signer(bytes(range(128, 160)))


def memory() -> Memory:
    return Memory(
        id="0a" * 16,
        order=17,
        version=4,
        content="We moved the stand-up to 09:45. 会議は九時四十五分。",
        role=Role.USER,
        kind=Kind.SEMANTIC,
        importance=0.75,
        reasons=("states a decision",),
        sensitivity=Sensitivity.CONFIDENTIAL,
        purpose="personalization",
        lawful_basis=LawfulBasis.CONSENT,
        occurred_at=datetime(2026, 3, 1, 9, 0, tzinfo=timezone(timedelta(hours=1))),
        ingested_at=NOW,
        author="Maya",
        session="s01",
        agent="iris",
        data_category="schedule",
        language="en",
        valid_from=NOW,
        valid_to=NOW + timedelta(days=9),
        superseded_by="0b" * 16,
        metadata={"ticket": 7, "tags": ["a", "b"]},
        provenance=Provenance(SourceKind.TOOL, "chat", "model-1", ("0c" * 16,), ("0d" * 16,)),
        trust=0.5,
        quarantined=True,
    )


def features() -> Features:
    vector = np.linspace(-2.0, 2.0, 16, dtype=np.float32)
    return Features("analyzer-1", {"move": 1, "standup": 2}, "embedder-1", vector)


def passages() -> list[PassageFeatures]:
    vectors = np.linspace(-1.0, 3.0, 32, dtype=np.float32).reshape(2, 16)
    return [({"move": 1}, vectors[0]), ({"standup": 2}, vectors[1])]
