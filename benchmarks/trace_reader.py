"""Recording a process's system calls with strace, and reading the recording."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LONGEST_STRING = 64 << 20
LONGEST_PATH = 4 * 4096
CALLS = (
    "open,openat,creat,close,dup,dup2,dup3,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,sync_file_range,msync,mmap,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,"
    "unlinkat,mkdir,mkdirat,rmdir,copy_file_range,sendfile,splice,io_uring_setup"
)
_LINE = re.compile(rb"^(\d+)\s+(?:<\.\.\. (\w+) resumed>\)?|(\w+)\()(.*)$", re.DOTALL)
_RESULT = re.compile(rb"\)?\s+= (-?\d+)")
_ESCAPED = re.compile(rb"(?:\\x[0-9a-f]{2})+")
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_FD = re.compile(rb"^(-?\d+|AT_FDCWD)(?:<([^>]*)>(?:\(deleted\))?)?$")
UNFINISHED = b" <unfinished ...>"


class TraceError(RuntimeError):
    """A recording that cannot be followed: what is built on it would prove nothing."""


@dataclass(slots=True)
class Call:
    """One system call. `begun` and `ended` are positions in the recording; `result` is what it returned."""

    process: int
    name: str
    arguments: list[bytes]
    begun: int
    ended: int = -1
    result: int = 0

    def fd(self, place: int) -> int:
        """Return the descriptor given as the argument at `place`."""
        return _descriptor(self.arguments[place])[0]

    def named(self, place: int) -> str:
        """Return the path of the descriptor given as the argument at `place`."""
        return _descriptor(self.arguments[place])[1]

    def paths(self) -> list[str]:
        """Return every path among the arguments: of descriptors, and given as strings."""
        named = [one for one in self.arguments if _FD.match(one) and b"<" in one]
        strings = [
            found[1]
            for one in self.arguments
            if (found := _STRING.match(one)) and len(found[1]) <= LONGEST_PATH
        ]
        return [_descriptor(one)[1] for one in named] + [os.fsdecode(_unescaped(one)) for one in strings]

    def path(self, place: int, at: int | None = None) -> str:
        """Return the absolute path at `place`; a relative one counts from the directory descriptor at `at`."""
        text = os.fsdecode(self.data(place))
        if text.startswith("/") or at is None:
            return text
        return os.path.normpath(os.path.join(_descriptor(self.arguments[at])[1], text))  # noqa: PTH118 - pure text

    def data(self, place: int) -> bytes:
        """Return the bytes of the string at `place`."""
        found = _STRING.match(self.arguments[place])
        if found is None or found[2]:
            raise TraceError(f"{self.name}: no whole string in argument {place}")
        return _unescaped(found[1])

    def vector(self, place: int) -> bytes:
        """Return the joined bytes of the vector that begins at `place`."""
        return b"".join(_unescaped(one[1]) for one in _STRING.finditer(b",".join(self.arguments[place:])))


def available() -> bool:
    """Tell whether strace is there and may trace."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-o", os.devnull, "true"]
    tried = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - nobody else's words
    return tried.returncode == 0


def record(command: Sequence[str], recording: Path, told: bytes, folder: Path) -> None:
    """Run `command` in `folder` with `told` on its stdin, and write its system calls to `recording`.

    Raises:
        TraceError: the command failed.
    """
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(LONGEST_STRING), "-e", f"trace={CALLS}"]
    strace += ["-e", "signal=none", "-o", str(recording)]
    ran = subprocess.run([*strace, *command], input=told, capture_output=True, check=False, cwd=folder)  # noqa: S603 - same
    if ran.returncode != 0:
        name = signal.Signals(-ran.returncode).name if ran.returncode < 0 else str(ran.returncode)
        raise TraceError(f"the traced writer ended with {name}: {ran.stderr.decode()[-2000:]}")


def read(recording: Path) -> Iterator[Call]:
    """Give every call twice: when it begins (`ended` is -1 then) and, the same object, when it has ended."""
    waiting: dict[int, Call] = {}
    with recording.open("rb") as lines:
        for position, line in enumerate(lines):
            found = _LINE.match(line.rstrip(b"\n"))
            if found is None:
                continue
            process, resumed, name, rest = int(found[1]), found[2], found[3], found[4]
            if resumed is not None:
                call = waiting.pop(process)
                call.arguments = _arguments(b",".join([*call.arguments, _before_result(rest)]))
            else:
                call = Call(process, name.decode(), [], position)
                call.arguments = _arguments(_before_result(rest.removesuffix(UNFINISHED)))
                yield call
                if rest.endswith(UNFINISHED):
                    waiting[process] = call
                    continue
            result = _RESULT.findall(rest[max(0, rest.rfind(b" = ") - 2) :])
            call.ended, call.result = position, int(result[-1]) if result else -1
            yield call


def _before_result(rest: bytes) -> bytes:
    ended = rest.rfind(b" = ")
    return rest if ended < 0 else rest[:ended].rstrip().removesuffix(b")")


def _arguments(text: bytes) -> list[bytes]:
    """Split at commas: every string is escaped, so that none holds one."""
    return [part.strip() for part in text.split(b",") if part.strip()]


def _descriptor(text: bytes) -> tuple[int, str]:
    found = _FD.match(text)
    if found is None:
        raise TraceError(f"a descriptor was expected, not {text!r}")
    path = os.fsdecode(_ESCAPED.sub(lambda one: _unescaped(one[0]), found[2] or b""))
    return (-100 if found[1] == b"AT_FDCWD" else int(found[1])), path


def _unescaped(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"\\x", b"").decode("ascii"))
