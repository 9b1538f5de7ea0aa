"""Lines of an archive read back: somebody may have written them by hand, so each is checked like a caller's words.

Keys that are not known are passed over: a later format may have more. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tiered_memory.errors import ArchiveError, InvalidInputError
from tiered_memory.formats.archive import VOLATILE
from tiered_memory.formats.record import REPEATS_KEPT
from tiered_memory.formats.versions import VERSIONS_KEPT
from tiered_memory.intake import (
    LIMIT_MAX,
    REASON_BYTES,
    accept,
    check_count,
    check_id,
    check_memory_id,
    check_metadata,
    check_moment,
    check_share,
    check_text,
)
from tiered_memory.model import Interaction, LawfulBasis, Memory, Provenance, Repeat, SourceKind

FORGOTTEN_THERE = "it was forgotten where it was exported: an import does not bring it back"
EPHEMERAL_THERE = "it was not kept where it was exported, only its session was"
REASONS_MOST = 100
HIGHEST, VERSION_MOST = 2**63 - 1, 2**31 - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What a memory said before a correction; `content` is None where the text was not to stay."""

    version: int
    content: str | None
    until: datetime
    reason: str
    by: str | None
    occurred_at: datetime
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A memory of an archive, checked. Its ids, order and grounds are those of where it was exported.

    `unfit` says why it cannot be imported; `scored` whether the archive says how important it is;
    `source` is where it came from before any import. `versions` is what it said before it was corrected, `order` its
    order there, and `settled` the order up to which what was said against it was said against another text.
    """

    memory: Memory
    unfit: str | None
    scored: bool
    source: SourceKind
    versions: tuple[Former, ...] = ()
    order: int = 0
    settled: int = 0


def read_line(line: bytes, number: int, now: datetime, max_content_bytes: int) -> Incoming:
    """Return the memory in line `number` of `memories.jsonl`.

    Raises:
        ArchiveError: names the line and what is wrong with it.
    """
    try:
        return _incoming(dict[str, Any](json.loads(line)), now, max_content_bytes)
    except (InvalidInputError, ValueError, TypeError, KeyError, RecursionError) as error:
        said = (
            str(error)
            if isinstance(error, InvalidInputError)
            else f"it cannot be read ({type(error).__name__})"
        )
        raise ArchiveError(f"line {number} of the archive's memories: {said}; nothing was stored") from None


def _incoming(fields: Mapping[str, Any], now: datetime, max_content_bytes: int) -> Incoming:
    get = fields.get
    given = Interaction(
        content=fields["content"],
        role=fields["role"],
        author=get("author"),
        session=get("session"),
        agent=get("agent"),
        occurred_at=datetime.fromisoformat(fields["occurred_at"]),
        kind=fields["kind"],
        sensitivity=fields["sensitivity"],
        importance=get("importance"),
        metadata=get("metadata", {}),
        provenance=_provenance(get("provenance", {})),
    )
    accepted = accept(given, now, max_content_bytes)
    one = accepted.interaction
    basis = get("lawful_basis")
    memory = Memory(
        id=check_memory_id(fields["id"]),
        order=0,
        version=1,
        content=one.content,
        role=one.role,
        kind=one.kind,
        importance=0.0 if one.importance is None else one.importance,
        reasons=tuple(_text(reason) for reason in _list(get("reasons", []), REASONS_MOST)),
        sensitivity=one.sensitivity,
        purpose=check_id(fields["purpose"], "purpose"),
        lawful_basis=LawfulBasis(basis) if basis else None,
        occurred_at=accepted.occurred_at,
        ingested_at=min(now, _moment(fields, "ingested_at", now) or now),
        author=one.author,
        session=one.session,
        agent=one.agent,
        data_category=check_id(get("data_category", "conversation"), "data_category"),
        metadata=one.metadata,
        provenance=one.provenance or Provenance(),
    )
    state = get("state", "active")
    unfit = {"forgotten": FORGOTTEN_THERE, VOLATILE: EPHEMERAL_THERE}.get(state)
    versions = tuple(
        _former(each, now, max_content_bytes) for each in _list(get("versions", []), VERSIONS_KEPT)
    )
    newest = max((each.version for each in versions), default=0)
    return Incoming(
        replace(_linked(memory, fields, now), version=newest + 1),
        unfit,
        one.importance is not None,
        _original(get("provenance", {})),
        versions,
        check_count(get("order", 0), "order", low=0, high=HIGHEST),
        check_count(get("settled", 0), "settled", low=0, high=HIGHEST),
    )


def _former(fields: Mapping[str, Any], now: datetime, max_content_bytes: int) -> Former:
    get, by = fields.get, fields.get("by")
    content = get("content")
    return Former(
        version=check_count(fields["version"], "version", high=VERSION_MOST),
        content=None if content is None else check_text(content, "content", max_content_bytes),
        until=check_moment(datetime.fromisoformat(fields["until"]), "until", now),
        reason=_text(fields["reason"]),
        by=None if by is None else check_id(by, "by"),
        occurred_at=check_moment(datetime.fromisoformat(fields["occurred_at"]), "occurred_at", now),
        metadata=check_metadata(get("metadata", {})),
    )


def _linked(memory: Memory, fields: Mapping[str, Any], now: datetime) -> Memory:
    """Return the memory with what an archive for access says besides."""
    get = fields.get
    by, because, language = get("superseded_by"), get("superseded_because"), get("language")
    return replace(
        memory,
        language=None if language is None else check_id(language, "language"),
        valid_from=_moment(fields, "valid_from", now),
        valid_to=_moment(fields, "valid_to", now),
        superseded_by=None if by is None else check_memory_id(by),
        superseded_because=None if because is None else _text(because),
        supersedes=_ids(get("supersedes", [])),
        conflicts_with=_ids(get("conflicts_with", [])),
        repeats=tuple(_repeat(one, now) for one in _list(get("repeats", []), REPEATS_KEPT)),
        trust=check_share(get("trust", 1.0), "trust"),
        quarantined=get("quarantined", False) is True,
    )


def _provenance(fields: Mapping[str, Any]) -> Provenance:
    get = fields.get
    return Provenance(
        source=SourceKind(get("source", SourceKind.USER)),
        channel=get("channel"),
        model=get("model"),
        derived_from=tuple(get("derived_from", ())),
        merged_from=tuple(get("merged_from", ())),
    )


def _original(fields: Mapping[str, Any]) -> SourceKind:
    """Return where a memory came from at first: of one that was imported before, where it came from there."""
    return SourceKind(fields.get("origin_source") or fields.get("source", SourceKind.USER))


def _repeat(fields: Mapping[str, Any], now: datetime) -> Repeat:
    session = fields.get("session")
    moment = check_moment(datetime.fromisoformat(fields["occurred_at"]), "repeats", now)
    return Repeat(
        check_memory_id(fields["id"]), 0, moment, None if session is None else check_id(session, "session")
    )


def _moment(fields: Mapping[str, Any], name: str, now: datetime) -> datetime | None:
    given = fields.get(name)
    return None if given is None else check_moment(datetime.fromisoformat(given), name, now, future=True)


def _ids(values: object) -> tuple[str, ...]:
    return tuple(check_memory_id(one) for one in _list(values, LIMIT_MAX))


def _text(value: object) -> str:
    return check_text(value, "a reason", REASON_BYTES)


def _list(values: object, most: int) -> list[Any]:
    if not isinstance(values, list) or len(values) > most:
        raise InvalidInputError(f"a list must be one, of at most {most} entries")
    return values
