"""Unix sockets that only the present user may open: found free, made, named within the system's bounds."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tiered_memory.errors import ConfigurationError

BACKLOG = 2048
PRIVATE_MODE = 0o600
LONGEST_NAME = 100
"""A unix socket's path has room for 108 bytes on Linux and 104 elsewhere (unix(7))."""
OWNER_SOCKET = "owner.sock"


def unix_socket(path: Path) -> socket.socket:
    """Return a unix socket at `path`, listening, that only the present user may open; an abandoned one is replaced.

    Raises:
        ConfigurationError: somebody answers there already, or the path cannot be had.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            _make_way(path, name)
            made.bind(name)
        path.chmod(PRIVATE_MODE)
        # Nobody can connect before it listens, so nobody gets in while its mode is not set yet.
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise ConfigurationError(f"cannot listen on the socket: {error.strerror or error}") from None
    except ConfigurationError:
        made.close()
        raise
    made.setblocking(False)
    return made


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give a name for a socket's path that is short enough for the system, while the body runs.

    Raises:
        OSError: its directory is not there, or the system has no way to a path that long.
    """
    whole = str(path.absolute())
    if len(os.fsencode(whole)) <= LONGEST_NAME:
        yield whole
        return
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def answers(path: Path) -> bool:
    """Tell whether somebody listens on the socket at `path`."""
    try:
        with reachable(path) as name:
            return _answers(name)
    except OSError:
        return False


def _make_way(path: Path, name: str) -> None:
    """Remove a socket that nobody answers on; what is no socket is not ours to remove."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError("the socket's path is taken by something that is no socket")
    if _answers(name):
        raise ConfigurationError("somebody answers on this socket already")
    path.unlink(missing_ok=True)


def _answers(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(name)
        except OSError:
            return False
        return True
