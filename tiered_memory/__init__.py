"""Memory runtime for AI agents: three tiers, importance routing, forgetting, and erasure with proof."""

from __future__ import annotations

__version__ = "0.1.0"
