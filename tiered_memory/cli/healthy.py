"""The command that asks a running memory how it is: for health checks of containers, and for people."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from tiered_memory.cli.config_rules import without_password
from tiered_memory.cli.entry import REFUSED, command, output_of, settings_of
from tiered_memory.cli.options import Store
from tiered_memory.errors import InvalidInputError
from tiered_memory.unix_sockets import OWNER_SOCKET, answers, reachable

if TYPE_CHECKING:
    from tiered_memory.daemon_config import DaemonSettings

READY = 200
PATH = "/readyz?verbose"
MOST_BYTES = 64 << 10
UNIX = "unix:"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens everywhere is asked here
STYLES = {"ok": "green", "ready": "green"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a memory said it is: `status` is "ready", "not ready", "starting", "draining", or "unreachable"."""

    asked: str
    status: str
    checks: dict[str, str]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "health", rich_help_panel="Operating")(health)


def health(
    store: Store,
    url: Annotated[
        str | None,
        typer.Option(
            show_default="the directory's owner, else the [daemon] of the settings",
            help="Whom to ask: http://, https:// or unix: and a socket's path.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait, 0.1..60.", min=0.1, max=60)] = 3.0,
) -> None:
    """Ask a running memory whether it takes requests. No key is needed; the exit code is 1 when it does not."""
    settings = settings_of(store)
    asked = url or _owner(settings.data_dir) or _listening(settings.daemon)
    found = _ask(asked, timeout, settings.daemon.tls_certificate)
    said = [Text(f"{name}: {state}", STYLES.get(state, "red")) for name, state in found.checks.items()]
    output_of(store).show(
        found, Text.assemble((found.status, STYLES.get(found.status, "bold red")), f"  {found.asked}"), *said
    )
    if found.status != "ready":
        raise typer.Exit(REFUSED)


def _owner(data_dir: Path) -> str | None:
    door = data_dir / OWNER_SOCKET
    return f"{UNIX}{door}" if answers(door) else None


def _listening(own: DaemonSettings) -> str:
    if own.socket is not None:
        return f"{UNIX}{own.socket}"
    host = ANY_ADDRESS.get(own.host, own.host)
    named = f"[{host}]" if ":" in host else host
    return f"{'https' if own.tls_certificate else 'http'}://{named}:{own.port}"


def _ask(url: str, timeout: float, certificate: Path | None) -> Standing:
    connection, shown = _connection(url, timeout, certificate), without_password(url)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        told = json.loads(answer.read(MOST_BYTES))
        return Standing(shown, _word(told["status"], ok=answer.status == READY), dict(told.get("checks", {})))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return Standing(shown, "unreachable", {})
    finally:
        connection.close()


def _word(status: Any, *, ok: bool) -> str:
    """What is no memory may answer anything."""
    return "ready" if ok and status == "ready" else str(status) if status != "ready" else "not ready"


def _connection(url: str, timeout: float, certificate: Path | None) -> http.client.HTTPConnection:
    if url.startswith(UNIX):
        return _UnixConnection(Path(url.removeprefix(UNIX)), timeout)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInputError("--url must be http://, https://, or unix: and the path of a socket")
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    context = ssl.create_default_context(cafile=certificate)
    # The certificate of the settings names the service, not the loopback it is asked on.
    context.check_hostname = certificate is None
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with reachable(self._path) as name:
            self.sock.connect(name)
