"""An operation of the HTTP API: a method of the public face, with its verb, its path and what a credential must allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tiered_memory.principals import Grant


class Root(StrEnum):
    """What a path begins with, and so which object of the public face answers."""

    STORE = "/v1"
    """The memory itself."""
    USER = "/v1/tenants/{tenant}/users/{user}"
    """`TieredMemory.user`."""
    LEDGER = "/v1/tenants/{tenant}/ledger"
    """`TieredMemory.tenants.ledger`."""
    SHARED = "/v1/tenants/{tenant}/shared/{name}"
    """`TieredMemory.shared`; the query's `as_user` says who asks, else the caller's actor."""


class Carries(StrEnum):
    """What a request or an answer is made of."""

    JSON = "application/json"
    LINES = "application/x-ndjson"
    ARCHIVE = "application/zip"


class Effect(StrEnum):
    """What a repetition of the request would do."""

    READS = "reads"
    IDEMPOTENT = "idempotent"
    """Repeating it changes nothing more."""
    ACTS = "acts"
    """Every request acts: an `Idempotency-Key` makes its repetition safe."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One line of the table.

    `face` is the attribute path from the root's object to the object whose `method` is called ("" is that object
    itself). `narrow` gives parameters a narrower type than the method's own, or leaves them out (`NOTHING`). `added` are optional parameters that
    HTTP alone has, by type, and `answers` a type in place of the method's own; a handler of the daemon knows both.
    `local` marks what names paths of the owner's machine.
    """

    name: str
    root: Root
    face: str
    method: str
    verb: str
    path: str
    grant: Grant
    status: int = 200
    effect: Effect = Effect.READS
    narrow: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    answers: Any = None
    takes: Carries = Carries.JSON
    gives: Carries = Carries.JSON
    remote: bool = True
    """Whether the client's method is this one; False for a second way to the same."""
    local: bool = False

    @property
    def template(self) -> str:
        """The whole path, with its parameters in braces."""
        return self.root.value + self.path
