"""Streams of lines, cut into pieces as a network or a hostile client cuts them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="needs the extra server")

from tiered_memory.daemon.streams import _lines
from tiered_memory.errors import InvalidInputError


@dataclass
class Sent:
    """What a client sends, piece by piece."""

    pieces: Sequence[bytes]

    async def stream(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def taken(pieces: Sequence[bytes], most: int = 1 << 24) -> list[bytes]:
    async def read() -> list[bytes]:
        request: Any = Sent(pieces)
        return [one async for one in _lines(request, most)]

    return anyio.run(read)


@given(st.lists(st.binary(max_size=6).map(lambda one: one.replace(b"a", b"\n")), max_size=12))
def test_the_lines_are_the_same_however_the_body_is_cut(pieces: list[bytes]) -> None:
    assert taken(pieces) == [one for one in b"".join(pieces).split(b"\n") if one.strip()]


def test_a_line_that_is_too_long_is_refused_while_it_comes() -> None:
    with pytest.raises(InvalidInputError):
        taken([b"a" * 10] * 3, most=20)
    assert taken([b"a" * 10, b"a" * 10, b"\n"], most=20) == [b"a" * 20]


def test_a_long_line_in_tiny_pieces_costs_no_more_than_its_length() -> None:
    """Copied anew for each of its 32 768 pieces it would take a minute in which nobody else is served."""
    begun = time.process_time()
    assert taken([b"a" * 256] * 32_768) == [b"a" * (8 << 20)]
    assert time.process_time() - begun < 5
