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
    Repeat,
    Role,
    Sensitivity,
    SourceKind,
)

RECORD_FORMAT = 1
INT8_MAX = 127.0
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
"""Below it float32 has no steps left to divide by: such a vector is no direction, it is kept as the zero vector."""
MOST_OFFSET_MINUTES = 24 * 60 - 1
REPEATS_KEPT = 50
CLOSING_KEYS = frozenset({"valid_to", "superseded_by", "because"})


PassageFeatures = tuple[Mapping[str, int], NDArray[np.float32]]
"""The index terms and the vector of a part of a long content."""


@dataclass(frozen=True, slots=True)
class Features:
    """What was computed from a memory's content. It is content too, and is sealed with it.

    `vector` is float32 of shape (d,), unnormalised; `terms` maps each index term to its count; `signs` say what kind
    of things the content holds. A long content has `passages`.
    """

    analyzer: str
    terms: Mapping[str, int]
    embedder: str
    vector: NDArray[np.float32]
    signs: Sequence[str] = ()
    passages: Sequence[PassageFeatures] = ()


def encode_record(memory: Memory, features: Features, *, volatile: bool = False) -> bytes:
    """Return the plaintext of a record, ready to be sealed; `volatile` marks one that is nowhere durable."""
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
        **_feature_fields(features),
    }
    fields.update(_optional_fields(memory))
    if volatile:
        fields["volatile"] = True
    packed: bytes = msgpack.packb(fields)
    return packed


def with_features(fields: Mapping[str, Any], features: Features) -> bytes:
    """Return the plaintext of a decoded record with other features; what else it says stays, unknown keys too."""
    kept = {key: value for key, value in fields.items() if key not in {"signs", "passages"}}
    packed: bytes = msgpack.packb({**kept, **_feature_fields(features)})
    return packed


def _feature_fields(features: Features) -> dict[str, Any]:
    scale, vector = _quantised(features.vector)
    fields: dict[str, Any] = {
        "analyzer": features.analyzer,
        "terms": dict(features.terms),
        "embedder": features.embedder,
        "scale": scale,
        "vector": vector,
    }
    if features.signs:
        fields["signs"] = list(features.signs)
    if features.passages:
        fields["passages"] = [[dict(terms), *_quantised(part)] for terms, part in features.passages]
    return fields


def _quantised(vector: NDArray[np.float32]) -> tuple[float, bytes]:
    scale = float(np.abs(vector).max(initial=0.0)) / INT8_MAX
    if scale < SMALLEST_SCALE:
        scale = 0.0
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
        "because": memory.superseded_because,
        "supersedes": list(memory.supersedes) or None,
        "conflicts": list(memory.conflicts_with) or None,
        "repeats": [_repeat_fields(one) for one in memory.repeats] or None,
        "metadata": dict(memory.metadata) or None,
        "provenance": _provenance_fields(memory.provenance) or None,
        "trust": None if memory.trust == 1.0 else memory.trust,
        "quarantined": memory.quarantined or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def amended(plaintext: bytes, changes: Mapping[str, Any]) -> bytes:
    """Return a record's plaintext with other values for some optional keys; what it does not know it keeps."""
    packed: bytes = msgpack.packb({**decode_fields(plaintext), **changes})
    return packed


def settled(plaintext: bytes) -> bytes:
    """Return the plaintext of a record that is volatile no longer."""
    fields = decode_fields(plaintext)
    fields.pop("volatile", None)
    packed: bytes = msgpack.packb(fields)
    return packed


def closed(plaintext: bytes, by: str, at_us: int, reason: str) -> bytes:
    """Return the plaintext of a memory that held good until `at_us`, when the memory `by` took its place."""
    return amended(plaintext, {"valid_to": at_us, "superseded_by": by, "because": reason})


def reopened(plaintext: bytes) -> bytes:
    """Return the plaintext of a memory that holds good again: nothing takes its place any more."""
    fields = decode_fields(plaintext)
    packed: bytes = msgpack.packb({k: v for k, v in fields.items() if k not in CLOSING_KEYS})
    return packed


def repeated(plaintext: bytes, repeat: Repeat) -> bytes:
    """Return the plaintext of a memory that was said once more; of its repeats the newest are kept."""
    fields = decode_fields(plaintext)
    provenance = dict(fields.get("provenance", {}))
    every = [*fields.get("repeats", []), _repeat_fields(repeat)]
    repeats, gone = every[-REPEATS_KEPT:], {one[0] for one in every[:-REPEATS_KEPT]}
    parents = [one for one in provenance.get("merged_from", []) if one not in gone]
    provenance["merged_from"] = [*parents, repeat.id]
    return amended(plaintext, {"provenance": provenance, "repeats": repeats})


def _repeat_fields(repeat: Repeat) -> list[Any]:
    moment = repeat.occurred_at
    return [repeat.id, repeat.order, to_us(moment), offset_minutes(moment), repeat.session]


def repeats_of(fields: Mapping[str, Any]) -> tuple[Repeat, ...]:
    """Return the times a decoded record was said again."""
    return tuple(Repeat(one[0], one[1], _zoned(one[2], one[3]), one[4]) for one in fields.get("repeats", ()))


def _provenance_fields(provenance: Provenance) -> dict[str, Any]:
    values: dict[str, Any] = {
        "source": None if provenance.source is SourceKind.USER else provenance.source.value,
        "channel": provenance.channel,
        "model": provenance.model,
        "derived_from": list(provenance.derived_from) or None,
        "merged_from": list(provenance.merged_from) or None,
        "origin_id": provenance.origin_id,
        "origin_source": provenance.origin_source and provenance.origin_source.value,
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
        occurred_at=_zoned(*fields["occurred"]),
        ingested_at=from_us(fields["ingested"]),
        author=get("author"),
        session=get("session"),
        agent=get("agent"),
        data_category=get("category", "conversation"),
        language=get("language"),
        valid_from=_moment(get("valid_from")),
        valid_to=_moment(get("valid_to")),
        superseded_by=get("superseded_by"),
        superseded_because=get("because"),
        supersedes=tuple(get("supersedes", ())),
        conflicts_with=tuple(get("conflicts", ())),
        repeats=repeats_of(fields),
        metadata=get("metadata", {}),
        provenance=_provenance(get("provenance", {})),
        trust=get("trust", 1.0),
        quarantined=get("quarantined", False),
    )


def vectors_of(
    records: list[dict[str, Any]], dimensions: int, embedder: str | None = None
) -> NDArray[np.float32]:
    """Return the vectors of many decoded records, float32 of shape `(len(records), dimensions)`.

    A record of another embedder than the one named, which could not be opened when the others were moved, has
    the zero vector: its words still find it.
    """
    if embedder is not None:
        none = {"vector": bytes(dimensions), "scale": 0.0}
        records = [record if record["embedder"] == embedder else none for record in records]
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
        origin_id=fields.get("origin_id"),
        origin_source=SourceKind(origin) if (origin := fields.get("origin_source")) else None,
    )


def _zoned(microseconds: int, offset_minutes: int) -> datetime:
    return from_us(microseconds).astimezone(timezone(timedelta(minutes=offset_minutes)))


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)


def offset_minutes(moment: datetime) -> int:
    """Return the offset in whole minutes; one that rounds to a whole day is no time zone any more."""
    offset = moment.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    return max(-MOST_OFFSET_MINUTES, min(MOST_OFFSET_MINUTES, minutes))
