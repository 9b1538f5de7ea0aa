"""The archive of what is held of one person, format 1 (`tests/golden/archive_v1.json`).

An archive is a zip file: JSON Lines, one line per record, a schema for each of them, a page to read, and
`manifest.json`, which bears the SHA-256 of every other file and the store's Ed25519 signature. It is signed under a
prefix of its own: nothing else the store signs can pass for an archive.

Of `access` (GDPR Art. 15) it holds everything, what was inferred as well. Of `portability` (Art. 20) it holds what
the person provided or what was observed of them, processed on consent or contract, and nothing that was inferred or
derived from it: Art. 20(1), and the Article 29 Working Party's guidelines on the right to data portability, WP 242
rev.01, III ("data provided by the data subject").
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from tiered_memory.errors import ArchiveError
from tiered_memory.model import Explanation, LawfulBasis, Memory, Provenance, Repeat, Role, SourceKind

ARCHIVE_FORMAT = 1
SIGNED_AS = b"tiered-memory archive v1\n"
MANIFEST, PAGE = "manifest.json", "README.html"
MEMORIES, INFERRED, CONSENTS = "memories.jsonl", "inferred.jsonl", "consents.jsonl"
ACCESSES, SESSIONS, REGISTER = "accesses.jsonl", "sessions.jsonl", "register.jsonl"
SUBJECT, RETENTION, RECIPIENTS = "subject.json", "retention.json", "recipients.json"
PORTABLE_FILES = (MEMORIES, SUBJECT)
ACCESS_FILES = (
    MEMORIES,
    INFERRED,
    CONSENTS,
    ACCESSES,
    SESSIONS,
    REGISTER,
    SUBJECT,
    RETENTION,
    RECIPIENTS,
)
MANIFEST_BYTES = 1 << 20
LINE_BYTES = 32 << 20
"""The longest line that is read back."""
PORTABLE_BASES = frozenset({LawfulBasis.CONSENT, LawfulBasis.CONTRACT})
VOLATILE = "volatile"


class ArchiveKind(StrEnum):
    """Which right an archive answers: GDPR Art. 15, or Art. 20."""

    ACCESS = "access"
    PORTABILITY = "portability"


def schema_name(name: str) -> str:
    """Return where in an archive the schema of one of its files lies."""
    return f"schema/{name.partition('.')[0]}.schema.json"


def files_of(kind: ArchiveKind) -> tuple[str, ...]:
    """Return the files of an archive in their order, the manifest left out."""
    data = ACCESS_FILES if kind is ArchiveKind.ACCESS else PORTABLE_FILES
    return (*data, PAGE, *(schema_name(one) for one in data))


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the manifest says of a file: its SHA-256 (hex), its size in bytes, its lines."""

    sha256: str
    bytes: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveManifest:
    """An archive: made when, by what and under which key (hex), of whom, and its files.

    `subject_commitment` is an HMAC-SHA-256 of the subject under `salt` (both hex). `left_out` counts, by reason,
    what is held and not in it; `damaged` are the ids of memories that are held and cannot be read.
    """

    id: str
    kind: ArchiveKind
    made_at_us: int
    software: str
    public_key: str
    subject_commitment: str
    salt: str
    files: Mapping[str, FileFacts]
    left_out: Mapping[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

    def signed_bytes(self) -> bytes:
        """Return what the signature covers."""
        return SIGNED_AS + canonical(self._fields())

    def encode(self, sign: Callable[[bytes], bytes]) -> bytes:
        """Return the manifest's file."""
        return canonical({**self._fields(), "signature": sign(self.signed_bytes()).hex()}) + b"\n"

    def _fields(self) -> dict[str, Any]:
        return {
            "damaged": list(self.damaged),
            "files": {name: [one.sha256, one.bytes, one.lines] for name, one in self.files.items()},
            "format": ARCHIVE_FORMAT,
            "id": self.id,
            "kind": self.kind.value,
            "left_out": dict(self.left_out),
            "made_at_us": self.made_at_us,
            "public_key": self.public_key,
            "salt": self.salt,
            "software": self.software,
            "subject_commitment": self.subject_commitment,
        }


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys and no spaces, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_manifest(data: bytes) -> tuple[ArchiveManifest, bytes]:
    """Return the manifest in a file and the signature it bears.

    Raises:
        ArchiveError: it is none, or of a later format.
    """
    try:
        fields = json.loads(data)
        if fields["format"] != ARCHIVE_FORMAT:
            raise ArchiveError("the archive is of a format this version does not know: use a newer one")
        return _manifest_of(fields), bytes.fromhex(fields["signature"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError("the archive's manifest cannot be read; nothing was stored") from error


def _manifest_of(fields: Mapping[str, Any]) -> ArchiveManifest:
    return ArchiveManifest(
        id=_hex(fields["id"]),
        kind=ArchiveKind(fields["kind"]),
        made_at_us=int(fields["made_at_us"]),
        software=str(fields["software"]),
        public_key=_hex(fields["public_key"]),
        subject_commitment=_hex(fields["subject_commitment"]),
        salt=_hex(fields["salt"]),
        files={
            str(name): FileFacts(_hex(digest), int(size), int(lines))
            for name, (digest, size, lines) in fields["files"].items()
        },
        left_out={str(name): int(count) for name, count in fields["left_out"].items()},
        damaged=tuple(str(one) for one in fields["damaged"]),
    )


def _hex(value: Any) -> str:
    bytes.fromhex(value)
    return str(value)


# --- what the lines say --------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a value as JSON has it; moments in ISO 8601 with their offset, bytes in base64."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def line(fields: Mapping[str, Any]) -> bytes:
    """Return one line of a file; what is None or empty is left out of it."""
    return (
        canonical({key: plain(one) for key, one in fields.items() if one not in (None, (), {}, [])}) + b"\n"
    )


def is_portable(memory: Memory) -> bool:
    """Tell whether Art. 20 covers a memory: the person's own words, kept on consent or contract, not derived."""
    provenance = memory.provenance
    source = provenance.origin_source if provenance.source is SourceKind.IMPORT else provenance.source
    provided = memory.role is Role.USER and source is SourceKind.USER and not provenance.derived_from
    return provided and memory.lawful_basis in PORTABLE_BASES


def provided_fields(memory: Memory, state: str) -> dict[str, Any]:
    """Return what was provided or observed of a memory: what both kinds of archive say of it."""
    return {
        "id": memory.id,
        "state": state,
        "content": memory.content,
        "role": memory.role,
        "kind": memory.kind,
        "sensitivity": memory.sensitivity,
        "purpose": memory.purpose,
        "lawful_basis": memory.lawful_basis,
        "data_category": memory.data_category,
        "occurred_at": memory.occurred_at,
        "ingested_at": memory.ingested_at,
        "author": memory.author,
        "session": memory.session,
        "agent": memory.agent,
        "metadata": memory.metadata,
        "repeats": [_repeat(one) for one in memory.repeats],
        "provenance": _provenance(memory.provenance),
    }


def memory_fields(memory: Memory, state: str) -> dict[str, Any]:
    """Return a line of `memories.jsonl` of an access archive: all but what has numbers."""
    return {
        **provided_fields(memory, state),
        "order": memory.order,
        "version": memory.version,
        "importance": memory.importance,
        "reasons": memory.reasons,
        "language": memory.language,
        "valid_from": memory.valid_from,
        "valid_to": memory.valid_to,
        "superseded_by": memory.superseded_by,
        "superseded_because": memory.superseded_because,
        "supersedes": memory.supersedes,
        "conflicts_with": memory.conflicts_with,
        "trust": memory.trust,
        "quarantined": memory.quarantined,
    }


def inferred_fields(
    explained: Explanation, record: Mapping[str, Any], *, pinned: bool, held: bool
) -> dict[str, Any]:
    """Return a line of `inferred.jsonl`: what was computed of a memory, its vector included."""
    return {
        "id": explained.memory.id,
        "importance": explained.memory.importance,
        "reasons": explained.memory.reasons,
        "strength": explained.strength,
        "half_life_days": explained.half_life_days,
        "spaced_uses": explained.spaced_uses,
        "last_used_at": explained.last_used_at,
        "forget_at": explained.forget_at,
        "deadline": explained.deadline,
        "deadline_rule": explained.deadline_rule,
        "state": explained.state,
        "tiers": explained.tiers,
        "policy": explained.policy,
        "pinned": pinned,
        "on_hold": held,
        "trust": explained.memory.trust,
        "quarantined": explained.memory.quarantined,
        "superseded_by": explained.memory.superseded_by,
        "conflicts_with": explained.memory.conflicts_with,
        "analyzer": record["analyzer"],
        "terms": record["terms"],
        "signs": record.get("signs"),
        "embedder": record["embedder"],
        "vector": _vector(record["scale"], record["vector"]),
        "passages": [
            {"terms": terms, "vector": _vector(scale, vector)}
            for terms, scale, vector in record.get("passages", ())
        ],
    }


def _vector(scale: float, vector: bytes) -> dict[str, Any]:
    """A number is its int8 times `scale`."""
    return {"dtype": "int8", "dimensions": len(vector), "scale": scale, "base64": vector}


def _repeat(one: Repeat) -> dict[str, Any]:
    return {"id": one.id, "order": one.order, "occurred_at": one.occurred_at, "session": one.session}


def _provenance(one: Provenance) -> dict[str, Any]:
    fields = {
        "source": one.source,
        "channel": one.channel,
        "model": one.model,
        "derived_from": one.derived_from,
        "merged_from": one.merged_from,
        "origin_id": one.origin_id,
        "origin_source": one.origin_source,
    }
    return {key: value for key, value in fields.items() if value}


def as_of(memory: Memory, newer: frozenset[str], top: int) -> Memory:
    """Return a memory as it was before the memories `newer`, and every order above `top`, were there."""
    repeats = tuple(one for one in memory.repeats if one.order <= top)
    merged = {one.id for one in memory.repeats if one.order > top}
    provenance = memory.provenance
    kept = tuple(one for one in provenance.merged_from if one not in merged)
    memory = replace(
        memory,
        repeats=repeats,
        provenance=replace(provenance, merged_from=kept),
        conflicts_with=tuple(one for one in memory.conflicts_with if one not in newer),
    )
    if memory.superseded_by not in newer:
        return memory
    return replace(memory, superseded_by=None, superseded_because=None, valid_to=None)
