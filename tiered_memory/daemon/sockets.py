"""The sockets that a process answers on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import ConfigurationError

BACKLOG = 2048
OWNER_SOCKET = "owner.sock"
PRIVATE_MODE = 0o600
LONGEST_NAME = 100
"""A unix socket's path has room for 108 bytes on Linux and 104 elsewhere (unix(7))."""


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


def unix_socket(path: Path) -> socket.socket:
    """Return a unix socket at `path`, listening, that only the present user may open; an abandoned one is replaced.

    Raises:
        ConfigurationError: somebody answers there already, or the path cannot be had.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            _make_way(path, name)
            before = os.umask(0o177)
            try:
                made.bind(name)
            finally:
                os.umask(before)
        path.chmod(PRIVATE_MODE)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise ConfigurationError(f"cannot listen on the socket: {error.strerror}") from None
    made.setblocking(False)
    return made


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give a name for a socket's path that is short enough for the system, while the body runs."""
    whole = str(path.absolute())
    if len(whole.encode()) <= LONGEST_NAME:
        yield whole
        return
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _make_way(path: Path, name: str) -> None:
    """Remove a socket that nobody answers on; what is no socket is not ours to remove."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError("the socket's path is taken by something that is no socket")
    except FileNotFoundError:
        return
    if answers(name):
        raise ConfigurationError("somebody answers on this socket already")
    path.unlink(missing_ok=True)


def answers(name: str) -> bool:
    """Tell whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(name)
        except OSError:
            return False
        return True
