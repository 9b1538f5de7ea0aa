"""Names many turns share, kept once and numbered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiered_memory.scoring import text


class Labels:
    """Names shared by many turns, numbered from 1; 0 is no name. A name no turn bears any more is forgotten."""

    def __init__(self) -> None:
        self._code_of: dict[str, int] = {}
        self._names: list[str | None] = [None]
        self._bearers: list[int] = [0]
        self._free: list[int] = []

    def acquire(self, name: str | None) -> int:
        """Return the name's code and count one more bearer."""
        if name is None:
            return 0
        code = self._code_of.get(name)
        if code is None:
            code = self._code_of[name] = self._new(name)
        self._bearers[code] += 1
        return code

    def code(self, name: str) -> int:
        """Return the name's code, 0 when no turn bears it."""
        return self._code_of.get(name, 0)

    def release(self, code: int) -> None:
        """Count one bearer less."""
        self._bearers[code] -= 1
        name = self._names[code]
        if name is not None and not self._bearers[code]:
            del self._code_of[name]
            self._names[code] = None
            self._free.append(code)

    def _new(self, name: str) -> int:
        if self._free:
            code = self._free.pop()
            self._names[code] = name
            return code
        self._names.append(name)
        self._bearers.append(0)
        return len(self._names) - 1


class Authors(Labels):
    """Authors, with the words by which a question may name them and the index terms of their names."""

    def __init__(self) -> None:
        super().__init__()
        self._spoken: dict[int, tuple[frozenset[str], tuple[str, ...]]] = {}

    def release(self, code: int) -> None:
        """Count one bearer less."""
        super().release(code)
        if not self._bearers[code]:
            self._spoken.pop(code, None)

    def terms(self, code: int) -> tuple[str, ...]:
        """Return the index terms of the author's name."""
        return self._known(code)[1]

    def named(self, words: frozenset[str]) -> NDArray[np.bool_]:
        """Return for each code whether one of its name's words is among `words`."""
        named = np.zeros(len(self._names), dtype=np.bool_)
        named[[code for code in self._code_of.values() if words & self._known(code)[0]]] = True
        return named

    def _known(self, code: int) -> tuple[frozenset[str], tuple[str, ...]]:
        known = self._spoken.get(code)
        if known is None:
            name = self._names[code] or ""
            known = self._spoken[code] = (text.words(name), tuple(text.analyze(name).terms))
        return known
