"""Memory runtime for AI agents: three tiers, importance routing, forgetting, and erasure with proof."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiered_memory.caller import Caller
    from tiered_memory.config import Settings
    from tiered_memory.errors import TieredMemoryError
    from tiered_memory.memory import TieredMemory
    from tiered_memory.model import Certificate, Context, Filter, Hit, Interaction, Memory, Receipt
    from tiered_memory.privacy.sharing import Member
    from tiered_memory.shared_face import SharedMemory
    from tiered_memory.user import User

__version__ = "0.1.0"

_HOMES = {
    "TieredMemory": "memory",
    "User": "user",
    "SharedMemory": "shared_face",
    "Caller": "caller",
    "Member": "privacy.sharing",
    "Settings": "config",
    "TieredMemoryError": "errors",
    "Certificate": "model",
    "Context": "model",
    "Filter": "model",
    "Hit": "model",
    "Interaction": "model",
    "Memory": "model",
    "Receipt": "model",
}

__all__ = [
    "Caller",
    "Certificate",
    "Context",
    "Filter",
    "Hit",
    "Interaction",
    "Member",
    "Memory",
    "Receipt",
    "Settings",
    "SharedMemory",
    "TieredMemory",
    "TieredMemoryError",
    "User",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use: importing the package imports no engine."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
