"""The socket that the daemon listens on."""

from __future__ import annotations

import socket

from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import ConfigurationError
from tiered_memory.unix_sockets import BACKLOG, unix_socket


def listening_socket(settings: DaemonSettings) -> socket.socket:
    """Return the socket that the settings ask for, listening.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    if settings.socket is not None:
        return unix_socket(settings.socket)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle off only where the protocol is named: answers would wait 40 ms for an acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise ConfigurationError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or 'unknown address'}"
        ) from None
    made.setblocking(False)
    return made
