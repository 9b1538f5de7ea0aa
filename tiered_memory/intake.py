"""Bad input stops here: every value a caller gives is checked before anything is computed or stored. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from tiered_memory.caller import Caller
from tiered_memory.errors import InvalidInputError
from tiered_memory.model import (
    Durability,
    Filter,
    Interaction,
    Kind,
    Provenance,
    Role,
    Sensitivity,
    SourceKind,
    Subject,
)
from tiered_memory.privacy.pii import without_secrets

ID_CHARACTERS = 256
METADATA_BYTES = 16 * 1024
METADATA_DEPTH = 5
TOKEN_BUDGET_MAX = 10_000_000
LIMIT_MAX = 10_000
PARENTS_MAX = 1000
REASON_BYTES = 1024
INTEGERS = range(-(2**63), 2**63)
EARLIEST_YEAR = 1900
FUTURE_TOLERANCE = timedelta(days=1)
EPOCH = datetime.fromtimestamp(0, UTC)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTEXT = re.compile(r"(?:[^\W\d]|[ -]){0,40}")
_MEMORY_ID = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """An interaction that may be processed: every optional time is filled in."""

    interaction: Interaction
    occurred_at: datetime


class Details(TypedDict, total=False):
    """What may be said of an interaction besides its content; see `Interaction`."""

    role: Role | str
    author: str | None
    session: str | None
    agent: str | None
    occurred_at: datetime | None
    kind: Kind | str
    sensitivity: Sensitivity | str
    importance: float | None
    metadata: Mapping[str, Any]
    provenance: Provenance | None


def check_subject(tenant: object, user: object) -> Subject:
    """Return the subject; ids are opaque text of 1 to 256 characters without control characters."""
    return Subject(check_id(tenant, "tenant"), check_id(user, "user"))


def check_id(value: object, what: str) -> str:
    """Return `value` when it may name something. Any script and punctuation is fine: ids never become names of files."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be a string, got {type(value).__name__}")
    if not 1 <= len(value) <= ID_CHARACTERS:
        raise InvalidInputError(f"{what} must have 1 to {ID_CHARACTERS} characters, got {len(value)}")
    if _CONTROL.search(value):
        raise InvalidInputError(f"{what} must not contain control characters")
    check_encodable(value, what)
    return value


def check_caller(value: object) -> Caller:
    """Return who calls; None is an agent. A role that nobody knows is refused by the call, not here."""
    if value is None:
        return Caller()
    if not isinstance(value, Caller):
        raise InvalidInputError(f"caller must be a Caller, got {type(value).__name__}")
    check_id(value.role, "the caller's role")
    if value.actor != "":
        check_id(value.actor, "the caller's actor")
    context: object = value.context
    if not isinstance(context, str) or not _CONTEXT.fullmatch(context):
        raise InvalidInputError(
            "the caller's context is a category: up to 40 letters, spaces, hyphens, underscores"
        )
    return value


def levels_of(interactions: Sequence[object]) -> list[Sensitivity]:
    """Return the levels that interactions give, each once; what is no interaction or no level is refused later."""
    given = {one.sensitivity for one in interactions if isinstance(one, Interaction)}
    return [level for level in Sensitivity if level.value in given]


def check_memory_id(value: object) -> str:
    """Return `value` when it has the form of a memory's id (32 hex digits)."""
    if not isinstance(value, str) or not _MEMORY_ID.fullmatch(value):
        raise InvalidInputError("a memory id is 32 lower-case hex digits, as receipts and hits give it")
    return value


def check_key(value: object) -> bytes:
    """Return the 32 bytes of a public key given as 64 hex digits."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise InvalidInputError("a public key is 64 hex digits")
    return bytes.fromhex(value)


def check_text(value: object, what: str, limit_bytes: int) -> str:
    """Return text that is not blank, has no NUL, encodes as UTF-8 and has at most `limit_bytes` bytes."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} must be text (str), got {type(value).__name__}; decode bytes first")
    if not value.strip():
        raise InvalidInputError(f"{what} must not be empty")
    if "\x00" in value:
        raise InvalidInputError(f"{what} must not contain NUL characters")
    size = len(check_encodable(value, what))
    if size > limit_bytes:
        raise InvalidInputError(
            f"{what} has {size} bytes, the limit is {limit_bytes} (max_content_bytes); split it into parts"
        )
    return value


def check_words(value: object, what: str, limit_bytes: int) -> str:
    """Return text as `check_text` does that is kept beside memories, without the secrets in it."""
    return without_secrets(check_text(value, what, limit_bytes))


def check_encodable(value: str, what: str) -> bytes:
    """Return the UTF-8 bytes; a lone surrogate is a sign of text that was decoded wrongly."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            f"{what} is not valid Unicode (lone surrogate); decode it as UTF-8 first"
        ) from None


def check_moment(value: object, what: str, now: datetime, *, future: bool = False) -> datetime:
    """Return an aware datetime from 1900 on; not later than a day from `now` unless `future`."""
    if not isinstance(value, datetime):
        raise InvalidInputError(f"{what} must be a datetime, got {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidInputError(f"{what} must be aware: add a time zone, e.g. tzinfo=datetime.UTC")
    if value.year < EARLIEST_YEAR:
        raise InvalidInputError(f"{what} lies before {EARLIEST_YEAR}")
    if not future and value - now > FUTURE_TOLERANCE:
        raise InvalidInputError(f"{what} lies more than a day in the future")
    return value


def check_share(value: object, what: str) -> float:
    """Return a number in [0, 1]; NaN and truth values are refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInputError(f"{what} must be a number, got {type(value).__name__}")
    if not 0.0 <= value <= 1.0:
        raise InvalidInputError(f"{what} must lie in 0..1")
    return float(value)


def check_count(value: object, what: str, *, low: int = 1, high: int = LIMIT_MAX) -> int:
    """Return a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError(f"{what} must be a whole number, got {type(value).__name__}")
    if not low <= value <= high:
        raise InvalidInputError(f"{what} must lie in {low}..{high}, got {value}")
    return value


def check_metadata(value: object) -> Mapping[str, Any]:
    """Return metadata: a mapping of text keys to JSON values, at most 16 KiB as JSON and 5 levels deep."""
    if not isinstance(value, Mapping):
        raise InvalidInputError("metadata must be a mapping")
    if not value:
        return {}
    _check_json(value, METADATA_DEPTH)
    try:
        encoded = json.dumps(dict(value), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise InvalidInputError("metadata must be JSON: text keys, finite numbers, valid Unicode") from None
    if len(encoded) > METADATA_BYTES:
        raise InvalidInputError(f"metadata has {len(encoded)} bytes as JSON, the limit is {METADATA_BYTES}")
    copied: dict[str, Any] = json.loads(encoded)
    return copied


def _check_json(value: object, depth: int) -> None:
    if depth < 0:
        raise InvalidInputError(f"metadata is nested deeper than {METADATA_DEPTH} levels")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInputError("metadata keys must be text")
        for item in value.values():
            _check_json(item, depth - 1)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            _check_json(item, depth - 1)
    elif isinstance(value, int) and not INTEGERS.start <= value < INTEGERS.stop:
        raise InvalidInputError("whole numbers in metadata must fit into 64 bits")


def check_filter(where: object) -> Filter | None:
    """Return a filter whose fields are of the sorts it says; a bare string is no collection of names."""
    if where is None:
        return None
    if not isinstance(where, Filter):
        raise InvalidInputError(f"where must be a Filter, got {type(where).__name__}")
    for name, moment in (("since", where.since), ("until", where.until), ("as_of", where.as_of)):
        if moment is not None:
            check_moment(moment, name, moment, future=True)
    if where.min_importance is not None:
        check_share(where.min_importance, "min_importance")
    if not isinstance(where.include_quarantined, bool):
        raise InvalidInputError("include_quarantined must be true or false")
    return replace(
        where,
        kinds=_each(where.kinds, "kinds", lambda one: check_word(Kind, one, "kinds")),
        roles=_each(where.roles, "roles", lambda one: check_word(Role, one, "roles")),
        sessions=_each(where.sessions, "sessions", lambda one: check_id(one, "sessions")),
        agents=_each(where.agents, "agents", lambda one: check_id(one, "agents")),
        metadata=check_metadata(where.metadata),
    )


def narrowed(where: object, as_of: object = None, *, include_superseded: object = False) -> Filter | None:
    """Return a checked filter with a moment, or the wish for superseded memories, put into it."""
    given = check_filter(where)
    if not isinstance(include_superseded, bool):
        raise InvalidInputError("include_superseded must be true or false")
    if as_of is None and not include_superseded:
        return given
    given = given or Filter()
    moment = given.as_of if as_of is None else check_moment(as_of, "as_of", EPOCH, future=True)
    return replace(given, as_of=moment, include_superseded=include_superseded or given.include_superseded)


def check_durability(value: object) -> Durability | None:
    """Return the durability a caller requires, if any."""
    checked: Durability | None = None if value is None else check_word(Durability, value, "durability")
    return checked


def _each(values: object, what: str, check: Callable[[object], Any]) -> frozenset[Any] | None:
    if values is None:
        return None
    if isinstance(values, (str, bytes)) or not isinstance(values, Collection):
        raise InvalidInputError(f"{what} must be a set, got {type(values).__name__}")
    return frozenset(check(one) for one in values)


def accept(interaction: Interaction, now: datetime, max_content_bytes: int) -> Accepted:
    """Return the interaction, checked, with words turned into their enums.

    Raises:
        InvalidInputError: names the field and what it must be; nothing was stored.
    """
    if not isinstance(interaction, Interaction):
        raise InvalidInputError(f"expected an Interaction, got {type(interaction).__name__}")
    occurred_at = now
    if interaction.occurred_at is not None:
        occurred_at = check_moment(interaction.occurred_at, "occurred_at", now)
    importance = interaction.importance
    checked = replace(
        interaction,
        content=check_text(interaction.content, "content", max_content_bytes),
        role=check_word(Role, interaction.role, "role"),
        kind=check_word(Kind, interaction.kind, "kind"),
        sensitivity=check_word(Sensitivity, interaction.sensitivity, "sensitivity"),
        author=_optional_id(interaction.author, "author"),
        session=_optional_id(interaction.session, "session"),
        agent=_optional_id(interaction.agent, "agent"),
        importance=None if importance is None else check_share(importance, "importance"),
        metadata=check_metadata(interaction.metadata),
        provenance=check_provenance(interaction.provenance),
    )
    return Accepted(checked, occurred_at)


def check_provenance(value: object) -> Provenance | None:
    """Return where a memory came from: a known source, ids for the rest, at most 1000 parents of each sort."""
    if value is None:
        return None
    if not isinstance(value, Provenance):
        raise InvalidInputError(f"provenance must be a Provenance, got {type(value).__name__}")
    return Provenance(
        source=check_word(SourceKind, value.source, "provenance.source"),
        channel=_optional_id(value.channel, "provenance.channel"),
        model=_optional_id(value.model, "provenance.model"),
        derived_from=_parents(value.derived_from, "provenance.derived_from"),
        merged_from=_parents(value.merged_from, "provenance.merged_from"),
    )


def _parents(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list)) or len(value) > PARENTS_MAX:
        raise InvalidInputError(f"{what} must be a tuple of at most {PARENTS_MAX} ids")
    return tuple(check_id(one, what) for one in value)


def _optional_id(value: object, what: str) -> str | None:
    return None if value is None else check_id(value, what)


def check_word(kind: type[Any], value: object, what: str) -> Any:
    """Return `value` as a member of an enum of words."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise InvalidInputError(f"{what} must be one of {known}") from None
