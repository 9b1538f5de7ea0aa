"""Bulk work that must neither stop the event loop nor be slowed by the cycle collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import anyio.to_thread

T = TypeVar("T")
INLINE_ITEMS = 64


class _Pause:
    """Counts who asked for quiet, so that overlapping loads do not wake the collector for each other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = 0
        self._was_enabled = False

    def enter(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._holders += 1

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0 and self._was_enabled:
                gc.enable()


_pause = _Pause()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Hold the cycle collector off: a load makes ten thousands of long-lived objects and no cycles.

    With it running, a first touch of 10 000 memories spends a third of its time looking for cycles.
    """
    _pause.enter()
    try:
        yield
    finally:
        _pause.leave()


async def in_bulk(size: int, work: Callable[..., T], *arguments: object) -> T:
    """Run `work` on `size` items: here when they are few, else in a worker thread."""
    if size <= INLINE_ITEMS:
        return work(*arguments)
    return await anyio.to_thread.run_sync(work, *arguments)
