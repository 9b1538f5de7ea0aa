"""The public face: a memory over one data directory, and the users in it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

from tiered_memory.analytics.duckdb_views import Stats
from tiered_memory.auditing import Ledger
from tiered_memory.backup import BackupReport, Progress, restore_archive
from tiered_memory.caller import Caller
from tiered_memory.config import Settings, load_settings
from tiered_memory.errors import ClosedError, InvalidInputError
from tiered_memory.events import BUFFERED, EventStream
from tiered_memory.forecast_model import ForgettingForecast
from tiered_memory.intake import check_caller, check_count, check_id, check_subject
from tiered_memory.maintenance import reembed_store
from tiered_memory.metrics import timed
from tiered_memory.model import ForgetReport
from tiered_memory.notices_face import Notices
from tiered_memory.policy.rules import Policy
from tiered_memory.privacy.sharing import Member, MemberKind
from tiered_memory.runtime import Parts, Runtime
from tiered_memory.scope import Scope
from tiered_memory.shared import space_of
from tiered_memory.shared_face import SharedMemory
from tiered_memory.user import MOST_DAYS, User, candidate_policy
from tiered_memory.wiring import Overrides, build


class TieredMemory:
    """A memory runtime over one data directory.

    Use it as an async context manager::

        async with TieredMemory.open("./data") as memory:
            alice = memory.user("alice", tenant="acme")
    """

    def __init__(self, settings: Settings, overrides: Overrides) -> None:
        self._settings = settings
        self._overrides = overrides
        self._runtime: Runtime | None = None

    @classmethod
    def open(cls, where: str | Path | Settings = "./data", **parts: Any) -> Self:
        """Return a memory over a directory, or over complete `Settings`.

        `parts` may replace the defaults `clock`, `entropy`, `embedder`, `observer`, `count_tokens`, or add the hooks
        `pii`, `recogniser` (finds personal data that needs a model), `supersession` and `before_forget` (asked before
        decay takes something).
        Opening happens on `async with`; it raises ConfigurationError and its kinds (another owner, wrong root
        key, wrong embedder) with what to do.
        """
        settings = where if isinstance(where, Settings) else load_settings(data_dir=Path(where))
        return cls(settings, Overrides(**parts))

    async def __aenter__(self) -> Self:
        runtime = await build(self._settings, self._overrides)
        self._runtime = runtime
        await runtime.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Bring everything to rest and release the directory; safe to call twice."""
        if self._runtime is not None:
            await self._runtime.stop()

    def user(self, user: str, tenant: str = "default", *, caller: Caller | None = None) -> User:
        """Return the face of one subject; ids are opaque text of 1 to 256 characters.

        `caller` says who asks: the policy's access table decides what that role may do. None is an agent.
        """
        return User(Scope(self._parts, check_subject(tenant, user), check_caller(caller)))

    def shared(
        self, name: str, tenant: str = "default", *, user: str | None = None, caller: Caller | None = None
    ) -> SharedMemory:
        """Return a memory that members share, as `user` sees it, or else the agent that `caller.actor` names."""
        check_subject(tenant, name)
        who = check_caller(caller)
        if user is None and not who.actor:
            raise InvalidInputError("say who asks: user=..., or caller=Caller(actor=...) for an agent")
        member = Member(who.actor, MemberKind.AGENT) if user is None else Member(check_id(user, "user"))
        return SharedMemory(Scope(self._parts, space_of(tenant, name), who), member)

    async def forget(self, *, dry_run: bool = False, confirmed: bool = False) -> ForgetReport:
        """Forget what is due of every user; a dry run says what would go and changes nothing.

        A user who would lose more than the policy's share in one cycle is left alone (`stopped`) unless
        `confirmed`.
        """
        parts = self._parts()
        with timed(parts.core.observer, "forget"):
            return await parts.sweeper.cycle(dry_run=dry_run, confirmed=confirmed)

    async def forecast(
        self, days: int = 90, *, policy: Policy | str | Path | None = None
    ) -> ForgettingForecast:
        """Return how many memories of all users will leave within `days` (1..3650), when, and by which rule.

        It holds if nobody uses anything and no cycle is stopped. With `policy` (a shipped one's name, a file, or
        a `Policy`) it says besides what would leave under that one, and what would change; nothing is changed.
        """
        check_count(days, "days", high=MOST_DAYS)
        parts, candidate = self._parts(), await candidate_policy(policy)
        with timed(parts.core.observer, "explain"):
            await parts.sweeper.write_uses()
            return await parts.forecaster.forecast(days, candidate)

    def events(self, *, buffered: int = BUFFERED) -> EventStream:
        """Return a stream of `MemoryEvent` for `async for`: each memory forgotten, evicted, purged or restored.

        It begins now and ends when the memory closes. At most `buffered` events wait in it; a listener that is
        slower misses some, and the next event says how many.
        """
        return self._parts().announcer.events.listen(buffered)

    @property
    def ledger(self) -> Ledger:
        """The audit ledger of this memory."""
        return Ledger(self._parts)

    @property
    def notices(self) -> Notices:
        """The privacy notices of this memory."""
        return Notices(self._parts)

    async def stats(self) -> Stats:
        """Return statistics over everything held: counts, routing, importance, what falls due when."""
        self._parts()
        if self._runtime is None:
            raise ClosedError
        return await self._runtime.stats()

    async def backup(self, archive: str | Path, progress: Progress | None = None) -> BackupReport:
        """Write a consistent archive into the directory `archive` while everything goes on.

        The root key is not in it: keep that apart. `progress` hears of users done and users in all.
        """
        return await self._parts().backup.take(Path(archive), progress)

    @staticmethod
    async def restore(
        archive: str | Path, where: str | Path, *, erased_list: str | Path | None = None
    ) -> None:
        """Put an archive into an empty directory; opening it there finishes the restore.

        Give the `erased.log` of the store that was backed up: whom it names is erased again. CorruptionError
        when the archive is damaged, ConfigurationError when the directory holds a store; nothing is written then.
        """
        listed = None if erased_list is None else Path(erased_list)
        await anyio.to_thread.run_sync(restore_archive, Path(archive), Path(where), listed)

    reembed = staticmethod(reembed_store)

    async def drain(self) -> None:
        """Return when everything acknowledged so far is in the cold tier."""
        parts = self._parts()
        await parts.sweeper.write_uses()
        await parts.flusher.drain()

    def _parts(self) -> Parts:
        if self._runtime is None or not self._runtime.open:
            raise ClosedError
        return self._runtime.parts
