"""The plaintext of a memory's record: a msgpack map with named keys, format 1 (`tests/golden/record_v1.json`).

Absent keys mean the default. Readers ignore keys they do not know, so later versions may add some; a change of
meaning gets a new format number. The vector is kept as int8 with one scale (a quarter of float32; the cosine
moves by less than 0.001), the terms with the analyzer that made them, so that a better one can replace them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from tiered_memory.clock import from_us, to_us
from tiered_memory.errors import CorruptionError
from tiered_memory.model import (
    Kind,
    LawfulBasis,
    Memory,
    Provenance,
    Role,
    Sensitivity,
    SourceKind,
)

RECORD_FORMAT = 1
INT8_MAX = 127.0
MOST_OFFSET_MINUTES = 24 * 60 - 1


PassageFeatures = tuple[Mapping[str, int], NDArray[np.float32]]
"""The index terms and the vector of a part of a long content."""


@dataclass(frozen=True, slots=True)
class Features:
    """What was computed from a memory's content. It is content too, and is sealed with it.

    `vector` is float32 of shape (d,), unnormalised; `terms` maps each index term to its count. A long content has
    `passages`.
    """

    analyzer: str
    terms: Mapping[str, int]
    embedder: str
    vector: NDArray[np.float32]
    passages: Sequence[PassageFeatures] = ()


def encode_record(memory: Memory, features: Features, *, volatile: bool = False) -> bytes:
    """Return the plaintext of a record, ready to be sealed; `volatile` marks one that is nowhere durable."""
    scale, vector = _quantised(features.vector)
    fields: dict[str, Any] = {
        "f": RECORD_FORMAT,
        "content": memory.content,
        "role": memory.role.value,
        "kind": memory.kind.value,
        "importance": memory.importance,
        "reasons": list(memory.reasons),
        "sensitivity": memory.sensitivity.value,
        "purpose": memory.purpose,
        "occurred": [to_us(memory.occurred_at), offset_minutes(memory.occurred_at)],
        "ingested": to_us(memory.ingested_at),
        "analyzer": features.analyzer,
        "terms": dict(features.terms),
        "embedder": features.embedder,
        "scale": scale,
        "vector": vector,
    }
    if features.passages:
        fields["passages"] = [[dict(terms), *_quantised(vector)] for terms, vector in features.passages]
    fields.update(_optional_fields(memory))
    if volatile:
        fields["volatile"] = True
    packed: bytes = msgpack.packb(fields)
    return packed


def _quantised(vector: NDArray[np.float32]) -> tuple[float, bytes]:
    scale = float(np.abs(vector).max(initial=0.0)) / INT8_MAX
    return scale, np.rint(vector / (scale or 1.0)).astype(np.int8).tobytes()


def _optional_fields(memory: Memory) -> dict[str, Any]:
    values = {
        "basis": memory.lawful_basis and memory.lawful_basis.value,
        "author": memory.author,
        "session": memory.session,
        "agent": memory.agent,
        "category": None if memory.data_category == "conversation" else memory.data_category,
        "language": memory.language,
        "valid_from": memory.valid_from and to_us(memory.valid_from),
        "valid_to": memory.valid_to and to_us(memory.valid_to),
        "superseded_by": memory.superseded_by,
        "metadata": dict(memory.metadata) or None,
        "provenance": _provenance_fields(memory.provenance) or None,
        "trust": None if memory.trust == 1.0 else memory.trust,
        "quarantined": memory.quarantined or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _provenance_fields(provenance: Provenance) -> dict[str, Any]:
    values: dict[str, Any] = {
        "source": None if provenance.source is SourceKind.USER else provenance.source.value,
        "channel": provenance.channel,
        "model": provenance.model,
        "derived_from": list(provenance.derived_from) or None,
        "merged_from": list(provenance.merged_from) or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def decode_fields(plaintext: bytes) -> dict[str, Any]:
    """Return a record's fields without building a `Memory` (a first touch reads thousands).

    Raises:
        CorruptionError: not a record, or of a later format.
    """
    try:
        fields = msgpack.unpackb(plaintext)
    except (ValueError, msgpack.UnpackException) as error:
        raise CorruptionError("a record's plaintext cannot be read") from error
    if not isinstance(fields, dict) or fields.get("f") != RECORD_FORMAT:
        raise CorruptionError("a record has a format this version does not know: use a newer one")
    return fields


def memory_of(fields: Mapping[str, Any], *, record_id: str, order: int, version: int) -> Memory:
    """Return the memory that `fields` describe."""
    occurred_us, offset = fields["occurred"]
    get = fields.get
    basis = get("basis")
    return Memory(
        id=record_id,
        order=order,
        version=version,
        content=fields["content"],
        role=Role(fields["role"]),
        kind=Kind(fields["kind"]),
        importance=fields["importance"],
        reasons=tuple(fields["reasons"]),
        sensitivity=Sensitivity(fields["sensitivity"]),
        purpose=fields["purpose"],
        lawful_basis=LawfulBasis(basis) if basis else None,
        occurred_at=from_us(occurred_us).astimezone(timezone(timedelta(minutes=offset))),
        ingested_at=from_us(fields["ingested"]),
        author=get("author"),
        session=get("session"),
        agent=get("agent"),
        data_category=get("category", "conversation"),
        language=get("language"),
        valid_from=_moment(get("valid_from")),
        valid_to=_moment(get("valid_to")),
        superseded_by=get("superseded_by"),
        metadata=get("metadata", {}),
        provenance=_provenance(get("provenance", {})),
        trust=get("trust", 1.0),
        quarantined=get("quarantined", False),
    )


def vectors_of(records: list[dict[str, Any]], dimensions: int) -> NDArray[np.float32]:
    """Return the vectors of many decoded records, float32 of shape `(len(records), dimensions)`."""
    joined = b"".join(record["vector"] for record in records)
    if len(joined) != len(records) * dimensions:
        raise CorruptionError("a record's vector does not have the embedder's size")
    matrix = np.frombuffer(joined, dtype=np.int8).reshape(len(records), dimensions).astype(np.float32)
    matrix *= np.array([record["scale"] for record in records], dtype=np.float32)[:, None]
    return matrix


def passages_of(fields: Mapping[str, Any]) -> tuple[PassageFeatures, ...]:
    """Return the passages of a decoded record, none for a short one; their terms are its analyzer's."""
    return tuple(
        (terms, np.frombuffer(vector, dtype=np.int8).astype(np.float32) * np.float32(scale))
        for terms, scale, vector in fields.get("passages", ())
    )


def _provenance(fields: Mapping[str, Any]) -> Provenance:
    return Provenance(
        source=SourceKind(fields.get("source", SourceKind.USER)),
        channel=fields.get("channel"),
        model=fields.get("model"),
        derived_from=tuple(fields.get("derived_from", ())),
        merged_from=tuple(fields.get("merged_from", ())),
    )


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)


def offset_minutes(moment: datetime) -> int:
    """Return the offset in whole minutes; one that rounds to a whole day is no time zone any more."""
    offset = moment.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    return max(-MOST_OFFSET_MINUTES, min(MOST_OFFSET_MINUTES, minutes))
