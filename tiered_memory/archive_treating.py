"""Personal data in what an archive brings: treated as in anything that is written, former texts included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.archive_lines import Former, Incoming
from tiered_memory.clock import to_us
from tiered_memory.core import Core
from tiered_memory.formats.record import offset_minutes
from tiered_memory.formats.versions import Version, kept_versions
from tiered_memory.intake import Accepted
from tiered_memory.masking import Masker
from tiered_memory.model import Interaction, Memory, Sensitivity
from tiered_memory.policy.pii_rules import PiiMode
from tiered_memory.privacy.pii_masking import PiiRefusedError

NOTHING = "-"
"""Stands for a text that was not kept, while the rest of its version is treated."""


class Treating:
    """Applies the policy's `[pii]` rules to the lines of an archive."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._masker = Masker(core)

    @property
    def refuses(self) -> bool:
        """Whether the policy refuses any sort of personal data; most do not."""
        rules = self._core.policy.pii
        return PiiMode.REFUSE in {*rules.modes.values(), *rules.types.values()}

    async def refusal(self, active: ActiveSubject, memory: Memory) -> str | None:
        """Return why the policy refuses a memory's text or metadata; None when it does not."""
        try:
            await self.treated(active, [memory])
        except PiiRefusedError as error:
            return f"the policy refuses text with {', '.join(error.types)}"
        return None

    async def treated(self, active: ActiveSubject, memories: Sequence[Memory]) -> list[Accepted]:
        """Return what may be kept of each memory; raises PiiRefusedError."""
        return (await self._masker.prepared(active, [_given(one) for one in memories])).accepted

    async def indexable(self, active: ActiveSubject, texts: Sequence[str]) -> list[str]:
        """See `Masker.indexable`."""
        return await self._masker.indexable(active, texts)

    async def former(self, active: ActiveSubject, incoming: Incoming) -> dict[str, Any]:
        """Return the keys of a record that say what a memory said before; a text that is refused is not among them."""
        level = incoming.memory.sensitivity
        versions = [await self._version(active, one, level) for one in incoming.versions]
        return {"versions": kept_versions(versions)} if versions else {}

    async def _version(self, active: ActiveSubject, former: Former, level: Sensitivity) -> Version:
        said = Interaction(content=former.content or NOTHING, sensitivity=level, metadata=former.metadata)
        content, metadata = None, said.metadata
        try:
            [treated] = (await self._masker.prepared(active, [Accepted(said, former.occurred_at)])).accepted
            metadata = treated.interaction.metadata
            content = None if former.content is None else treated.interaction.content
        except PiiRefusedError:
            metadata = {}
        return Version(
            version=former.version,
            content=content,
            until_us=to_us(former.until),
            reason=former.reason,
            by=former.by,
            occurred=(to_us(former.occurred_at), offset_minutes(former.occurred_at)),
            metadata=metadata,
        )


def _given(memory: Memory) -> Accepted:
    """Return a memory as whoever looks for personal data takes it."""
    said = Interaction(content=memory.content, sensitivity=memory.sensitivity, metadata=memory.metadata)
    return Accepted(said, memory.occurred_at)
