"""Five lines every importance scorer is shown, with the band each should fall in."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.model import Role


@dataclass(frozen=True, slots=True)
class DemoLine:
    """A line and the lowest and highest importance (0..1) that make sense for it."""

    role: Role
    text: str
    low: float
    high: float


DEMO_LINES = (
    DemoLine(Role.USER, "I'm getting a database timeout error in my app", 0.8, 1.0),
    DemoLine(Role.ASSISTANT, "Let's debug this step by step", 0.4, 0.7),
    DemoLine(Role.USER, "I prefer concise code examples over long explanations", 0.85, 1.0),
    DemoLine(Role.ASSISTANT, "I'll keep that in mind for future responses", 0.0, 0.2),
    DemoLine(Role.USER, "What's the weather like?", 0.0, 0.2),
)
