"""What the recall index knows of its turns, a growing array per property."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tiered_memory.errors import InvalidInputError

NOBODY = 0
"""The slot of no turn: its vector and length are zero, so adding it changes nothing."""

Floats = NDArray[np.float32]
Slots = NDArray[np.intp]

_FIRST_CAPACITY = 64
_LONGEST_VECTOR = 1e18  # its square, four times, is still a finite float32
_LINK_ROWS = 2048  # keeps the copies of a bulk link in the processor's cache
_TINY = np.float32(1e-12)


class Columns:
    """Arrays over slots 0 .. n-1. Slot 0 is `NOBODY`; freed slots are zeroed and used again.

    `vectors` has shape `(n, dimensions)`, all others `(n,)`. `norms` and `context_norms` are the Euclidean
    lengths of a slot's vector and of the sum of its vector and its predecessor's; `day` is the local day a turn
    was said on (since 1970-01-01), `zone` its offset from UTC in minutes.
    """

    vectors: Floats
    norms: Floats
    context_norms: Floats
    length: Floats
    order: NDArray[np.int64]
    session: Slots
    author: Slots
    previous: Slots
    following: Slots
    day: NDArray[np.int64]
    zone: NDArray[np.int64]
    importance: Floats
    question: NDArray[np.bool_]
    held: NDArray[np.bool_]

    _TYPES: ClassVar[dict[str, type]] = {
        "norms": np.float32,
        "context_norms": np.float32,
        "length": np.float32,
        "order": np.int64,
        "session": np.intp,
        "author": np.intp,
        "previous": np.intp,
        "following": np.intp,
        "day": np.int64,
        "zone": np.int64,
        "importance": np.float32,
        "question": np.bool_,
        "held": np.bool_,
    }

    def __init__(self, dimensions: int, capacity: int = _FIRST_CAPACITY) -> None:
        self._dimensions = dimensions
        self._used = 1
        self._free: list[int] = []
        self._whole: dict[str, NDArray[Any]] = {
            name: np.zeros(capacity, kind) for name, kind in self._TYPES.items()
        }
        self._whole["vectors"] = np.zeros((capacity, dimensions), np.float32)
        self._show()

    @property
    def bytes_used(self) -> int:
        """Bytes of all arrays."""
        return sum(whole.nbytes for whole in self._whole.values())

    def checked(self, vectors: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Return the vectors as one array and their norms; raise `InvalidInputError` for what cannot be one."""
        if any(vector.shape != (self._dimensions,) for vector in vectors):
            raise InvalidInputError(f"a vector must have the shape ({self._dimensions},)")
        stacked = np.stack(vectors).astype(np.float32, copy=False)
        norms = np.sqrt(np.einsum("ij,ij->i", stacked, stacked))
        if not (norms <= _LONGEST_VECTOR).all():
            raise InvalidInputError("a vector must be finite")
        return stacked, norms

    def reserve(self, count: int) -> Slots:
        """Return `count` zeroed slots, freed ones first."""
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        added = count - len(reused)
        slots = np.array([*reused, *range(self._used, self._used + added)], dtype=np.intp)
        self._used += added
        self._grow()
        self._show()
        return slots

    def clear(self, slot: int) -> None:
        """Zero a slot and free it."""
        for whole in self._whole.values():
            whole[slot] = 0
        self._free.append(slot)

    def link(self, chain: Sequence[int]) -> None:
        """Make each slot of `chain` the predecessor of the next; its first and last keep their outer neighbours."""
        slots = np.array(chain, dtype=np.intp)
        before, after = slots[:-1], slots[1:]
        self.following[before] = after
        self.previous[after] = before
        for start in range(0, len(after), _LINK_ROWS):
            rows = slice(start, start + _LINK_ROWS)
            summed = self.vectors[before[rows]] + self.vectors[after[rows]]
            self.context_norms[after[rows]] = np.sqrt(np.einsum("ij,ij->i", summed, summed))

    def join(self, before: int, after: int) -> None:
        """Make two slots neighbours, either of which may be `NOBODY`."""
        if NOBODY not in {before, after}:
            self.link((before, after))
        elif before != NOBODY:
            self.following[before] = NOBODY
        elif after != NOBODY:
            self.previous[after] = NOBODY
            self.context_norms[after] = self.norms[after]

    def cosines(self, vector: Floats) -> tuple[Floats, Floats]:
        """Return the cosine of `vector` to each slot's vector and to its *previous + current* sum; 0 for zero."""
        stacked, norms = self.checked([vector])
        # row by row: never waits for another thread's core, and a row's result does not depend on its slot
        products = np.vecdot(self.vectors, stacked[0] / max(float(norms[0]), _TINY))
        summed = products + products[self.previous]
        return products / np.maximum(self.norms, _TINY), summed / np.maximum(self.context_norms, _TINY)

    def _grow(self) -> None:
        capacity = len(self._whole["held"])
        if self._used <= capacity:
            return
        extra = max(self._used - capacity, capacity // 2)
        for name, whole in self._whole.items():
            self._whole[name] = np.concatenate([whole, np.zeros((extra, *whole.shape[1:]), whole.dtype)])

    def _show(self) -> None:
        for name, whole in self._whole.items():
            setattr(self, name, whole[: self._used])
