"""Personal data before it goes anywhere: the policy's modes applied to what is written, tokens to what is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.intake import Accepted
from tiered_memory.model import Sensitivity
from tiered_memory.policy.pii_types import PiiType, Span
from tiered_memory.privacy.pii import PLACEHOLDER, find, resolve
from tiered_memory.privacy.pii_index import blinded
from tiered_memory.privacy.pii_masking import Placeholders, apply
from tiered_memory.register import Entry, Register

KIND, ENTRY = "placeholders", "values"
MOST_PLACEHOLDERS = 10_000
"""Of one user; what comes beyond is redacted without a number."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Interactions as they may be kept, and the content of each as it is embedded and analysed, in order."""

    accepted: list[Accepted]
    indexable: list[str]


class Masker:
    """Finds personal data and treats it as the policy says, before anything is scored, embedded or stored.

    One value has one placeholder within a user. The table of them, keyed digests without values, is kept sealed
    under the user's own key; that of a user nothing durable is held of is in RAM only.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._register = Register(core)

    async def prepared(self, active: ActiveSubject, accepted: Sequence[Accepted]) -> Prepared:
        """Return what may be kept of each interaction, and its content as it is embedded and analysed.

        What was found in a text that is kept as it is holds for both: it is looked for once.

        Raises:
            PiiRefusedError: one holds what the policy refuses; nothing was stored.
        """
        hooked = [await self._hooked(one) for one in accepted]
        found = [await self.spans(one.interaction.content) for one in hooked]
        if any(found) or any(one.interaction.metadata for one in hooked):
            await self._load(active)
        treated = [self._one(active, one, spans) for one, spans in zip(hooked, found, strict=True)]
        await self._save(active)
        texts = [one.interaction.content for one in treated]
        known = [
            spans if text == before.interaction.content else await self.spans(text)
            for before, text, spans in zip(hooked, texts, found, strict=True)
        ]
        return Prepared(treated, self._blinded(active, texts, known))

    async def treated_text(self, active: ActiveSubject, text: str, level: Sensitivity) -> str:
        """Return what may be kept of one text of a sensitivity; raises like `prepared`."""
        spans = await self.spans(text)
        if not spans:
            return text
        await self._load(active)
        treated = self._text(active, text, spans, level)
        await self._save(active)
        return treated

    async def indexable(self, active: ActiveSubject, texts: Sequence[str]) -> list[str]:
        """Return the texts as they are embedded and analysed: what is personal in them is a token of the user's."""
        return self._blinded(active, texts, [await self.spans(one) for one in texts])

    async def question(self, active: ActiveSubject, text: str) -> str:
        """Return a question as it is embedded and analysed: a value finds texts that keep it, and masked ones."""
        spans = await self.spans(text)
        if not spans:
            return text
        await self._load(active)
        table = self._table(active)
        values = {span: text[span.start : span.end] for span in spans}
        known = {value: table.known(span.type, value) for span, value in values.items()}
        return blinded(text, spans, self._key(active), known)

    async def spans(self, text: str) -> tuple[Span, ...]:
        """Return what the policy's rules, and the recogniser if there is one, find in a text."""
        rules = self._core.policy.pii
        found = find(text, region_hint=rules.region_hint, also=rules.also)
        if self._core.recogniser is not None:
            walls = [match.span() for match in PLACEHOLDER.finditer(text)]
            model = [one for one in await self._core.recogniser.find(text) if _clear_of(one, walls)]
            found = tuple(resolve([*found, *model]))
        return tuple(one for one in found if one.confidence >= rules.min_confidence)

    async def _hooked(self, accepted: Accepted) -> Accepted:
        if self._core.pii is None:
            return accepted
        content = await self._core.pii(accepted.interaction.content)
        return replace(accepted, interaction=replace(accepted.interaction, content=content))

    def _blinded(
        self, active: ActiveSubject, texts: Sequence[str], found: Sequence[tuple[Span, ...]]
    ) -> list[str]:
        """The user's key is derived only where there is something to hide."""
        key = self._key(active) if any(found) else b""
        return [
            blinded(text, spans, key) if spans else text for text, spans in zip(texts, found, strict=True)
        ]

    def _one(self, active: ActiveSubject, accepted: Accepted, spans: tuple[Span, ...]) -> Accepted:
        given = accepted.interaction
        content = self._text(active, given.content, spans, given.sensitivity) if spans else given.content
        metadata: Mapping[str, Any] = given.metadata and self._value(
            active, given.metadata, given.sensitivity
        )
        if content == given.content and metadata == given.metadata:
            return accepted
        return replace(accepted, interaction=replace(given, content=content, metadata=metadata))

    def _value(self, active: ActiveSubject, value: Any, level: Sensitivity) -> Any:
        """Metadata are searched by the rules alone: a model reads sentences."""
        if isinstance(value, str):
            rules = self._core.policy.pii
            spans = find(value, region_hint=rules.region_hint, also=rules.also)
            sure = tuple(one for one in spans if one.confidence >= rules.min_confidence)
            return self._text(active, value, sure, level) if sure else value
        if isinstance(value, Mapping):
            return self._mapping(active, value, level)
        if isinstance(value, list | tuple):
            return [self._value(active, one, level) for one in value]
        return value

    def _mapping(self, active: ActiveSubject, value: Mapping[str, Any], level: Sensitivity) -> dict[str, Any]:
        """Keys say as much as values do. Two that come to the same are told apart: nothing gets lost."""
        treated: dict[str, Any] = {}
        for key, one in value.items():
            name = shown = self._value(active, key, level)
            again = 1
            while shown in treated or (shown != key and shown in value):
                again += 1
                shown = f"{name} {again}"
            treated[shown] = self._value(active, one, level)
        return treated

    def _text(self, active: ActiveSubject, text: str, spans: tuple[Span, ...], level: Sensitivity) -> str:
        rules = self._core.policy.pii
        masked = apply(text, spans, rules.modes[level], self._table(active), rules.types)
        active.placeholders.table = masked.placeholders
        return masked.text

    def _key(self, active: ActiveSubject) -> bytes:
        return self._core.names.values(active.ref.pseudonym)

    def _table(self, active: ActiveSubject) -> Placeholders:
        return active.placeholders.table or Placeholders(self._key(active), most=MOST_PLACEHOLDERS)

    async def _load(self, active: ActiveSubject) -> None:
        """What was numbered in RAM before anything durable was held keeps its number."""
        if active.placeholders.loaded or not active.durable:
            return
        async with active.placeholders.lock:
            await self._read(active)

    async def _read(self, active: ActiveSubject) -> None:
        kept = active.placeholders
        entry = None if kept.loaded else await self._register.get(active, KIND, ENTRY)
        if entry is not None:
            entries = {**entry.fields, **(kept.table.entries if kept.table else {})}
            kept.table = replace(self._table(active), entries=entries)
            kept.version, kept.saved = entry.version, len(entry.fields)
        kept.loaded = True

    async def _save(self, active: ActiveSubject) -> None:
        """On disk before a record that refers to it."""
        kept = active.placeholders
        if not active.durable or kept.table is None or len(kept.table.entries) == kept.saved:
            return
        async with kept.lock:
            fields = dict(kept.table.entries)
            entry = Entry(
                id=ENTRY,
                kind=KIND,
                status="kept",
                at_us=self._core.now_us(),
                fields=fields,
                version=kept.version,
            )
            kept.version = (await self._register.put(active, entry)).version
            kept.saved = len(fields)


def _clear_of(span: Span, walls: Sequence[tuple[int, int]]) -> bool:
    return all(span.end <= start or span.start >= end for start, end in walls) and isinstance(
        span.type, PiiType
    )
