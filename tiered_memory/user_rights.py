"""What a person may ask for, and whoever answers for them: the part of a user's face that is about rights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from tiered_memory.archive import Archive, Progress
from tiered_memory.archive_plan import ImportOptions, ImportReport
from tiered_memory.caller import AGENT
from tiered_memory.clock import stopwatch
from tiered_memory.consent_face import Consent
from tiered_memory.corrections import Asked, Changes, Correction, checked
from tiered_memory.decisions_face import DecisionsFace
from tiered_memory.disclosing import disclosed
from tiered_memory.dossier import Dossier
from tiered_memory.formats.archive import ArchiveKind
from tiered_memory.holds_face import Retention
from tiered_memory.intake import (
    REASON_BYTES,
    check_id,
    check_key,
    check_memory_id,
    check_text,
    check_word,
    check_words,
)
from tiered_memory.metrics import DsarDone, timed
from tiered_memory.model import (
    Certificate,
    Sensitivity,
    Subject,
)
from tiered_memory.privacy.objections import Objection
from tiered_memory.quarantine_face import QuarantineFace
from tiered_memory.requests_face import UserRequests
from tiered_memory.rights_face import Rights
from tiered_memory.rollback import RollbackReport
from tiered_memory.rollback_face import CameFrom, roll_back
from tiered_memory.scope import Scope

Objections = list[Objection]


class UserRights:
    """One subject's rights. No call reaches another subject's."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._using = scope.using
        self.consent = Consent(scope)
        self.rights = Rights(scope)
        self.decisions = DecisionsFace(scope)
        self.requests = UserRequests(scope)
        self.retention = Retention(scope)
        self.quarantine = QuarantineFace(scope)

    @property
    def subject(self) -> Subject:
        """Whose memory this is."""
        return self._scope.subject

    async def about(self) -> Dossier:
        """Return what is held of this user, why and until when, what the ledger recorded, and this user's rights.

        Shared memories are named to who acts for the person (the role "agent"), to other roles they are counted.
        """
        begun = stopwatch()
        async with self._using("about") as (parts, active):
            await parts.accesses.flush()
            found = await disclosed(parts, active, named=self._scope.caller.role == AGENT)
            parts.core.observer.observe(DsarDone("about", stopwatch() - begun))
            return found

    async def update(
        self, memory_id: str, content: str, *, reason: str, **changes: Unpack[Changes]
    ) -> Correction:
        """Correct what a memory says (GDPR Art. 16); `changes` are the fields of `Changes`, what is not given stays.

        The old text is found nowhere any more; `history` keeps it, with the time and the reason. The result names
        what was derived from the memory and may need correcting too. NotFoundError when there is none. A new text
        that reads like instructions to the agent is quarantined, and what is quarantined stays so until it is released.

        Raises:
            OnHoldError: a legal hold covers the memory.
            AccessDeniedError: the caller's role may not correct, or not write, memories of the new sensitivity.
        """
        check_memory_id(memory_id)
        asked = checked(reason, Asked(**changes), REASON_BYTES)
        reason = check_words(reason, "reason", REASON_BYTES)
        async with self._using("update", memory_id) as call:
            parts, active = call
            if asked.sensitivity is not None:
                level = check_word(Sensitivity, asked.sensitivity, "sensitivity")
                await self._scope.permit_levels("update", [level])
                await self._scope.permit_levels("add", [level])
            done = await parts.corrector.correct(active, memory_id, content, reason, asked)
            return done if call.sight is None else call.sight.correction(active, done)

    async def object_to(
        self, purpose: str, *, reason: str = "objected by the person", compelling_grounds: str | None = None
    ) -> Objection:
        """Object to the processing for a purpose that rests on legitimate interests or a public task (Art. 21).

        From now on nothing is kept for it, and what was kept is erased. With `compelling_grounds`, the controller's
        documented ones, that stays, and is not retrievable while the objection stands.

        Raises:
            InvalidInputError: the purpose is unknown, or rests on consent, which is withdrawn instead.
            ObjectionNotApplicableError: it rests on a basis that nobody can object to.
        """
        check_id(purpose, "purpose")
        check_text(reason, "reason", REASON_BYTES)
        if compelling_grounds is not None:
            check_text(compelling_grounds, "compelling_grounds", REASON_BYTES)
        async with self._using("rights", called="object_to") as (parts, active):
            return await parts.objecting.object_to(active, purpose, reason, compelling_grounds)

    async def lift_objection(self, purpose: str) -> bool:
        """Take an objection back; return whether there was one. What was erased does not come back."""
        check_id(purpose, "purpose")
        async with self._using("rights", called="object_to") as (parts, active):
            return await parts.objecting.lift(active, purpose)

    async def objections(self) -> Objections:
        """Return this user's objections, oldest first, lifted ones among them."""
        async with self._using("rights", called="object_to") as (parts, active):
            return await parts.objecting.all(active)

    async def export(
        self,
        path: str | Path | None = None,
        *,
        kind: ArchiveKind | str = ArchiveKind.ACCESS,
        progress: Progress | None = None,
    ) -> Archive:
        """Write what is held of this user to a signed archive: a new file at `path`, or in that directory.

        `kind` "access" holds everything, what was inferred as well (GDPR Art. 15), "portability" what the person
        provided (Art. 20). A role that does not reach every level exports what it reaches. See `archive.Exporter.export` for the errors: after each there is no file.
        """
        begun, chosen = stopwatch(), check_word(ArchiveKind, kind, "kind")
        async with self._using("export") as call:
            parts, active = call
            target = None if path is None else Path(path)
            made = await parts.exporter.export(active, target, chosen, progress, call.sight)
            call.shown = made.memories
            parts.core.observer.observe(DsarDone("export", stopwatch() - begun))
            return made

    async def import_archive(
        self,
        path: str | Path,
        *,
        purpose: str | None = None,
        public_key: str | None = None,
        accept_other_subject: bool = False,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Take in the memories of an archive that `export` made, for `purpose` (default: the one each had).

        Repeating it adds nothing. An archive of another store needs that store's `public_key` (64 hex digits), one of
        another user id `accept_other_subject`. See `archive_import.Importer.take_in` for the errors.
        """
        key = None if public_key is None else check_key(public_key)
        asked = ImportOptions(
            purpose=None if purpose is None else check_id(purpose, "purpose"),
            public_key=key,
            accept_other_subject=accept_other_subject,
            progress=progress,
        )
        async with self._using("import") as call:
            parts, active = call
            options = asked if call.sight is None else replace(asked, levels=call.sight.levels)
            return await parts.importer.take_in(active, Path(path), options)

    async def roll_back(
        self, *, reason: str, dry_run: bool = False, quarantine: bool = False, **given: Unpack[CameFrom]
    ) -> RollbackReport:
        """Remove everything that came from a source and everything that derives from it, or `quarantine` it.

        What those superseded holds good again. One commit; repeating the call is harmless.
        """
        return await roll_back(self._scope, given, reason, dry_run=dry_run, quarantine=quarantine)

    async def erase(self, *, reason: str) -> Certificate:
        """Erase everything held of this user, in every tier, and return the proof.

        Raises:
            ErasureIncompleteError: a tier failed; the keys are gone already, call again to finish.
        """
        parts = self._scope.parts()
        check_text(reason, "reason", REASON_BYTES)
        with timed(parts.core.observer, "erase"):
            await self._scope.permit("erase")
            asked = await parts.requests.asking_for_erasure(self.subject)
            certificate = await parts.fulfil.erase(self.subject, reason)
            await parts.requests.erased(certificate, asked)
            return certificate
