"""What RAM holds of one memory, of its strength, and of a user's placeholders; and rows turned into values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio

from tiered_memory.forgetting.decay import StrengthState
from tiered_memory.formats.record import decode_fields, memory_of, repeats_of
from tiered_memory.model import Memory, Repeat, Sensitivity
from tiered_memory.privacy.consent import ConsentAction, ConsentEvent
from tiered_memory.privacy.pii_masking import Placeholders
from tiered_memory.state.base import ConsentRow, MemoryRow

REPEATS_KEY = b"\xa7repeats"
"""The key of a record's repeats as msgpack writes it."""


@dataclass(slots=True)
class HeldMemory:
    """A memory in RAM: its verified plaintext, and the few fields that filters ask for.

    `ram_only`: wherever else it rests, it is sealed under the key that is in RAM only.
    """

    id: str
    order: int
    version: int
    plaintext: bytes
    kind: str
    role: str
    session: str | None
    agent: str | None
    occurred_us: int
    importance: float
    expires_us: int | None = None
    ram_only: bool = False
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    superseded_by: str | None = None
    conflicts: tuple[str, ...] = ()
    sensitivity: str = Sensitivity.RESTRICTED.value
    wording: int = 0
    """A digest of its index terms, within this process."""
    profile_key: str | None = None
    settled_order: int = 0
    """What memories of up to this order said against it, they said against a text that was corrected since."""
    trust: float = 1.0
    quarantined: bool = False

    def held_good(self, at_us: int) -> bool:
        """Tell whether it was so at a moment, as far as is known now."""
        since = self.occurred_us if self.valid_from_us is None else self.valid_from_us
        return since <= at_us and (self.valid_to_us is None or at_us < self.valid_to_us)

    @property
    def volatile(self) -> bool:
        """Whether it lives in hot and warm only."""
        return self.expires_us is not None

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        """The times it was said again; that there are none is seen without decoding it."""
        return repeats_of(decode_fields(self.plaintext)) if REPEATS_KEY in self.plaintext else ()

    def memory(self) -> Memory:
        """Return the memory in full."""
        return memory_of(
            decode_fields(self.plaintext), record_id=self.id, order=self.order, version=self.version
        )


@dataclass(slots=True)
class Tracked:
    """A durable memory's strength in RAM, ahead of the state store by the uses not yet written."""

    row: MemoryRow
    state: StrengthState


@dataclass(slots=True)
class KnownValues:
    """The placeholders of personal data that a subject's texts have; see `masking.py`."""

    table: Placeholders | None = None
    loaded: bool = False
    version: int = 0
    saved: int = 0
    lock: anyio.Lock = field(default_factory=anyio.Lock)


def state_of(row: MemoryRow) -> StrengthState:
    """Return the strength state a row describes."""
    return StrengthState(
        row.importance, row.strength_last, row.t_last_us, row.n_spaced, row.ingested_us, row.policy_version
    )


def consent_event(row: ConsentRow, details: dict[str, Any]) -> ConsentEvent:
    """Return the event a consent row and its opened details describe."""
    action = ConsentAction(row.action)
    return ConsentEvent(row.event_id, action, row.purpose, row.at_us, row.expires_us, row.explicit, details)
