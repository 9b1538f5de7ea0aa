"""The notices of a store, as callers see them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from tiered_memory.consent_face import checked_names
from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import REASON_BYTES, check_id, check_text
from tiered_memory.metrics import timed
from tiered_memory.privacy.notices import AT, Notice, required_notice
from tiered_memory.runtime import Parts
from tiered_memory.runtimes import Runtimes

TEXT_BYTES = 256 * 1024
LISTS = frozenset({"purposes", "recipients"})
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
AllNotices = list[Notice]


class NoticeTerms(TypedDict, total=False):
    """What a notice states besides its text: `purposes` are those it informs about, none named means any."""

    controller: str
    contact: str
    purposes: Sequence[str]
    recipients: Sequence[str]
    jurisdiction: str


class Notices:
    """The privacy notices of a store: what people see before they decide. They are the same for all its tenants."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes

    def _parts(self) -> Parts:
        return self._runtimes.main

    async def publish(
        self, notice_id: str, *, version: str, language: str, text: str, **stated: Unpack[NoticeTerms]
    ) -> Notice:
        """Publish a version of a notice in a language (BCP 47, e.g. "en"); `text` has at most 256 KiB.

        It cannot be changed any more; publishing the same again answers with what is published. Tenants with data
        directories of their own find it as well, strict ones too; one whose directory is not open does when it is.

        Raises:
            ConflictError: this version is published in this language with something else.
            InvalidInputError: a value is not acceptable; nothing was published.
        """
        notice = Notice(
            id=_name(notice_id, "notice_id"),
            version=_name(version, "version"),
            language=_language(language),
            text=check_text(text, "text", TEXT_BYTES),
            sha256="",
            **_checked(stated),
        )
        parts = self._parts()
        with timed(parts.core.observer, "notice"):
            published = await parts.notices.publish(notice)
            for own in self._runtimes.every()[1:]:
                await own.notices.take_up([published])
        return published

    async def get(self, name: str, *, language: str | None = None) -> Notice:
        """Return a notice by "id" (its newest version) or "id@version"; NotFoundError when there is none.

        Without `language` it is the language in which the version was published first.
        """
        check_id(name, "name")
        parts = self._parts()
        with timed(parts.core.observer, "notice"):
            return required_notice(await parts.notices.find(name, language and _language(language)))

    async def list(self) -> AllNotices:
        """Return every notice in the order of publication."""
        parts = self._parts()
        with timed(parts.core.observer, "notice"):
            return await parts.notices.all()


def _name(value: object, what: str) -> str:
    name = check_id(value, what)
    if AT in name:
        raise InvalidInputError(f"{what} must not contain '{AT}': it parts a notice's id from its version")
    return name


def _language(value: object) -> str:
    language = check_id(value, "language")
    if not _LANGUAGE.fullmatch(language):
        raise InvalidInputError('language must be a BCP 47 tag, e.g. "en" or "pt-BR"')
    return language


def _checked(stated: NoticeTerms) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for word, value in stated.items():
        if word not in NoticeTerms.__annotations__:
            known = ", ".join(sorted(NoticeTerms.__annotations__))
            raise InvalidInputError(f"a notice states no such thing; it states: {known}")
        if word in LISTS:
            checked[word] = checked_names(value, word)
        else:
            checked[word] = "" if value == "" else check_text(value, word, REASON_BYTES)
    return checked
