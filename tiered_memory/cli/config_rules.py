"""What settings say that should give pause: judged from the settings alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from tiered_memory.config import Settings
    from tiered_memory.daemon_config import DaemonSettings

ERROR, WARNING, NOTE = "error", "warning", "note"
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
REDIS_WORDS = frozenset({"private", "local"})
HIDDEN = "***"
ASYMMETRIC = ("RS", "ES", "PS", "EdDSA", "Ed")
LONGEST_DRAIN = 7.0
"""What draining may take of the ten seconds in which a SIGTERM ends the daemon."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a setting: an "error" stands in the way, a "warning" is a risk, a "note" is to be known."""

    level: str
    key: str
    message: str


def judged(settings: Settings) -> list[Finding]:
    """Return what is to be said of the settings, without looking at the machine."""
    own = settings.daemon
    rules = (_admitting(own), _tls(own), _logging(own), _tokens(own), _redis(settings), _keeping(settings))
    return [finding for rule in rules for finding in rule]


def _admitting(own: DaemonSettings) -> Iterator[Finding]:
    if own.public and own.tokens is None:
        yield Finding(
            WARNING,
            "daemon.host",
            "others can reach this address: nothing is served until there is an API key "
            "(`tiered-memory api-keys create`) or daemon.tokens is set",
        )
    if not own.public and own.socket is None and not own.require_credentials:
        yield Finding(
            WARNING,
            "daemon.require_credentials",
            "until the first API key is made, whoever is on this machine may call everything, metrics and inspector "
            "among it: set it to true",
        )
    if any("*" in name for name in own.allowed_hosts):
        yield Finding(ERROR, "daemon.allowed_hosts", "names are compared as they are: a * admits nobody")
    if own.drain_seconds > LONGEST_DRAIN:
        yield Finding(
            WARNING,
            "daemon.drain_seconds",
            f"more than {LONGEST_DRAIN:g} s: a SIGTERM may take longer than the ten seconds a service manager waits",
        )


def _tls(own: DaemonSettings) -> Iterator[Finding]:
    if own.tls_certificate is None and own.tls_key is not None:
        yield Finding(ERROR, "daemon.tls_certificate", "there is a tls_key without it: TLS would be off")
    if own.public and own.tls_certificate is None:
        yield Finding(
            WARNING,
            "daemon.tls_certificate",
            "unset on an address that others can reach: keys and memories pass in clear unless a proxy in front "
            "does TLS",
        )


def _logging(own: DaemonSettings) -> Iterator[Finding]:
    if own.log_level == "debug":
        yield Finding(WARNING, "daemon.log_level", "debug is for looking for an error: lines multiply")


def _tokens(own: DaemonSettings) -> Iterator[Finding]:
    if own.tokens is None:
        return
    weak = [name for name in own.tokens.algorithms if not name.startswith(ASYMMETRIC)]
    if weak:
        yield Finding(
            ERROR, "daemon.tokens.algorithms", "only asymmetric ones may be accepted: RS256, ES256, EdDSA, …"
        )
    if own.tokens.jwks.startswith("http://") and not _is_loopback(own.tokens.jwks):
        yield Finding(
            ERROR, "daemon.tokens.jwks", "must be https://: who changes keys on the way admits anybody"
        )


def _redis(settings: Settings) -> Iterator[Finding]:
    url = settings.redis_url
    scheme = url.partition("://")[0]
    if url not in REDIS_WORDS and scheme not in REDIS_SCHEMES:
        yield Finding(ERROR, "redis_url", "must be private, local, or a redis://, rediss:// or unix:// URL")
    elif scheme == "redis" and not _is_loopback(url):
        yield Finding(
            WARNING,
            "redis_url",
            "Redis on another machine without TLS: records are sealed, the password is not; use rediss:// "
            "or a network of their own",
        )


def _keeping(settings: Settings) -> Iterator[Finding]:
    if settings.accept_rollback:
        yield Finding(
            WARNING, "accept_rollback", "is for one start: a store that goes back would not be noticed"
        )
    if not settings.background:
        yield Finding(WARNING, "background", "false: nothing is flushed, forgotten or erased by itself")
    if settings.ballast_mib == 0:
        yield Finding(WARNING, "ballast_mib", "0: on a full disk nothing could be erased")
    if settings.root_key_provider == "file" and settings.root_key_file is None and settings.root_key is None:
        yield Finding(
            NOTE,
            "root_key_file",
            "unset: the root key lies in the data directory, and a copy of all of it is a copy that can be read",
        )
    yield from _backing_up(settings)


def _backing_up(settings: Settings) -> Iterator[Finding]:
    if settings.backup_dir is None:
        yield Finding(NOTE, "backup_dir", "unset: no backup is written by itself")
        return
    if settings.backup_dir.absolute().is_relative_to(settings.data_dir.absolute()):
        yield Finding(WARNING, "backup_dir", "lies in the data directory: it would be lost with it")
    epochs, kept = settings.key_epoch_days, settings.backup_keep * settings.backup_interval_hours / 24
    if epochs is not None and epochs < kept:
        yield Finding(
            WARNING,
            "key_epoch_days",
            f"backups are kept for {kept:g} days, and none from before a key epoch's end can be read after it",
        )


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or "localhost"
    except ValueError:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_password(url: str) -> str:
    """Return an address without what may be a secret in it; one that cannot be read is not shown at all."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    if not parts.scheme or not (parts.netloc or parts.path):
        return HIDDEN
    _, at, place = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{place}" if at else parts.netloc
    return urlunsplit((parts.scheme, netloc, parts.path, HIDDEN if parts.query else "", ""))
