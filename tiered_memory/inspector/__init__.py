"""A window on the runtime for people: a web application that shows memories live and fade. Needs the `server` extra."""

from __future__ import annotations

from tiered_memory.inspector.app import inspector_app
from tiered_memory.inspector.desk import Options
from tiered_memory.inspector.series import Sample

__all__ = ["Options", "Sample", "inspector_app"]
