"""How often one event may be told: a decision over the last minute of it, and the filter that asks for it."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

WINDOW_SECONDS = 60.0
MOST_PER_WINDOW = 20
MOST_EVENTS = 1024
SUPPRESSED = "suppressed"

Event = tuple[str, str, int]
"""Where a line comes from: its logger, its file, its line there. There are as many as the code has statements."""


@dataclass(frozen=True, slots=True)
class Window:
    """Since `begun` (seconds of any clock) an event was told `told` times and kept back `suppressed` times."""

    begun: float
    told: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a line is told, and how many of its kind were kept back in the window before."""

    told: bool
    suppressed: int = 0


def judged(window: Window | None, now: float, most: int = MOST_PER_WINDOW) -> tuple[Window, Verdict]:
    """Return the window with this line counted, and what to do with the line.

    At most `most` (>= 1) lines are told in a fixed window of 60 seconds. A clock that went back begins a new one.
    """
    if window is None or not 0 <= now - window.begun < WINDOW_SECONDS:
        return Window(now, told=1), Verdict(told=True, suppressed=0 if window is None else window.suppressed)
    if window.told < most:
        return Window(window.begun, window.told + 1, window.suppressed), Verdict(told=True)
    return Window(window.begun, window.told, window.suppressed + 1), Verdict(told=False)


class FloodGate(logging.Filter):
    """Lets at most `most` warnings or worse of one event pass per minute; the next one says how many were not told.

    Lines below WARNING pass, and so do the loggers named in `exempt`. Takes time from the records. Any thread.
    """

    def __init__(self, most: int = MOST_PER_WINDOW, exempt: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._most = most
        self._exempt = exempt
        self._windows: OrderedDict[Event, Window] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether `record` is told; notes on it how many of its kind were not."""
        if record.levelno < logging.WARNING or record.name in self._exempt:
            return True
        verdict = self._judge((record.name, record.pathname, record.lineno), record.created)
        if verdict.suppressed:
            setattr(record, SUPPRESSED, verdict.suppressed)
        return verdict.told

    def _judge(self, event: Event, now: float) -> Verdict:
        with self._lock:
            window, verdict = judged(self._windows.get(event), now, self._most)
            self._windows[event] = window
            self._windows.move_to_end(event)
            if len(self._windows) > MOST_EVENTS:
                self._windows.popitem(last=False)
        return verdict
