"""The rules against poisoned memories: how far each source is trusted, and what is kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tiered_memory.policy.specs import SPEC, Checked, count, number, switch


@dataclass(frozen=True, slots=True)
class SharesSpec:
    """A table of names, each with a share (0..1)."""

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None."""
        accepted = "must be a table of channels, each with a number from 0 to 1"
        if not isinstance(value, Mapping):
            return f"{accepted}, not {type(value).__name__}"
        wrong = [name for name, share in value.items() if not (isinstance(name, str) and _is_share(share))]
        return f"{accepted}; wrong: {wrong[0]!r}" if wrong else None


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


@dataclass(frozen=True, slots=True)
class GuardRules(Checked):
    """Trust (0..1) by source, the score from which a memory is quarantined, and what corroboration does.

    A channel named in `channels` has the trust given there in place of its source's. With `scan`, what reads like
    instructions to the agent is quarantined from a score (0..1) of `quarantine_untrusted` where nothing is
    trusted, up to `quarantine_trusted` where everything is, rising with the fourth power of
    trust. A memory of a trust below
    `full_trust` is on probation: unless `min_corroboration` independent sources say the same, its score in a
    search is lowered by at most `probation_weight` (0..1), and it takes the place of no memory trusted more.
    """

    scan: bool = switch(True)
    trust_user: float = number(1.0, 0, 1)
    trust_agent: float = number(0.8, 0, 1)
    trust_tool: float = number(0.6, 0, 1)
    trust_document: float = number(0.5, 0, 1)
    trust_import: float = number(0.5, 0, 1)
    quarantine_untrusted: float = number(0.45, 0, 1)
    quarantine_trusted: float = number(0.97, 0, 1)
    full_trust: float = number(0.8, 0, 1)
    min_corroboration: int = count(2, 1, 50)
    probation_weight: float = number(0.1, 0, 1)
    channels: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({}), metadata={SPEC: SharesSpec()}
    )
