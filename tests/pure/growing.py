"""How processor time grows with a text's length: a ratio, which a busy machine shifts far less than it shifts seconds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

GRAIN_SECONDS = 0.01
"""Added to both sides of a ratio: the clock's grain is no growth."""
TRIES = 3


def growth(work: Callable[[str], object], pattern: str, small: int, large: int) -> float:
    """Return how much longer `work` takes on `large` characters of `pattern` than on `small`: the least of three tries.

    The collector of garbage rests meanwhile: what it walks is the whole process, and no part of the work.
    """
    texts = [(pattern * (size // len(pattern) + 1))[:size] for size in (small, large)]
    before = [_seconds(work, texts[0]) for _ in range(TRIES)]
    after = [_seconds(work, texts[1]) for _ in range(TRIES)]
    return (min(after) + GRAIN_SECONDS) / (min(before) + GRAIN_SECONDS)


def _seconds(work: Callable[[str], object], text: str) -> float:
    gc.collect()
    gc.disable()
    started = time.process_time()
    try:
        work(text)
        return time.process_time() - started
    finally:
        gc.enable()
