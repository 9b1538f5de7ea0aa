"""The public face: a memory over one data directory, and the users in it."""

from __future__ import annotations

from asyncio import Event
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Any, Self, cast

import anyio.to_thread

from tiered_memory.analytics.duckdb_views import Stats
from tiered_memory.api_keys_face import ApiKeysFace
from tiered_memory.auditing import Ledger
from tiered_memory.backup import BackupReport, Progress, restore_archive
from tiered_memory.branches import Branches
from tiered_memory.caller import Caller
from tiered_memory.config import Settings, load_settings
from tiered_memory.errors import ConfigurationError, InvalidInputError
from tiered_memory.events import BUFFERED, EventStream
from tiered_memory.forecast_model import ForgettingForecast
from tiered_memory.forget_model import ForgetReport
from tiered_memory.health import Health, health_of
from tiered_memory.hold_model import PurgeRun
from tiered_memory.holds_face import HoldsFace
from tiered_memory.intake import check_caller, check_count, check_id, check_subject
from tiered_memory.jobs_face import Jobs
from tiered_memory.keys_face import Keys
from tiered_memory.maintenance import reembed_store
from tiered_memory.merging import merged_forecasts, merged_reports, merged_runs, merged_stats
from tiered_memory.metrics import timed
from tiered_memory.model import Subject
from tiered_memory.notices_face import Notices
from tiered_memory.owner_door import OwnerDoor
from tiered_memory.policy.rules import Policy
from tiered_memory.privacy.sharing import Member, MemberKind
from tiered_memory.reports_face import Reports
from tiered_memory.requests_face import StoreRequests
from tiered_memory.runtime import Parts, Runtime
from tiered_memory.scope import Scope
from tiered_memory.shared import space_of
from tiered_memory.shared_face import SharedMemory
from tiered_memory.tenants_face import TenantsFace
from tiered_memory.user import MOST_DAYS, User, candidate_policy
from tiered_memory.wiring import Overrides

ADDRESSES = ("http://", "https://", "unix:")
NO_ADDRESS = (
    "a daemon's address begins with http://, https:// or unix:, in small letters; a directory has no ://"
)


class TieredMemory:
    """A memory runtime over one data directory.

    Use it as an async context manager::

        async with TieredMemory.open("./data") as memory:
            alice = memory.user("alice", tenant="acme")
    """

    def __init__(self, settings: Settings, overrides: Overrides) -> None:
        self._settings = settings
        self._overrides = overrides
        self._branches = Branches(settings, overrides)
        self._door: OwnerDoor | None = None
        self.tenants = TenantsFace(self._branches)

    @classmethod
    def open(cls, where: str | Path | Settings = "./data", **parts: Any) -> Self:
        """Return a memory over a directory, over complete `Settings`, or the one that a daemon serves.

        A daemon's address is http://, https://, or unix: and the path of its socket; then `parts` are `api_key` and
        `timeout_seconds` (default 30), and what needs the directory itself is refused.

        `parts` may replace the defaults `clock`, `entropy`, `embedder`, `observer`, `count_tokens`, or add the hooks
        `pii`, `recogniser` (finds personal data that needs a model), `supersession` and `before_forget` (asked before
        decay takes something).
        Opening happens on `async with`; it raises ConfigurationError and its kinds (another owner, wrong root
        key, wrong embedder) with what to do.
        """
        if isinstance(where, str) and where.startswith(ADDRESSES):
            return cast("Self", _connect(where, parts))
        if isinstance(where, str) and "://" in where:
            raise ConfigurationError(NO_ADDRESS)
        settings = where if isinstance(where, Settings) else load_settings(data_dir=Path(where))
        return cls(settings, Overrides(**parts))

    async def __aenter__(self) -> Self:
        await self._branches.open()
        self._door = _door_of(self, self._settings)
        if self._door is not None:
            self._door.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Bring everything to rest and release the directory; safe to call twice."""
        door, self._door = self._door, None
        if door is not None:
            await door.close()
        await self._branches.close()

    def user(self, user: str, tenant: str = "default", *, caller: Caller | None = None) -> User:
        """Return the face of one subject; ids are opaque text of 1 to 256 characters.

        `caller` says who asks: the policy's access table decides what that role may do. None is an agent.
        """
        return User(self._scope(check_subject(tenant, user), check_caller(caller)))

    def shared(
        self, name: str, tenant: str = "default", *, user: str | None = None, caller: Caller | None = None
    ) -> SharedMemory:
        """Return a memory that members share, as `user` sees it, or else the agent that `caller.actor` names."""
        check_subject(tenant, name)
        who = check_caller(caller)
        if user is None and not who.actor:
            raise InvalidInputError("say who asks: the user, or the actor who calls for an agent")
        member = Member(who.actor, MemberKind.AGENT) if user is None else Member(check_id(user, "user"))
        return SharedMemory(self._scope(space_of(tenant, name), who), member)

    async def forget(self, *, dry_run: bool = False, confirmed: bool = False) -> ForgetReport:
        """Forget what is due of every user; a dry run says what would go and changes nothing.

        A user who would lose more than the policy's share in one cycle is left alone (`stopped`) unless
        `confirmed`.
        """
        parts = self._parts()
        with timed(parts.core.observer, "forget"):
            return merged_reports(
                [
                    await one.parts.sweeper.cycle(dry_run=dry_run, confirmed=confirmed)
                    for one in self._branches.runtimes()
                ]
            )

    async def forecast(
        self, days: int = 90, *, policy: Policy | str | Path | None = None
    ) -> ForgettingForecast:
        """Return how many memories of all users will leave within `days` (1..3650), when, and by which rule.

        It holds if nobody uses anything and no cycle is stopped. With `policy` (a shipped one's name, a file, or
        a `Policy`) it says besides what would leave under that one, and what would change; nothing is changed.
        """
        check_count(days, "days", high=MOST_DAYS)
        parts, candidate = self._parts(), await candidate_policy(policy)
        found = []
        with timed(parts.core.observer, "forecast"):
            for one in self._branches.runtimes():
                await one.parts.sweeper.write_uses()
                found.append(await one.parts.forecaster.forecast(days, candidate))
        return merged_forecasts(found)

    def events(self, *, buffered: int = BUFFERED) -> EventStream:
        """Return a stream of `MemoryEvent` for `async for`: each memory forgotten, evicted, purged or restored.

        It begins now and ends when the memory closes. At most `buffered` events wait in it; a listener that is
        slower misses some, and the next event says how many.
        """
        return self._parts().announcer.events.listen(buffered)

    @property
    def holds(self) -> HoldsFace:
        """Legal holds on what this memory keeps."""
        return HoldsFace(self._branches)

    async def purge_runs(self) -> list[PurgeRun]:
        """Return what forgetting cycles took, as counts per class: the newest 400 that took anything, oldest first."""
        return merged_runs([await one.purges.runs() for one in self._branches.every()])

    @property
    def ledger(self) -> Ledger:
        """The audit ledger of this memory."""
        return Ledger(self._parts)

    @property
    def requests(self) -> StoreRequests:
        """The open requests of every user to exercise a right, with their deadlines."""
        return StoreRequests(self._branches)

    @property
    def reports(self) -> Reports:
        """Reports on the processing: frameworks, and the record of processing activities."""
        return Reports(self._branches, self._settings.root_key_provider)

    @property
    def keys(self) -> Keys:
        """The keys of this memory: ending their epochs, and how they stand."""
        return Keys(self._branches)

    @property
    def api_keys(self) -> ApiKeysFace:
        """The API keys of this memory: who may call its daemon, and for what."""
        return ApiKeysFace(self._branches)

    @property
    def jobs(self) -> Jobs:
        """The background jobs of this memory."""
        return Jobs(self._branches)

    @property
    def notices(self) -> Notices:
        """The privacy notices of this memory."""
        return Notices(self._branches)

    async def health(self) -> Health:
        """Return whether this memory can take work now, and how its parts stand; it never raises for an engine."""
        return await health_of(self._parts())

    async def stats(self) -> Stats:
        """Return statistics over everything held: counts, routing, importance, what falls due when."""
        with timed(self._parts().core.observer, "stats"):
            return merged_stats([await one.stats() for one in self._branches.runtimes()])

    async def backup(self, archive: str | Path, progress: Progress | None = None) -> BackupReport:
        """Write a consistent archive into the directory `archive` while everything goes on.

        The root key and the epochs' guards are not in it: keep them apart. Tenants with a data directory of their own are not in it either:
        `tenants.backup` writes theirs, where their residency wants it. `progress` hears of users done and users in all.
        """
        parts = self._parts()
        with timed(parts.core.observer, "backup"):
            return await parts.backup.take(Path(archive), progress)

    @staticmethod
    async def restore(
        archive: str | Path, where: str | Path, *, erased_list: str | Path | None = None
    ) -> str | None:
        """Put an archive into an empty directory; opening it there finishes the restore.

        Give the `erased.log` of the store that was backed up: whom it names is erased again. CorruptionError
        when the archive is damaged, ConfigurationError when the directory holds a store; nothing is written then.
        The keys must come along (`keys` of that store, or `tiered-memory keys recover`); users of a key epoch that
        has ended since cannot be read. Returns when the backup was begun (ISO 8601), if the archive says so.
        """
        listed = None if erased_list is None else Path(erased_list)
        return await anyio.to_thread.run_sync(restore_archive, Path(archive), Path(where), listed)

    reembed = staticmethod(reembed_store)

    async def drain(self) -> None:
        """Return when everything acknowledged so far is in the cold tier."""
        for one in self._branches.runtimes():
            await one.parts.sweeper.write_uses()
            await one.parts.flusher.drain()

    @property
    def _runtime(self) -> Runtime | None:
        return self._branches.main_runtime

    @_runtime.setter
    def _runtime(self, runtime: Runtime | None) -> None:
        self._branches.main_runtime = runtime

    def _scope(self, subject: Subject, caller: Caller) -> Scope:
        return Scope(partial(self._branches.parts_of, subject.tenant), subject, caller)

    def _parts(self) -> Parts:
        return self._branches.main


def _connect(address: str, parts: dict[str, Any]) -> TieredMemory:
    """The client stands above the face whose calls it sends: it is loaded when somebody asks for it."""
    if find_spec("httpx2") is None:
        raise ConfigurationError(
            "a daemon is reached with the extra `client`: pip install 'tiered-memory[client]'"
        )
    connected: TieredMemory = import_module("tiered_memory.remote.memory").connect(address, **parts)
    return connected


def _door_of(memory: TieredMemory, settings: Settings) -> OwnerDoor | None:
    """The server stands above the face it serves: it is loaded when somebody knocks, and only where it is installed."""
    if not settings.owner_socket or find_spec("uvicorn") is None:
        return None

    async def answer(made: socket, closing: Event) -> None:
        await import_module("tiered_memory.daemon.owner").answer(memory, settings.daemon, made, closing)

    return OwnerDoor(settings.data_dir, answer)
