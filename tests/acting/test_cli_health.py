"""`tiered-memory health` asks a running memory over TCP, TLS or a socket, and its exit code tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from cli_shell import Shell, shell_in
from self_signed import self_signed

pytest.importorskip("uvicorn", reason="needs the extra server")

from tiered_memory.config import load_settings
from tiered_memory.daemon.serve import Daemon

pytestmark = pytest.mark.anyio


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


def asked(shell: Shell, *arguments: str) -> tuple[int, Any]:
    result = shell.on_store("health", "--json", *arguments)
    return result.exit_code, json.loads(result.stdout)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Yield the address of something that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (503, b'{"status": "starting"}', "starting"),
        (503, b'{"status": "draining"}', "draining"),
        (503, b'{"status": "not ready", "checks": {"journal": "full"}}', "not ready"),
        (503, b'{"status": "ready"}', "not ready"),
        (200, b'{"status": "else"}', "else"),
        (200, b"{}", "unreachable"),
        (200, b"no json", "unreachable"),
        (200, b"[]", "unreachable"),
        (404, b"", "unreachable"),
    ],
)
def test_what_is_not_ready_is_a_failure(shell: Shell, status: int, body: bytes, word: str) -> None:
    with answering(status, body) as url:
        assert asked(shell, "--url", url) == (
            1,
            {"asked": url, "status": word, "checks": {"journal": "full"} if b"full" in body else {}},
        )


def test_nobody_there_is_a_failure_and_a_wrong_address_is_refused(shell: Shell, tmp_path: Path) -> None:
    assert asked(shell, "--url", f"unix:{tmp_path / 'nosuch.sock'}")[1]["status"] == "unreachable"
    with answering(200, b"") as url:
        pass
    assert asked(shell, "--url", url)[0] == 1
    assert shell.refusal("health", "--url", "ftp://127.0.0.1")["error"] == "InvalidInputError"
    assert shell.refusal("health", "--url", "nothing")["error"] == "InvalidInputError"


@pytest.mark.parametrize("kind", ["http", "https", "socket"])
async def test_a_daemon_is_ready_however_it_listens(shell: Shell, tmp_path: Path, kind: str) -> None:
    certificate, key = self_signed(tmp_path / "tls")
    own: dict[str, Any] = {
        "http": {"port": 0},
        "https": {"port": 0, "tls_certificate": certificate, "tls_key": key},
        "socket": {"socket": tmp_path / "memory.sock"},
    }[kind]
    config = tmp_path / "settings.toml"
    config.write_text(
        "[daemon]\n" + "".join(f'{name} = "{value}"\n' for name, value in own.items() if name != "port")
    )
    addresses: list[str] = []
    settings = load_settings(data_dir=shell.data, redis_url="local", owner_socket=False, daemon=own)
    daemon = Daemon(settings, on_listening=addresses.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        with anyio.fail_after(60):
            await daemon.ready.wait()
        said = await anyio.to_thread.run_sync(
            lambda: asked(shell, "--url", addresses[0], "--config", str(config))
        )
        daemon.stopping.set()
    assert said[0] == 0
    assert said[1] == {
        "asked": addresses[0],
        "status": "ready",
        "checks": {"state": "ok", "journal": "ok", "hot": "ok"},
    }


async def test_the_owner_of_the_directory_is_asked_without_an_address(shell: Shell) -> None:
    settings = load_settings(data_dir=shell.data, redis_url="local", daemon={"port": 0})
    daemon = Daemon(settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        with anyio.fail_after(60):
            await daemon.ready.wait()
        said = await anyio.to_thread.run_sync(lambda: shell.on_store("health"))
        daemon.stopping.set()
    assert said.exit_code == 0
    assert said.stdout.startswith(f"ready  unix:{shell.data}")
    assert "hot: ok" in said.stdout
    assert shell.on_store("health").exit_code == 1
