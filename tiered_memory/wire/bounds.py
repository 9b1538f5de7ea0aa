"""Bounds of parameters by name, so that the API's description says what the façade would refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from tiered_memory.intake import ID_CHARACTERS, LIMIT_MAX, TOKEN_BUDGET_MAX
from tiered_memory.user import MOST_POINTS

NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_CHARACTERS, pattern=NO_CONTROL)]
MemoryId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
PolicyName = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of a shipped policy: nothing that could be a path."""


def _described(**schema: Any) -> Any:
    """Text with bounds that the description tells of, and the façade itself refuses, in its own words."""
    return Annotated[str, Field(json_schema_extra=schema)]


Named = _described(minLength=1, maxLength=ID_CHARACTERS, pattern=NO_CONTROL)
Words = _described(minLength=1, pattern=r"\S")
NAMED = (
    "purpose", "notice", "notice_id", "owner", "reviewer", "operation_id", "channel", "session", "agent", "model",
    "evidence", "by", "version", "residency", "actor", "author",
)  # fmt: skip
WORDS = (
    "reason",
    "question",
    "content",
    "decision",
    "outcome",
    "text",
    "logic",
    "note",
    "compelling_grounds",
)

BY_NAME: dict[str, Any] = {
    "memory_id": MemoryId,
    "decision_id": MemoryId,
    "request_id": MemoryId,
    "tenant": Id,
    "user": Id,
    **dict.fromkeys(NAMED, Named),
    **dict.fromkeys(WORDS, Words),
    "language": _described(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"),
    "name": Id,
    "key_id": Id,
    "before": Annotated[int, Field(ge=0, le=2**63 - 1)],
    "points": Annotated[int, Field(ge=2, le=MOST_POINTS)],
    "limit": Annotated[int, Field(ge=1, le=LIMIT_MAX)],
    "token_budget": Annotated[int, Field(ge=1, le=TOKEN_BUDGET_MAX)],
    "days": Annotated[int, Field(ge=1, le=3650)],
    "within_days": Annotated[int, Field(ge=0, le=3650)],
}


def bounded(name: str, hint: Any) -> Any:
    """Return the type of a parameter with the bounds that its name has; times must be aware."""
    if name in BY_NAME and hint in (str, int):
        return BY_NAME[name]
    if name in BY_NAME and hint in (str | None, int | None):
        return BY_NAME[name] | None
    return _aware(hint)


def _aware(hint: Any) -> Any:
    if hint is datetime:
        return AwareDatetime
    if hint == datetime | None:
        return AwareDatetime | None
    return hint
