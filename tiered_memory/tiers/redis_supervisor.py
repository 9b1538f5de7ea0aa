"""Stands between a process and its private `redis-server`: when the one ends, so does the other.

Run by path as a script of its own, so that it starts within milliseconds and survives nothing it should not: its
standard input is a pipe whose other end only the parent holds, and which the kernel closes however the parent dies.

    python -I -S redis_supervisor.py DIRECTORY SERVER ARGUMENT...

Writes the server's pid as one line, then waits for either end; removes DIRECTORY and what is in it.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def main(directory: str, command: list[str]) -> None:
    """Run `command` until standard input ends or the server does, then remove `directory`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # The server inherits the writing end: the reading end runs dry when the server is gone.
    alive, held_by_server = os.pipe()
    os.set_inheritable(held_by_server, True)
    pid = 0
    try:
        pid = _spawn(command)
        os.close(held_by_server)
        os.write(sys.stdout.fileno(), b"%d\n" % pid)
        select.select([sys.stdin.fileno(), alive], [], [])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if pid:
            # There is nothing to save, and a frozen server would not hear anything gentler.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        _remove(directory)


def _spawn(command: list[str]) -> int:
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
    # SIGINT is ignored here, and what is ignored is inherited: the server keeps its own handling.
    return os.posix_spawn(command[0], command, os.environ, file_actions=quiet, setsigdef=[signal.SIGINT])


def _remove(directory: str) -> None:
    # No pathlib: importing it takes longer than everything else this script does.
    for entry in os.scandir(directory):
        os.unlink(entry.path)  # noqa: PTH108
    os.rmdir(directory)  # noqa: PTH106


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
