"""Small files: whole or not at all, private, and the old one stays until the new one is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.files import extend_durably, replace_file, sync_path


@contextlib.contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let the system write a part of what it is given and refuse the rest, as a disk does that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(pieces=st.lists(st.binary(max_size=60), max_size=6))
def test_a_file_is_extended_piece_by_piece(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path, whole = tmp_path_factory.mktemp("list") / "erased.log", b""
    for piece in pieces:
        extend_durably(path, piece, at=len(whole))
        whole += piece
    assert (path.read_bytes() if pieces else b"") == whole


def test_what_an_earlier_call_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "erased.log"
    extend_durably(path, b"first\n", at=0)
    with files_no_longer_than(10), pytest.raises(OSError) as refused:  # noqa: PT011 - the number tells
        extend_durably(path, b"second, too long\n", at=6)
    assert refused.value.errno == errno.EFBIG
    assert path.read_bytes() == b"first\nseco"
    extend_durably(path, b"3\n", at=6)
    assert path.read_bytes() == b"first\n3\n"


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "highwater"
    for data in (b"a longer one", b"short", b""):
        replace_file(path, data, durable=durable)
        assert path.read_bytes() == data
    assert [one.name for one in tmp_path.iterdir()] == ["highwater"]


def test_a_file_that_cannot_be_replaced_whole_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "highwater"
    replace_file(path, b"old")
    with files_no_longer_than(8), pytest.raises(OSError) as refused:  # noqa: PT011
        replace_file(path, bytes(9))
    assert refused.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(("given_mode", "mode"), [({}, 0o600), ({"mode": 0o400}, 0o400)])
def test_only_the_owner_may_read_what_is_written(
    tmp_path: Path, given_mode: dict[str, int], mode: int
) -> None:
    replace_file(tmp_path / "root.key", b"key", **given_mode)
    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == mode
    extend_durably(tmp_path / "erased.log", b"line\n", at=0)
    assert stat.S_IMODE((tmp_path / "erased.log").stat().st_mode) == 0o600


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = next_descriptor()
    for number in range(8):
        replace_file(tmp_path / "a", b"x")
        extend_durably(tmp_path / "b", b"x", at=number)
        sync_path(tmp_path)
        with pytest.raises(FileNotFoundError):
            sync_path(tmp_path / f"absent {number}")
    assert next_descriptor() == before


def next_descriptor() -> int:
    """Return the lowest number that no open file has."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor
