"""The daemon under a service manager: what it is told, on a real socket, and the rules it can live under."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs the extra server")

from tiered_memory.daemon.notify import keep_alive, notify, watchdog_seconds
from tiered_memory.testing import ManualClock

SECONDS = 60
NO_NEW_CODE = """
import ctypes, os, sys
SET, REFUSE_EXEC_GAIN = 65, 1  # prctl(2): PR_SET_MDWE, what MemoryDenyWriteExecute= asks of the kernel
libc = ctypes.CDLL(None)
sys.exit(77) if libc.prctl(SET, REFUSE_EXEC_GAIN, 0, 0, 0) else os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Manager:
    """A service manager's socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(SECONDS)

    def heard(self) -> str:
        return self._socket.recv(4096).decode()

    def until(self, state: str) -> list[str]:
        """Return what is heard up to a state."""
        found = [self.heard()]
        while found[-1] != state:
            found.append(self.heard())
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    # A socket's path has to be short, and those of tests are not.
    with tempfile.TemporaryDirectory() as folder:
        found = Manager(Path(folder) / "notify")
        yield found
        found.close()


@contextmanager
def served(data: Path, *before: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, *before, "-m", "tiered_memory", "serve", "--data", str(data), "--port", "0"]
    own = {**os.environ, "TIERED_MEMORY_REDIS_URL": "local", **environ}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=own) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ready_is_said_when_it_serves_and_stopping_when_it_drains(manager: Manager, tmp_path: Path) -> None:
    with served(tmp_path / "data", NOTIFY_SOCKET=str(manager.path)) as process:
        assert manager.heard() == "READY=1"
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert manager.heard() == "STOPPING=1"
        assert process.wait(SECONDS) == 0


def test_signs_of_life_come_as_often_as_they_are_waited_for(manager: Manager, tmp_path: Path) -> None:
    waiting = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    with served(tmp_path / "data", **waiting) as process:
        assert set(manager.until("READY=1")) <= {"WATCHDOG=1", "READY=1"}
        assert [manager.heard() for _ in range(3)] == ["WATCHDOG=1"] * 3
        process.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert process.wait(SECONDS) == 0


def test_the_engines_live_where_no_code_is_made(manager: Manager, tmp_path: Path) -> None:
    with served(tmp_path / "data", "-c", NO_NEW_CODE, NOTIFY_SOCKET=str(manager.path)) as process:
        manager._socket.settimeout(SECONDS)
        if process.poll() == 77:
            pytest.skip("this kernel has no PR_SET_MDWE")
        assert manager.heard() == "READY=1"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "relative")
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"tiered-memory-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(f"\0{name}")
        found.settimeout(SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("STATUS=well")
        assert found.recv(64) == b"STATUS=well"


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", "", 30.0),
        ("500000", "ours", 0.5),
        ("500000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("-5", "", None),
        ("soon", "", None),
    ],
)
def test_whether_a_sign_of_life_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert watchdog_seconds() == seconds


@pytest.mark.anyio
async def test_nothing_is_repeated_where_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    clock = ManualClock()
    await keep_alive(clock)
    assert clock.sleepers == 0
