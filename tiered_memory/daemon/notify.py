"""Tells the service manager how far the process is (sd_notify(3)); without one nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "NOTIFY_SOCKET"
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
