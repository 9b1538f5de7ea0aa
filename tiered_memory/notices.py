"""Publishes privacy notices in the register: each (id, version, language) once and for good."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from tiered_memory.core import Core
from tiered_memory.errors import ConflictError, InvalidInputError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.privacy.notices import NOTICE, Notice, chosen_notice, digest_of, entry_name
from tiered_memory.register import Entry, Register

STORE = b""
PUBLISHED = "published"


class NoticeBoard:
    """Publishes and finds notices. They belong to the store, not to a person."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._register = Register(core)

    async def publish(self, notice: Notice) -> Notice:
        """Publish a notice; the same one again is answered with what was published.

        Raises:
            ConflictError: this id, version and language was published with something else.
        """
        unknown = [one for one in notice.purposes if one not in self._core.policy.purposes]
        if unknown:
            known = ", ".join(sorted(self._core.policy.purposes))
            raise InvalidInputError(f"a notice can inform of the policy's purposes only; it has: {known}")
        notice = replace(notice, sha256=digest_of(notice.text), at_us=self._core.now_us())
        earlier = await self._published(notice)
        if earlier is not None:
            return earlier
        try:
            await self._register.put_common(STORE, _entry(notice), self._leaf(notice))
        except ConflictError:
            # Somebody published it at the same moment.
            return await self._published(notice) or notice
        return notice

    async def take_up(self, notices: Iterable[Notice]) -> None:
        """Have what the store published at hand in a tenant's own runtime as well; what is there already stays."""
        known = {_named(one) for one in await self.all()}
        for notice in notices:
            if _named(notice) not in known:
                with contextlib.suppress(ConflictError):  # somebody did the same at this moment
                    leaf = replace(self._leaf(notice), at_us=self._core.now_us())
                    await self._register.put_common(STORE, _entry(notice), leaf)

    async def all(self) -> list[Notice]:
        """Return every notice in the order of publication."""
        entries = await self._register.common(STORE, NOTICE)
        return [_notice(one) for one in entries]

    async def find(self, name: str, language: str | None = None) -> Notice | None:
        """Return the notice that a name chooses; see `chosen_notice`."""
        return chosen_notice(await self.all(), name, language)

    async def _published(self, notice: Notice) -> Notice | None:
        earlier = next((one for one in await self.all() if _named(one) == _named(notice)), None)
        if earlier is not None and replace(earlier, at_us=notice.at_us) != notice:
            raise ConflictError(
                "this version of the notice is published in this language and cannot change: publish a new version"
            )
        return earlier

    def _leaf(self, notice: Notice) -> AuditLeaf:
        """The text is public: its digest may stand in the ledger."""
        named = self._core.names.register_key.fingerprint(b"ledger/notice/" + _named(notice).encode()).hex()
        detail = {"sha256": notice.sha256}
        return AuditLeaf(AuditEvent.NOTICE_PUBLISHED, notice.at_us, "", "", 0, object=named, detail=detail)


def _named(notice: Notice) -> str:
    return entry_name(notice.id, notice.version, notice.language)


def _entry(notice: Notice) -> Entry:
    fields = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(notice).items()
    }
    return Entry(id=_named(notice), kind=NOTICE, status=PUBLISHED, at_us=notice.at_us, fields=fields)


def _notice(entry: Entry) -> Notice:
    given: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.fields.items()
    }
    return Notice(**given)
