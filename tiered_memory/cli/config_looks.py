"""Whether what the settings name is there: files, directories, keys, programs. Nothing is written, nobody is called."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tiered_memory.cli.config_rules import ERROR, NOTE, WARNING, Finding
from tiered_memory.errors import TieredMemoryError

if TYPE_CHECKING:
    from tiered_memory.config import Settings
    from tiered_memory.daemon_config import DaemonSettings

PROVIDERS = {"aws-kms": ("boto3", "aws"), "vault": ("hvac", "vault")}


def looked_at(settings: Settings, *, ask_provider: bool = False) -> list[Finding]:
    """Return what is to be said of the places the settings name; `ask_provider` has the root key unwrapped."""
    looks = (
        _policy(settings),
        _embedder(settings),
        _directories(settings),
        _redis(settings),
        _root_key(settings, ask_provider=ask_provider),
        _daemon(settings.daemon),
    )
    return [finding for look in looks for finding in look]


def _policy(settings: Settings) -> Iterator[Finding]:
    from tiered_memory.wiring import load_policy

    try:
        load_policy(settings.policy)
    except TieredMemoryError as error:
        yield Finding(ERROR, "policy", str(error))


def _embedder(settings: Settings) -> Iterator[Finding]:
    name = settings.embedder
    if name != "static" and ":" not in name and not Path(name).is_dir():
        yield Finding(ERROR, "embedder", "there is no directory of that name")


def _directories(settings: Settings) -> Iterator[Finding]:
    yield from _writable("data_dir", settings.data_dir)
    if settings.backup_dir is not None:
        yield from _writable("backup_dir", settings.backup_dir)
    for name, path in settings.residencies.items():
        yield from _writable(f"residencies.{name}", path)


def _writable(key: str, path: Path) -> Iterator[Finding]:
    """A directory that is not there yet is made: then the nearest one above it must let us."""
    if path.exists() and not path.is_dir():
        yield Finding(ERROR, key, "is no directory")
        return
    nearest = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding(ERROR, key, "cannot be written to, or made, by this user")


def _redis(settings: Settings) -> Iterator[Finding]:
    from tiered_memory.tiers.redis_server import find_redis_server

    if settings.redis_url != "private":
        return
    try:
        found = find_redis_server(settings.redis_binary)
    except TieredMemoryError as error:
        yield Finding(ERROR, "redis_binary", str(error))
        return
    if found is None:
        yield Finding(WARNING, "redis_url", "no redis-server was found: the hot tier will be in this process")


# --- the root key --------------------------------------------------------------------------------------------


def _root_key(settings: Settings, *, ask_provider: bool) -> Iterator[Finding]:
    from tiered_memory.key_files import load_root, root_file, source_of

    kind = settings.root_key_provider.partition(":")[0]
    module, extra = PROVIDERS.get(kind, ("", ""))
    if module and find_spec(module) is None:
        yield Finding(ERROR, "root_key_provider", f"needs {module}: pip install 'tiered-memory[{extra}]'")
        return
    try:
        source = source_of(settings)
        path = root_file(settings)
        if path is None or (path.exists() and (not module or ask_provider)):
            source.load() if path is None else load_root(settings)
    except TieredMemoryError as error:
        yield Finding(ERROR, "root_key_provider", str(error))
        return
    if path is not None:
        yield from _key_file(settings, path)


def _key_file(settings: Settings, path: Path) -> Iterator[Finding]:
    if path.exists():
        return
    if (settings.data_dir / "state.db").exists():
        yield Finding(
            ERROR,
            "root_key_file",
            "there is a store without it: run `tiered-memory keys recover`, or put it back",
        )
    else:
        yield Finding(
            NOTE, "root_key_file", "is made with the store: run `tiered-memory keys escrow` after that"
        )


# --- the daemon ----------------------------------------------------------------------------------------------


def _daemon(own: DaemonSettings) -> Iterator[Finding]:
    if find_spec("uvicorn") is None:
        yield Finding(WARNING, "daemon", "cannot be served here: pip install 'tiered-memory[server]'")
    if own.socket is not None:
        yield from _writable("daemon.socket", own.socket.absolute().parent)
    if own.tls_certificate is not None:
        yield from _certificate(own)
    if own.tokens is not None and "://" not in own.tokens.jwks and not Path(own.tokens.jwks).is_file():
        yield Finding(ERROR, "daemon.tokens.jwks", "there is no such file")


def _certificate(own: DaemonSettings) -> Iterator[Finding]:
    assert own.tls_certificate is not None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(own.tls_certificate, own.tls_key)
    except (OSError, ValueError) as error:
        said = "is no certificate with its key" if isinstance(error, ssl.SSLError) else "cannot be read"
        yield Finding(ERROR, "daemon.tls_certificate", said)
        return
    secret = own.tls_key or own.tls_certificate
    if secret.stat().st_mode & stat.S_IRWXO:
        yield Finding(WARNING, "daemon.tls_key", "everybody on this machine may read it: chmod 640 or less")
