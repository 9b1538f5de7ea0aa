"""Takes out what is held of one person, whole and as of one moment, into a signed archive.

Nothing leaves without its leaf in the ledger, no file has a name before it is whole, and what was erased meanwhile
is handed to nobody.
"""

from __future__ import annotations

import hmac
import json
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import tiered_memory
from tiered_memory import archive_page as page
from tiered_memory.active import ActiveSubject
from tiered_memory.archive_facts import notices_told, purposes_told, version_fields
from tiered_memory.archive_files import ArchiveWriter, Entry, NewFile, schema_of
from tiered_memory.archive_sources import Item, Moment, Sources, consents_of
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.errors import InvalidInputError
from tiered_memory.formats import archive as f
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.ledger import leaf_for, subject_commitment
from tiered_memory.model import Explanation, Memory, Subject
from tiered_memory.notary import on_disk
from tiered_memory.notices import NoticeBoard
from tiered_memory.sessions import Sessions
from tiered_memory.sight import Sight
from tiered_memory.state import commands as c
from tiered_memory.subjects import SubjectDirectory

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told, between two batches, how many memories were exported (or imported) and of how many."""
SALT_BYTES = 16
SPOOL_BYTES = 1 << 20
BEYOND = "of a level that the role of whoever exported may not export"
ENTRIES = "entries of the register: the role of whoever exported does not reach every level"
NOT_PORTABLE = "not provided by the person, or not kept on consent or a contract (Art. 20)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an export made: where, of which kind, how many memories and bytes, and what is not in it.

    `left_out` counts by reason what is held and the kind does not cover; `damaged` are ids of memories that are held
    and do not verify. `public_key` (hex) verifies the archive: give it to the receiver by another way.
    """

    path: Path
    id: str
    kind: f.ArchiveKind
    made_at: datetime
    memories: int
    bytes: int
    left_out: Mapping[str, int]
    damaged: tuple[str, ...]
    files: Mapping[str, f.FileFacts]
    public_key: str


@dataclass(slots=True)
class _Run:
    """One export while it is made."""

    id: str
    kind: f.ArchiveKind
    active: ActiveSubject
    moment: Moment
    writer: ArchiveWriter
    spool: IO[bytes]
    progress: Progress
    done: int = 0
    memories: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    held: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    cards: deque[str] = field(default_factory=lambda: deque(maxlen=page.SHOWN))
    facts: page.PageFacts = field(default_factory=page.PageFacts)


class Exporter:
    """Makes archives."""

    def __init__(self, core: Core, directory: SubjectDirectory, sessions: Sessions) -> None:
        self._core = core
        self._notices = NoticeBoard(core)
        self._sources = Sources(core, directory, sessions)

    async def export(
        self,
        active: ActiveSubject,
        path: Path | None,
        kind: f.ArchiveKind,
        progress: Progress | None,
        sight: Sight | None = None,
    ) -> Archive:
        """Write an archive to `path`: a new file, or a new file in that directory (default: the present one).

        `sight` has only memories of its levels exported; how many are left out stands in the manifest.

        Raises:
            InvalidInputError: there is such a file already, or no such directory.
            SubjectErasedError: the person was erased meanwhile; there is no file.
            ConsentRequiredError: a consent was withdrawn meanwhile; there is no file.
            StorageError: something could not be read or written; there is no file.
        """
        archive_id, moment = self._core.new_id(), Moment.of(active, self._core.now_us(), sight)
        new = await _disk(lambda: _new_file(path, archive_id))
        writer = ArchiveWriter(new.stream)
        try:
            with tempfile.TemporaryFile(dir=new.target.parent, buffering=SPOOL_BYTES) as spool:
                told = progress or (lambda _done, _total: None)
                run = _Run(archive_id, kind, active, moment, writer, spool, told)
                manifest = await self._write(run)
            size = await self._hand_over(run, new)
        finally:
            writer.abandon()
            new.close()
        return Archive(
            path=new.target,
            id=archive_id,
            kind=kind,
            made_at=from_us(moment.at_us),
            memories=run.memories,
            bytes=size,
            left_out=manifest.left_out,
            damaged=manifest.damaged,
            files=manifest.files,
            public_key=manifest.public_key,
        )

    async def _write(self, run: _Run) -> f.ArchiveManifest:
        await self._write_memories(run)
        if run.kind is f.ArchiveKind.ACCESS:
            await self._write_access(run)
        await self._add_json(run, f.SUBJECT, self._subject(run))
        if run.kind is f.ArchiveKind.ACCESS:
            await self._add_json(run, f.RETENTION, self._retention(run))
            told = {"purposes": run.facts.purposes, "notices": run.facts.notices}
            await self._add_json(run, f.RECIPIENTS, told)
        return await _disk(lambda: self._finish(run))

    async def _write_memories(self, run: _Run) -> None:
        held = await self._core.state.read(c.HeldOf(run.active.ref.pseudonym))
        total = held.memories
        with run.writer.file(f.MEMORIES) as entry:
            async for items in self._sources.items(run.active, run.moment):
                await _disk(lambda items=items: self._put(run, entry, items))  # type: ignore[misc]
                run.progress(run.done, max(total, run.done))
        run.moment.check(run.active)
        if run.moment.beyond:
            run.left_out[BEYOND] = run.moment.beyond

    def _put(self, run: _Run, entry: Entry, items: list[Item]) -> None:
        lines, inferred = [], []
        for item in items:
            memory, explained, record = self._sources.told(run.active, run.moment, item)
            state = item.row.state if item.row is not None else f.VOLATILE
            run.done += 1
            if memory.session is not None:
                run.moment.sessions.add(memory.session)
            if run.kind is f.ArchiveKind.PORTABILITY:
                lines += _portable(run, memory, state)
                continue
            run.memories += 1
            run.cards.append(page.memory_card(memory, explained))
            _count(run, memory, explained, state)
            lines.append(f.line(f.memory_fields(memory, state) | version_fields(record)))
            pinned, held = (item.row.pinned, item.row.held) if item.row else (False, False)
            inferred.append(f.line(f.inferred_fields(explained, record, pinned=pinned, held=held)))
        entry.write(lines)
        run.spool.write(b"".join(inferred))

    async def _write_access(self, run: _Run) -> None:
        active, facts, sources = run.active, run.facts, self._sources
        await _disk(lambda: _pour(run))
        facts.consents = consents_of(active)
        await self._add_lines(run, f.CONSENTS, facts.consents)
        recorded: Counter[str] = Counter()
        with run.writer.file(f.ACCESSES) as entry:
            async for lines in sources.accesses(active):
                recorded.update(one["event"].replace("_", " ") for one in lines)
                await _disk(lambda lines=lines: entry.write(map(f.line, lines)))  # type: ignore[misc]
                active.check_alive()
        facts.recorded = recorded
        facts.turns = await sources.turns(active, run.moment)
        await self._add_lines(run, f.SESSIONS, facts.turns)
        entries = await sources.entries(active)
        if run.moment.sight is not None and entries:
            run.left_out[ENTRIES], entries = len(entries), []
        facts.entries = entries
        await self._add_lines(run, f.REGISTER, entries)
        facts.purposes = purposes_told(self._core.policy, active.consents)
        facts.notices = await notices_told(self._notices, active.consents)
        facts.held = list(run.held.values())
        run.moment.check(active)

    async def _add_lines(self, run: _Run, name: str, lines: list[dict[str, Any]]) -> None:
        await _disk(lambda: run.writer.add(name, map(f.line, lines)))

    async def _add_json(self, run: _Run, name: str, value: Any) -> None:
        data = json.dumps(f.plain(value), ensure_ascii=False, indent=2).encode() + b"\n"
        await _disk(lambda: run.writer.add(name, (data,)))

    def _subject(self, run: _Run) -> dict[str, str]:
        subject, active = run.active.subject, run.active
        found = {"tenant": subject.tenant, "user": subject.user}
        if active.durable:
            found["name_in_ledger"] = subject_commitment(active.ledger_key, active.ref.pseudonym)
        run.facts.subject = found
        return found

    def _retention(self, run: _Run) -> dict[str, Any]:
        policy = self._core.policy
        return {
            "policy": self._core.policy_version,
            "rules": {level.value: asdict(rule) for level, rule in policy.retention.items()},
            "decay": asdict(policy.decay),
            "undo_days": policy.forgetting.undo_days,
            "hot_ttl_seconds": policy.hot.ttl_seconds,
            "session_idle_minutes": policy.warm.session_idle_minutes,
            "held": run.facts.held,
        }

    def _finish(self, run: _Run) -> f.ArchiveManifest:
        """The page tells of everything before it, the manifest of the page as well."""
        notary, facts = self._core.notary, run.facts
        salt = self._core.entropy.token(SALT_BYTES)
        commitment = hmac.digest(salt, identity_of(run.active.subject), "sha256").hex()

        def manifest() -> f.ArchiveManifest:
            return f.ArchiveManifest(
                id=run.id,
                kind=run.kind,
                made_at_us=run.moment.at_us,
                software=tiered_memory.__version__,
                public_key=notary.public_key.hex(),
                subject_commitment=commitment,
                salt=salt.hex(),
                files=run.writer.files,
                left_out=dict(run.left_out),
                damaged=tuple(sorted(run.moment.damaged)),
            )

        facts.memories, facts.shown = run.memories, list(reversed(run.cards))
        made_on = f"{from_us(run.moment.at_us):%Y-%m-%d %H:%M} UTC"
        run.writer.add(f.PAGE, (page.render(manifest(), made_on, facts),))
        for name in f.files_of(run.kind):
            if name not in run.writer.files:
                run.writer.add(name, (schema_of(_schemed(run.kind, name)),))
        final = manifest()
        run.writer.finish(final.encode(notary.sign))
        return final

    async def _hand_over(self, run: _Run, new: NewFile) -> int:
        """First the leaf, then the name: what has left is in the ledger, and what was erased does not leave."""
        active = run.active
        run.moment.check(active)
        if active.durable:
            leaf = leaf_for(
                active,
                active.ledger_key,
                AuditEvent.EXPORTED,
                run.moment.at_us,
                about=run.id,
                reason=run.kind.value,
                detail={"memories": run.memories},
            )
            await self._core.state.write(c.AppendLeaves((leaf,)))
        run.moment.check(active)
        size = await _disk(new.publish)
        try:
            run.moment.check(active)
        except BaseException:
            await _disk(new.withdraw)
            raise
        return size


def identity_of(subject: Subject) -> bytes:
    """Return what an archive's commitment is over: lengths keep tenant and user apart."""
    parts = (subject.tenant.encode(), subject.user.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _new_file(path: Path | None, archive_id: str) -> NewFile:
    target = Path.cwd() if path is None else path
    if target.is_dir():
        target /= f"archive-{archive_id[:12]}.zip"
    if not target.parent.is_dir():
        raise InvalidInputError("there is no directory to write the archive to; make it first")
    return NewFile(target)


def _portable(run: _Run, memory: Memory, state: str) -> list[bytes]:
    if not f.is_portable(memory):
        run.left_out[NOT_PORTABLE] += 1
        return []
    run.memories += 1
    run.cards.append(page.portable_card(memory))
    return [f.line(f.provided_fields(memory, state))]


def _pour(run: _Run) -> None:
    """Put what waited in the spool behind the memories: a zip's files are written one after the other."""
    run.spool.seek(0)
    with run.writer.file(f.INFERRED) as entry:
        while chunk := run.spool.read(SPOOL_BYTES):
            entry.write((chunk,))


def _count(run: _Run, memory: Memory, explained: Explanation, state: str) -> None:
    basis = memory.lawful_basis.value if memory.lawful_basis else ""
    key = (memory.kind.value, memory.sensitivity.value, memory.purpose, basis, state)
    names = ("kind", "sensitivity", "purpose", "lawful_basis", "state")
    fresh: dict[str, Any] = {
        **dict(zip(names, key, strict=True)),
        "count": 0,
        "since": memory.ingested_at,
        "until": None,
        "rules": [],
    }
    held = run.held.setdefault(key, fresh)
    held["count"] += 1
    held["since"] = min(held["since"], memory.ingested_at)
    if explained.deadline is not None:
        held["until"] = max(held["until"] or explained.deadline, explained.deadline)
    if explained.deadline_rule not in held["rules"]:
        held["rules"].append(explained.deadline_rule)


def _schemed(kind: f.ArchiveKind, schema: str) -> str:
    """Return the file that a schema is of."""
    return next(one for one in f.files_of(kind) if f.schema_name(one) == schema)


async def _disk(work: Callable[[], T]) -> T:
    return await on_disk(work, "the archive could not be written; there is no file")
