"""Pages of a list: a cursor says where the next one begins, and nothing that a client could rely on."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Memory

Cursor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{12}$")]
KIND = b"m"
"""What the cursor goes through, so that one of another list is refused."""
ORDER_BYTES = 8
MOST_ORDER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Memories, newest first; `next` is the cursor of the page that follows, None on the last one."""

    items: list[Memory]
    next: str | None = None


def page_of(memories: list[Memory], limit: int) -> Page:
    """Return a page of `limit` memories at most; a full one may be followed by an empty one."""
    return Page(memories, cursor_after(memories[-1].order) if len(memories) == limit else None)


def cursor_after(order: int) -> str:
    """Return the cursor of what is older than the memory of that order (0..2**63 - 1)."""
    return urlsafe_b64encode(KIND + order.to_bytes(ORDER_BYTES, "big")).decode()


def order_at(cursor: str) -> int:
    """Return the order below which a cursor's page begins; raises InvalidInputError for what is no cursor."""
    told = urlsafe_b64decode(cursor)
    order = int.from_bytes(told[len(KIND) :], "big")
    if not told.startswith(KIND) or order > MOST_ORDER:
        raise InvalidInputError("this is no cursor: take `next` of the page before as it is")
    return order
