"""What a controller tells people: the `[consent]` section of a policy, and the fields that say nothing by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tiered_memory.policy.specs import SPEC, Checked, switch


@dataclass(frozen=True, slots=True)
class StatedSpec:
    """Any text; the empty one states nothing."""

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None."""
        return (
            None
            if isinstance(value, str)
            else f'must be text ("" states nothing), not {type(value).__name__}'
        )


@dataclass(frozen=True, slots=True)
class NamesSpec:
    """A list of texts that are not blank."""

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None."""
        if isinstance(value, list | tuple) and all(isinstance(one, str) and one.strip() for one in value):
            return None
        return 'must be a list of texts that are not blank, e.g. ["billing partner"]'


def stated() -> Any:
    """Return a field for text that may be empty."""
    return field(default="", metadata={SPEC: StatedSpec()})


def names() -> Any:
    """Return a field for a list of names; none by default."""
    return field(default=(), metadata={SPEC: NamesSpec()})


@dataclass(frozen=True, slots=True)
class ConsentRules(Checked):
    """Who asks for consent, and how strictly (GDPR Art. 7 and 13).

    With `require_published_notice` a consent must name a notice that was published. The rest is stated on receipts
    where a purpose or a notice does not say otherwise: the controller's name, how to reach it, the jurisdiction, and
    how a consent is withdrawn.
    """

    require_published_notice: bool = switch(False)
    controller: str = stated()
    contact: str = stated()
    jurisdiction: str = stated()
    withdrawal_method: str = stated()
