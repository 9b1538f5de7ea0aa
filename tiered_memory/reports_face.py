"""Reports for those who answer for the processing: what stands, by which evidence, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tiered_memory.accounting import Accountant
from tiered_memory.accounts import pages
from tiered_memory.accounts.activities import Activities, activities
from tiered_memory.accounts.facts import Facts
from tiered_memory.accounts.frameworks import FRAMEWORKS, judge
from tiered_memory.accounts.judgement import Assessment
from tiered_memory.accounts.merging import merged
from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import check_id, check_moment
from tiered_memory.metrics import timed
from tiered_memory.runtime import Parts
from tiered_memory.runtimes import Runtimes

PERIOD = timedelta(days=365)
SOON = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ComplianceReport:
    """A framework judged, and the facts it was judged by."""

    assessment: Assessment
    facts: Facts

    def markdown(self) -> str:
        """Return it as Markdown."""
        return pages.markdown(pages.of_assessment(self.assessment, self.facts))

    def html(self) -> str:
        """Return it as one self-contained page."""
        return pages.html(pages.of_assessment(self.assessment, self.facts))


@dataclass(frozen=True, slots=True)
class ActivitiesReport:
    """The record of processing activities (GDPR Art. 30)."""

    record: Activities

    def markdown(self) -> str:
        """Return it as Markdown."""
        return pages.markdown(pages.of_activities(self.record))

    def html(self) -> str:
        """Return it as one self-contained page."""
        return pages.html(pages.of_activities(self.record))


class Reports:
    """Made from the live configuration and the ledger, which is verified for each."""

    def __init__(self, runtimes: Runtimes, key_provider: str) -> None:
        self._runtimes = runtimes
        self._key_provider = key_provider

    async def compliance(
        self,
        framework: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tenant: str | None = None,
    ) -> ComplianceReport:
        """Return how a framework ("gdpr", "hipaa", "sox", "pci_dss") stands; the period is the last 365 days.

        It is about the store's directory and those that tenants have of their own; one that is not open is counted
        as not read, and fails what rests on its ledger. With `tenant` it is about the directory that the tenant's data
        is in, alone.

        Raises:
            InvalidInputError: there is no such framework, or the period ends before it begins.
            StorageError: something could not be read.
        """
        if framework not in FRAMEWORKS:
            raise InvalidInputError(f"framework must be one of {', '.join(FRAMEWORKS)}")
        facts = await self._facts(since, until, tenant)
        return ComplianceReport(judge(framework, facts), facts)

    async def activities(self, *, tenant: str | None = None) -> ActivitiesReport:
        """Return the record of processing activities as configuration and store are now; see `compliance`."""
        return ActivitiesReport(activities(await self._facts(None, None, tenant)))

    async def _facts(self, since: datetime | None, until: datetime | None, tenant: str | None) -> Facts:
        parts = self._runtimes.main if tenant is None else self._runtimes.parts_of(check_id(tenant, "tenant"))
        now = parts.core.clock.now()
        last = now + SOON if until is None else check_moment(until, "until", now, future=True)
        first = last - PERIOD if since is None else check_moment(since, "since", now)
        if first >= last:
            raise InvalidInputError("since must lie before until")
        with timed(parts.core.observer, "reports"):
            facts = await self._of(parts, first, last)
            if tenant is not None:
                return facts
            own = [one for one in self._runtimes.every() if one is not parts]
            found = {_folder(one): await self._of(one, first, last) for one in own}
            return merged(facts, found, self._runtimes.unavailable)

    async def _of(self, parts: Parts, since: datetime, until: datetime) -> Facts:
        return await Accountant(parts, self._key_provider).facts(since, until)


def _folder(own: Parts) -> str:
    """A tenant's own runtime knows one tenant: the name of its directory, which tells nothing of it."""
    return next((one.folder for one in own.core.tenancy.entries.values()), "unknown")
