"""How processor time grows with a text's length: a ratio, which a busy machine shifts far less than it shifts seconds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

GRAIN_SECONDS = 0.01
"""Added to both sides of a ratio: the clock's grain is no growth."""
TRIES = 3


def grows_less_than(
    limit: float, work: Callable[[str], object], pattern: str, small: int, large: int
) -> bool:
    """Tell whether `work` takes less than `limit` times as long for `large` characters of `pattern` as for `small`.

    One of three tries is enough: what else the machine does makes a ratio larger, and what grows too fast always does.
    """
    texts = [(pattern * (size // len(pattern) + 1))[:size] for size in (small, large)]
    return any(_ratio(work, *texts) < limit for _ in range(TRIES))


def _ratio(work: Callable[[str], object], small: str, large: str) -> float:
    return (_seconds(work, large) + GRAIN_SECONDS) / (_seconds(work, small) + GRAIN_SECONDS)


def _seconds(work: Callable[[str], object], text: str) -> float:
    """The collector of garbage rests meanwhile: what it walks is the whole process, and no part of the work."""
    gc.disable()
    started = time.process_time()
    try:
        work(text)
        return time.process_time() - started
    finally:
        gc.enable()
