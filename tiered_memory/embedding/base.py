"""The seam between the runtime and whatever turns text into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tiered_memory.errors import EmbedderMismatchError

TextKind = Literal["query", "document"]
Vectors = NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors of one fixed size.

    A vector's length carries weight: the recall index adds the vectors of neighbouring turns to get the vector
    of both, and normalises only when it compares. Models that return unit vectors are therefore fine too; there
    each turn counts alike.
    """

    @property
    def name(self) -> str:
        """Identity of the model, stored with every subject's rows; another name is another vector space."""
        ...

    @property
    def dimensions(self) -> int:
        """Number of components of each vector (> 0)."""
        ...

    async def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Vectors:
        """Return float32 vectors of shape `(len(texts), dimensions)`, all finite."""
        ...


def check_embedder(stored: str, present: str) -> None:
    """Refuse to mix two vector spaces."""
    if stored != present:
        raise EmbedderMismatchError(
            f"this user's memories were embedded with {stored!r}, the runtime has {present!r}: "
            "open the store with that embedder, or re-embed it with `tiered-memory reembed`"
        )
