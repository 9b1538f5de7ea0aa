"""What users say in the simulations."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.model import Interaction, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a user says at once."""

    count: int = 1
    purpose: str = "advice"
    sensitivity: str = "internal"
    importance: float = 0.9
    session: str | None = None
    role: Role = Role.USER
    operation: str | None = None


def interaction(content: str, saying: Saying) -> Interaction:
    """Return one of the things said at once, as it is given."""
    return Interaction(
        content=content,
        role=saying.role,
        session=saying.session,
        sensitivity=saying.sensitivity,  # type: ignore[arg-type]
        importance=saying.importance,
    )
