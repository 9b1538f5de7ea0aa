"""What a fact can be."""

from __future__ import annotations

from typing import TypeAlias

from tiered_memory.metrics.daemon import DaemonFact
from tiered_memory.metrics.rights import ForgettingFact, RightsFact
from tiered_memory.metrics.serving import ServingFact
from tiered_memory.metrics.standing import StandingFact
from tiered_memory.metrics.storing import StoringFact

Fact: TypeAlias = ServingFact | StoringFact | RightsFact | ForgettingFact | StandingFact | DaemonFact
