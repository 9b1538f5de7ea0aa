"""A running memory: every acting part over one core, what runs in the background, and how it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from pathlib import Path

import anyio
import anyio.to_thread

from tiered_memory.access_gate import AccessGate
from tiered_memory.access_writer import AccessWriter
from tiered_memory.analytics.duckdb_views import AnalyticsProjection, AnalyticsSource, Stats
from tiered_memory.announcing import Announcer
from tiered_memory.api_keys import ApiKeys
from tiered_memory.archive import Exporter
from tiered_memory.archive_import import Importer
from tiered_memory.backup import Backup
from tiered_memory.clock import stopwatch
from tiered_memory.commits import Committer
from tiered_memory.config import Settings
from tiered_memory.consents import Consents
from tiered_memory.core import Core
from tiered_memory.correcting import Corrector, CorrectorParts
from tiered_memory.deciding import Decisions
from tiered_memory.duties import jobs_of
from tiered_memory.ended_purposes import EndedPurposes
from tiered_memory.endings import Endings
from tiered_memory.erasure import Eraser
from tiered_memory.errors import CorruptionError, StorageError
from tiered_memory.expiring import Expiry
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.forecasts import Forecaster
from tiered_memory.fulfil import Fulfil
from tiered_memory.gauges import Gauges, Places, watch_loop
from tiered_memory.held_vault import Vault
from tiered_memory.holds import Holds
from tiered_memory.inflight import InFlight
from tiered_memory.key_epochs import KeyEpochs
from tiered_memory.leaving import Hands, Leavers, Quotas
from tiered_memory.metrics import Recovered
from tiered_memory.notices import NoticeBoard
from tiered_memory.objecting import Objecting
from tiered_memory.overwriting import Overwriting
from tiered_memory.paging import Pager, Revealer
from tiered_memory.promotion import Promoter
from tiered_memory.purge_log import PurgeLog
from tiered_memory.quarantine import Quarantine
from tiered_memory.recall import Recall
from tiered_memory.reconciler import Reconciler
from tiered_memory.reembed import Reembedder
from tiered_memory.requesting import Requests
from tiered_memory.restricting import Restrictions
from tiered_memory.revising import Reviser
from tiered_memory.rollback import Rollback
from tiered_memory.router import Router
from tiered_memory.sessions import Sessions
from tiered_memory.shared import Acting, SharedSpaces
from tiered_memory.state import commands as c
from tiered_memory.state.base import JournalEntry
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.sweep import Sweeper
from tiered_memory.tenants import Tenants
from tiered_memory.tiers.base import SubjectRef

logger = logging.getLogger("tiered_memory")

CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class MemoryParts:
    """The acting modules that write, find and forget."""

    core: Core
    directory: SubjectDirectory
    pager: Pager
    flusher: Flusher
    sessions: Sessions
    inflight: InFlight
    announcer: Announcer
    sweeper: Sweeper
    quotas: Quotas
    committer: Committer
    router: Router
    recall: Recall
    eraser: Eraser
    fulfil: Fulfil
    analytics: AnalyticsProjection
    backup: Backup
    reembedder: Reembedder
    forecaster: Forecaster


@dataclass(slots=True)
class Parts(MemoryParts):
    """The acting modules of one runtime: besides, those of people's rights and an operator's duties."""

    consents: Consents
    expiry: Expiry
    notices: NoticeBoard
    objecting: Objecting
    ended_purposes: EndedPurposes
    accesses: AccessWriter
    access: AccessGate
    shared: SharedSpaces
    overwriting: Overwriting
    corrector: Corrector
    restrictions: Restrictions
    decisions: Decisions
    requests: Requests
    exporter: Exporter
    importer: Importer
    holds: Holds
    purges: PurgeLog
    key_epochs: KeyEpochs
    tenants: Tenants
    quarantine: Quarantine
    rollback: Rollback
    api_keys: ApiKeys
    gauges: Gauges


PartsNow = Callable[[], Parts]
"""Returns the parts of a runtime that is open; raises ClosedError after it was closed."""


def assemble(
    core: Core, analytics: AnalyticsProjection, data_dir: Path, root_key: Path | None = None
) -> Parts:
    """Return the acting modules over `core`; `root_key` is the file the root key is kept in."""
    base = _memory_parts(core, analytics, data_dir)
    directory, flusher, inflight, sweeper = base.directory, base.flusher, base.inflight, base.sweeper
    vault = Vault(core, directory.epochs)
    endings, notices = Endings(core, sweeper, inflight, vault), NoticeBoard(core)
    expiry = Expiry(core, directory, endings, base.announcer)
    sweeper.end_consents = expiry.cycle
    accesses = AccessWriter(core.state, core.clock)
    access = AccessGate(core, directory, accesses)
    consents = Consents(core, directory, endings, notices, inflight)
    overwriting = Overwriting(core, flusher, inflight)
    reviser = Reviser(core, flusher, directory.holdings, sweeper)
    quarantine = Quarantine(core, directory, base.pager, reviser, inflight)
    acting = Acting(
        directory, base.pager, base.router, base.recall, base.fulfil, consents, access, quarantine
    )
    shared = SharedSpaces(core, acting)
    base.eraser.leave_spaces, endings.leaving = shared.leave_all, shared.leaving
    api_keys = ApiKeys(core)
    base.eraser.drop_credentials = api_keys.drop_user
    return Parts(
        **{one.name: getattr(base, one.name) for one in fields(base)},
        consents=consents,
        expiry=expiry,
        notices=notices,
        objecting=Objecting(core, directory, endings, inflight),
        ended_purposes=EndedPurposes(core, directory),
        accesses=accesses,
        access=access,
        shared=shared,
        overwriting=overwriting,
        corrector=Corrector(
            core,
            CorrectorParts(
                directory=directory,
                overwriting=overwriting,
                flusher=flusher,
                sessions=base.sessions,
                inflight=inflight,
                committer=base.committer,
                quotas=base.quotas,
                sweeper=sweeper,
                quarantine=quarantine,
            ),
        ),
        restrictions=Restrictions(core, directory, sweeper, inflight),
        decisions=Decisions(core, directory),
        requests=Requests(core, directory, base.announcer),
        exporter=Exporter(core, directory, base.sessions),
        importer=Importer(core, directory, base.committer, flusher, inflight),
        holds=Holds(core, directory, sweeper, inflight, vault),
        purges=PurgeLog(core),
        key_epochs=KeyEpochs(core, directory.epochs, vault.keys),
        tenants=Tenants(core),
        quarantine=quarantine,
        rollback=Rollback(
            core, directory, base.pager, sweeper, inflight, reviser=reviser, quarantine=quarantine
        ),
        api_keys=api_keys,
        gauges=Gauges(core, Places(data_dir, root_key)),
    )


def _memory_parts(core: Core, analytics: AnalyticsProjection, data_dir: Path) -> MemoryParts:
    core.terms.tenant_ceiling_days = core.tenancy.ceiling_days
    flusher = Flusher(core)
    inflight = InFlight(core.limits.commit_deadline_seconds)
    directory = SubjectDirectory(core, flusher.pending, inflight)
    pager = Pager(core, directory)
    if core.indexed is not None:
        core.indexed.reveal = Revealer(core, directory).reveal
    sessions, announcer = Sessions(core, directory, pager), Announcer(core)
    sweeper = Sweeper(core, directory, flusher, sessions, inflight, announcer)
    hands = Hands(write_uses_of=sweeper.write_uses_of, take_out=sweeper.take_out)
    quotas = Quotas(core, announcer, hands)
    committer = Committer(core, flusher, quotas)
    recall = Recall(core, directory, sessions, pager, Promoter(core, flusher, committer, inflight))
    reconciler = Reconciler(core, pager)
    eraser = Eraser(core, directory, flusher, analytics.discard)
    return MemoryParts(
        core=core,
        directory=directory,
        pager=pager,
        flusher=flusher,
        sessions=sessions,
        inflight=inflight,
        announcer=announcer,
        sweeper=sweeper,
        quotas=quotas,
        committer=committer,
        router=Router(
            core, directory, flusher, sessions, inflight, committer=committer, reconciler=reconciler
        ),
        recall=recall,
        eraser=eraser,
        fulfil=Fulfil(core, directory, sweeper, recall, eraser, inflight, leavers=Leavers(quotas, announcer)),
        analytics=analytics,
        backup=Backup(core, data_dir),
        reembedder=Reembedder(core, directory, flusher),
        forecaster=Forecaster(core),
    )


class Runtime:
    """Starts, runs and stops the parts."""

    def __init__(self, parts: Parts, settings: Settings, release: Callable[[], Awaitable[None]]) -> None:
        self.parts = parts
        self.settings = settings
        self.jobs = jobs_of(parts, settings)
        self._release = release
        self._background: asyncio.Task[None] | None = None
        self.open = False

    async def start(self) -> None:
        """Recover what an earlier process left, then begin the background work."""
        try:
            await self._recover()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._release()
            raise
        self.open = True
        if self.settings.background:
            self._background = asyncio.create_task(self._run(), name="tiered-memory-background")
            self._background.add_done_callback(_report_end)

    async def stop(self) -> None:
        """Stop the background work, bring everything to rest, release the engines."""
        if not self.open:
            return
        self.open = False
        self.parts.announcer.events.close()
        with anyio.CancelScope(shield=True):
            try:
                await self._end_background()
            finally:
                await self.jobs.close()
                try:
                    await self._settle()
                finally:
                    await self._release()

    async def stats(self) -> Stats:
        """Return statistics from a projection rebuilt from the state store now."""
        parts = self.parts
        rows = await parts.core.state.read(c.AnalyticsRows())
        routing = await parts.core.state.read(c.RoutingCounts())
        now_us = parts.core.now_us()
        source = AnalyticsSource.from_rows(rows, routing, now_us)
        await anyio.to_thread.run_sync(parts.analytics.rebuild, source)
        return await anyio.to_thread.run_sync(parts.analytics.stats, now_us)

    async def _recover(self) -> None:
        """Erasures first: nothing of an erased subject may be replayed."""
        begun, parts = stopwatch(), self.parts
        await parts.holds.load()
        await parts.key_epochs.check_guards()
        await parts.eraser.apply_list()
        await parts.ended_purposes.apply_list()
        await parts.api_keys.load()
        await _attempt(parts.key_epochs.resume, "an ended key epoch")
        await _attempt(parts.eraser.resume, "an interrupted erasure")
        reach("open.after_resume")
        entries = await parts.core.state.read(c.Journal())
        by_subject: dict[bytes, list[JournalEntry]] = {}
        for entry in entries:
            by_subject.setdefault(entry.subject, []).append(entry)
        for pseudonym, waiting in by_subject.items():
            await self._replay(pseudonym, waiting)
        reach("open.after_replay")
        await _attempt(parts.sweeper.remove_pending, "an interrupted removal")
        await _attempt(parts.overwriting.resume, "an interrupted correction")
        await _attempt(parts.core.mark, "the high-water mark")
        await parts.core.marks.settle()
        parts.core.observer.observe(Recovered(len(entries), stopwatch() - begun))

    async def _replay(self, pseudonym: bytes, entries: list[JournalEntry]) -> None:
        row = await self.parts.core.state.read(c.GetSubject(pseudonym))
        if row is None:
            return
        ref = SubjectRef(pseudonym, row.generation, row.incarnation)
        self.parts.flusher.add(ref, [e for e in entries if e.generation == row.generation], replayed=True)

    async def _settle(self) -> None:
        """Bring uses, sessions and the journal to rest; what fails here stays in the journal."""
        parts = self.parts
        with anyio.move_on_after(CLOSE_SECONDS):
            steps = (
                parts.inflight.settle,
                parts.sweeper.write_uses,
                parts.sessions.snapshot_all,
                parts.flusher.drain,
                parts.accesses.flush,
                parts.api_keys.flush,
                parts.core.notary.note,
                parts.core.mark,
            )
            for step in steps:
                try:
                    await step()
                except (StorageError, CorruptionError) as error:
                    logger.warning("closing: %s", error)

    async def _end_background(self) -> None:
        if self._background is not None:
            self._background.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._background
            self._background = None

    async def _run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.jobs.run_all)
            tasks.start_soon(watch_loop, self.parts.core.clock, self.parts.core.observer)


async def _attempt(work: Callable[[], Awaitable[object]], what: str) -> None:
    """What one subject's tier refuses must not keep everybody's memories shut: it stays fenced, and due."""
    try:
        await work()
    except StorageError as error:
        logger.warning("%s could not be finished: %s", what, error)


def _report_end(task: asyncio.Task[None]) -> None:
    """Background work that ends by itself is a defect: say so at once, `close` raises it."""
    if not task.cancelled() and task.exception() is not None:
        logger.critical("background work ended by an unforeseen error (%s)", type(task.exception()).__name__)
