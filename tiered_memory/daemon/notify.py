"""Tells the service manager how far the process is (sd_notify(3)); without one nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket

from tiered_memory.clock import Clock

VARIABLE = "NOTIFY_SOCKET"
WATCHDOG, WATCHDOG_PID = "WATCHDOG_USEC", "WATCHDOG_PID"
ABSTRACT = "@"


def notify(state: str) -> bool:
    """Send `state` (e.g. "READY=1") to the service manager; return whether there is one that took it."""
    address = os.environ.get(VARIABLE, "")
    if not address.startswith(("/", ABSTRACT)):
        return False
    if address.startswith(ABSTRACT):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)
        return True
    return False


def watchdog_seconds() -> float | None:
    """Return how long the service manager waits for a sign of life before it restarts us; None when it does not."""
    given, meant = os.environ.get(WATCHDOG, ""), os.environ.get(WATCHDOG_PID, "")
    if not given.isdecimal() or int(given) == 0 or meant not in {"", str(os.getpid())}:
        return None
    return int(given) / 1e6


async def keep_alive(clock: Clock) -> None:
    """Give a sign of life twice in the time the service manager waits, as long as the loop turns."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await clock.sleep(seconds / 2)
