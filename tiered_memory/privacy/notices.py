"""Privacy notices: versioned texts that people see before they decide. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tiered_memory.errors import InvalidInputError, NotFoundError

NOTICE = "notice"
"""The kind of a notice's entry in the register."""
AT = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A published notice: immutable. `sha256` is that of `text` (UTF-8, hex); `at_us` is when it was published.

    `purposes` are those it informs about; none named means any. `language` is a BCP 47 tag.
    """

    id: str
    version: str
    language: str
    text: str
    sha256: str
    controller: str = ""
    contact: str = ""
    purposes: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    jurisdiction: str = ""
    at_us: int = 0

    def informs_of(self, purpose: str) -> bool:
        """Tell whether somebody who saw it was told of a purpose."""
        return not self.purposes or purpose in self.purposes


def digest_of(text: str) -> str:
    """Return the SHA-256 of a notice's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def entry_name(notice_id: str, version: str, language: str) -> str:
    """Return the name under which a notice is registered; no two notices share one."""
    return f"{notice_id}{AT}{version}{AT}{language}"


def split_name(name: str) -> tuple[str, str | None]:
    """Return the id and the version that a caller names: "id" or "id@version"."""
    notice_id, at, version = name.partition(AT)
    return notice_id, version if at else None


def chosen_notice(published: Sequence[Notice], name: str, language: str | None) -> Notice | None:
    """Return the notice a caller names ("id": its newest version, or "id@version"); None when there is none.

    `published` is in the order of publication. A version is as new as its first publication: a translation that comes
    later makes it no newer. Without `language` the first published language of the version is chosen.

    Raises:
        InvalidInputError: the version is published, but not in that language.
    """
    notice_id, version = split_name(name)
    of_id = [one for one in published if one.id == notice_id]
    if not of_id:
        return None
    versions = list(dict.fromkeys(one.version for one in of_id))
    wanted = versions[-1] if version is None else version
    found = [one for one in of_id if one.version == wanted]
    if not found or language is None:
        return found[0] if found else None
    match = next((one for one in found if one.language == language), None)
    if match is None:
        raise InvalidInputError(
            f"this notice is not published in that language; it is in: {', '.join(one.language for one in found)}"
        )
    return match


def required_notice(found: Notice | None) -> Notice:
    """Return the notice; raises NotFoundError when there is none."""
    if found is None:
        raise NotFoundError("no such notice is published")
    return found
