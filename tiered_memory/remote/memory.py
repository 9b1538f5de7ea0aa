"""A memory that a daemon serves, with the face of the embedded one."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tiered_memory.auditing import Ledger
from tiered_memory.caller import Caller
from tiered_memory.errors import ConfigurationError, InvalidInputError
from tiered_memory.intake import check_caller, check_id, check_subject
from tiered_memory.memory import TieredMemory
from tiered_memory.remote.address import address_of
from tiered_memory.remote.faces import Link, face, remote_class
from tiered_memory.remote.transport import Transport
from tiered_memory.shared_face import SharedMemory
from tiered_memory.user import User
from tiered_memory.wire.faces import FACES
from tiered_memory.wire.operation import Root


class _Faces:
    """What the remote class takes from the table; see `connect`."""

    _link: Link
    _transport: Transport

    async def __aenter__(self) -> Self:
        self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the daemon goes on."""
        await self._transport.close()

    def user(self, user: str, tenant: str = "default", *, caller: Caller | None = None) -> User:
        """See `TieredMemory.user`."""
        check_subject(tenant, user)
        # Nobody is named where no caller is given: the daemon then takes the credential's own role.
        who = None if caller is None else check_caller(caller)
        found: User = face(self._to(Root.USER, {"tenant": tenant, "user": user}, who))
        return found

    def shared(
        self, name: str, tenant: str = "default", *, user: str | None = None, caller: Caller | None = None
    ) -> SharedMemory:
        """See `TieredMemory.shared`."""
        check_subject(tenant, name)
        who = check_caller(caller)
        if user is None and not who.actor:
            raise InvalidInputError("say who asks: the user, or the actor who calls for an agent")
        as_user = None if user is None else check_id(user, "user")
        found: SharedMemory = face(self._to(Root.SHARED, {"tenant": tenant, "name": name}, who, as_user))
        return found

    def _to(
        self, root: Root, named: dict[str, str], caller: Caller | None = None, as_user: str | None = None
    ) -> Link:
        return Link(self._transport, root, named, caller, as_user)


def connect(
    url: str, *, api_key: str | None = None, timeout_seconds: float = 30.0, **parts: Any
) -> TieredMemory:
    """Return the memory that a daemon serves at `url` (http://, https://, or unix: and the path of its socket).

    Raises:
        ConfigurationError: `url` is no address, or something is given that belongs to the daemon's own process.
    """
    if parts:
        raise ConfigurationError(
            f"{min(parts)} belongs to the process that owns the memory: give it to the daemon"
        )
    transport = Transport(address_of(url, api_key, timeout_seconds))
    made: TieredMemory = object.__new__(_remote_memory())
    made.__dict__["_transport"] = transport
    made.__dict__["_link"] = Link(transport, Root.STORE)
    return made


def _remote_memory() -> type[TieredMemory]:
    base = remote_class(Root.STORE, "")
    members: dict[str, Any] = {name: _part(name) for name in FACES[Root.STORE] if name}
    return type("RemoteMemory", (_Faces, base), {**members, "tenants": _part("tenants", _tenants)})


def _part(name: str, make: Any = None) -> Any:
    def part(self: Any) -> Any:
        return face(self._link, name) if make is None else make(self)

    return property(part)


def _tenants(memory: Any) -> Any:
    found = face(memory._link, "tenants")  # noqa: SLF001 - this module made it
    found.__dict__["ledger"] = lambda tenant: _ledger_of(memory, tenant)
    found.__dict__["directory"] = _no_directory
    return found


def _ledger_of(memory: Any, tenant: str) -> Ledger:
    found: Ledger = face(memory._to(Root.LEDGER, {"tenant": check_id(tenant, "tenant")}))  # noqa: SLF001 - see above
    return found


def _no_directory(_tenant: str) -> Path:
    raise ConfigurationError("directories are the daemon's own: see them on its machine")
