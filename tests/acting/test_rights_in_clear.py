"""No word that anybody says in exercising a right, or in refusing one, is in clear in anything the store lets out.

Not on disk, not in a file's name, not in the ledger, not in a log, a metric or an error's message; what is handed to
the caller (archives, certificates, answers) is the caller's.
"""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from support import everything_at_rest, opened, parts_of, raw_bytes, redis_bytes, seen

from tiered_memory import TieredMemory, User
from tiered_memory.caller import Caller
from tiered_memory.errors import TieredMemoryError
from tiered_memory.hold_model import HoldScope
from tiered_memory.model import Provenance, SourceKind
from tiered_memory.privacy.sharing import Member
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

REVIEW = datetime(2199, 1, 1, tzinfo=UTC)
POLICY = """
schema = 1
default_purpose = "advice"
[purposes.advice]
lawful_basis = "consent"
max_sensitivity = "restricted"
[purposes.safety]
lawful_basis = "legitimate_interests"
documentation = "the balancing test"
max_sensitivity = "restricted"
[retention.internal]
ceiling_days = 300
"""


class Words(defaultdict[str, str]):
    """A word of its own for everything that is said."""

    def __missing__(self, key: str) -> str:
        self[key] = f"mk{secrets.token_hex(9)}"
        return self[key]


class Told(logging.Handler):
    """Everything that is logged, at every level, by anybody."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__}")


class Scene:
    """A memory, the words that were said in it, and what it let out."""

    def __init__(self, memory: TieredMemory, folder: Path, clock: ManualClock) -> None:
        self.memory, self.folder, self.clock = memory, folder, clock
        self.words = Words()
        self.refusals: list[str] = []

    def user(self, name: str, **said: Any) -> User:
        caller = Caller(actor=self.words["actor"], **said)
        return self.memory.user(self.words[name], tenant=self.words["tenant"], caller=caller)

    async def refused(self, work: Awaitable[object]) -> None:
        """Have a call refused and keep what a traceback would show of it."""
        with pytest.raises(TieredMemoryError) as caught:
            await work
        error: BaseException | None = caught.value
        while error is not None:
            self.refusals.append(f"{error!r} {error} {getattr(error, '__notes__', '')}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@asynccontextmanager
async def staged(data: Path, tmp_path: Path) -> AsyncIterator[tuple[Scene, Told, PrometheusObserver]]:
    policy, clock, told, metrics = tmp_path / "policy.toml", ManualClock(), Told(), PrometheusObserver()
    policy.write_text(POLICY)
    settings = {"policy": str(policy), "ballast_mib": 0}
    root = logging.getLogger()
    levels = root.level, logging.getLogger("tiered_memory").level
    root.addHandler(told)
    root.setLevel(logging.DEBUG)
    logging.getLogger("tiered_memory").setLevel(logging.DEBUG)
    try:
        async with opened(data, settings=settings, clock=clock, observer=metrics) as memory:
            yield Scene(memory, tmp_path, clock), told, metrics
    finally:
        root.removeHandler(told)
        root.setLevel(levels[0])
        logging.getLogger("tiered_memory").setLevel(levels[1])


# --- what is done --------------------------------------------------------------------------------------------


async def consents(scene: Scene) -> None:
    memory, words, alice = scene.memory, scene.words, scene.user("alice")
    await memory.notices.publish(
        words["notice"], version="1", language="en", text=words["notice text"], controller=words["controller"],
        contact=words["contact"], recipients=[words["recipient"]],
    )  # fmt: skip
    terms: Any = {"actor": words["consent actor"], "method": words["method"], "retention": words["retention"]}
    await alice.consent.grant("advice", notice=words["notice"], details={"said": words["details"]}, **terms)
    await alice.consent.receipt("advice")
    await scene.refused(alice.consent.grant(words["purpose"], notice=words["notice"]))
    await scene.refused(memory.notices.get(words["no notice"]))


async def corrects(scene: Scene) -> None:
    words, alice = scene.words, scene.user("alice")
    first = await alice.add(f"{words['wrong']} is my dentist", importance=0.9, session=words["session"])
    await alice.update(
        first.id, f"{words['right']} is my dentist", reason=words["correction"], by=words["by"]
    )
    await alice.history(first.id)
    await scene.refused(alice.update(first.id, words["late"], reason=words["why late"], expected_version=1))
    await scene.refused(alice.update(words["no id"], words["unheard"], reason=words["unheard why"]))
    await alice.decisions.record(
        words["decision"],
        memory_ids=[first.id],
        logic=words["logic"],
        outcome=words["outcome"],
        effect="legal",
    )
    [decided] = await alice.decisions.list()
    await alice.decisions.request_review(decided.id, reason=words["review why"])
    await alice.decisions.review(
        decided.id, reviewer=words["reviewer"], outcome=words["reviewed"], note=words["review note"]
    )
    await scene.refused(alice.decisions.explain(words["no decision"]))


async def requests(scene: Scene) -> None:
    words, alice = scene.words, scene.user("alice")
    asked = await alice.requests.open("access", channel=words["by post"], note=words["note"])
    await alice.requests.extend(asked.id, months=1, reason=words["extension"])
    await alice.requests.close(
        asked.id, outcome="refused", reason=words["refusal"], evidence=words["evidence"]
    )
    await scene.refused(alice.requests.close(words["no request"]))
    await alice.rights.restrict(reason=words["contested"])
    await scene.refused(alice.search(words["asked in vain"]))
    await scene.memory.forget()
    await alice.rights.lift_restriction(reason=words["settled"])
    await alice.add(f"{words['watched']} was here", purpose="safety", importance=0.9)
    await alice.object_to("safety", reason=words["objection"])
    await scene.refused(alice.object_to(words["no purpose"], reason=words["vain objection"]))
    await alice.lift_objection("safety")
    await alice.about()


async def guards(scene: Scene) -> None:
    words, alice = scene.words, scene.user("alice")
    source = Provenance(SourceKind.DOCUMENT, words["channel"])
    odd = await alice.add(f"{words['odd']} says the page", importance=0.9, provenance=source)
    await alice.quarantine.put(odd.id, reason=words["apart"])
    await scene.refused(alice.get(odd.id))
    await alice.quarantine.release(odd.id, reason=words["fine"])
    await alice.roll_back(channel=words["channel"], reason=words["poisoned"])
    support = scene.user("alice", role="support")
    await scene.refused(support.add(words["forbidden"]))


async def shares(scene: Scene) -> None:
    memory, words, tenant = scene.memory, scene.words, scene.words["tenant"]
    bob = scene.user("bob")
    await bob.consent.grant("advice", notice=words["notice"])
    alice = memory.shared(words["space"], tenant=tenant, user=words["alice"])
    await alice.create(notice=words["notice"])
    await alice.grant_access(Member(words["bob"]), {"read", "write"})
    theirs = memory.shared(words["space"], tenant=tenant, user=words["bob"])
    said = await theirs.add(f"{words['ours']} is ours", operation_id=words["operation"])
    await theirs.add(f"{words['more of ours']} as well")
    await alice.delete(said.id, reason=words["deleted"])
    await scene.refused(theirs.members())
    await scene.refused(memory.shared(words["no space"], tenant=tenant, user=words["carol"]).list())
    await bob.consent.refuse("advice", notice=words["notice"], details={"said": words["refused"]})


async def holds(scene: Scene) -> None:
    memory, words, alice = scene.memory, scene.words, scene.user("alice")
    scope = HoldScope(tenant=words["tenant"], user=words["alice"])
    wish: Any = {"scope": scope, "owner": words["owner"], "reason": words["claim"], "review_at": REVIEW}
    await alice.add(f"{words['held']} is held", importance=0.9)
    await memory.holds.place(words["hold"], **wish)
    await scene.refused(memory.holds.place(words["hold"], **wish))
    await scene.refused(memory.tenants.erase(words["tenant"], words["too early"]))
    await alice.export(scene.folder / "archive.zip")
    await scene.refused(alice.import_archive(scene.folder / words["no file"]))
    await memory.keys.rotate(words["tenant"])
    await alice.erase(reason=words["erased"])
    await memory.holds.export(words["hold"], scene.folder / "held.jsonl")
    await memory.holds.release(words["hold"], words["over"])
    await scene.refused(memory.holds.release(words["no hold"], words["never"]))


async def again(scene: Scene) -> None:
    """The archive is taken in by the next generation; then the consent expires."""
    words, alice = scene.words, scene.user("alice")
    tomorrow = scene.clock.now() + timedelta(days=1)
    await alice.consent.grant("advice", notice=words["notice"], expires_at=tomorrow)
    await alice.import_archive(scene.folder / "archive.zip", purpose="advice")
    await scene.memory.drain()
    scene.clock.advance(2 * 86_400.0)
    await scene.memory.forget(confirmed=True)
    await scene.memory.reports.activities()


async def ends(scene: Scene) -> None:
    memory, words = scene.memory, scene.words
    await memory.tenants.erase(words["tenant"], words["contract ended"])
    await scene.refused(memory.tenants.get(words["no tenant"]))


ACTS = (consents, corrects, requests, guards, shares, holds, again, ends)


# --- what is let out -----------------------------------------------------------------------------------------


async def let_out(scene: Scene, told: Told, metrics: PrometheusObserver) -> dict[str, set[str]]:
    """Return which of the words each place lets out."""
    leaves = await parts_of(scene.memory).core.state.read(c.Leaves())
    places = {
        "logs": [line.encode() for line in told.lines],
        "metrics": [generate_latest(metrics.registry)],
        "errors": [line.encode() for line in scene.refusals],
        "ledger": [leaf for _, leaf, _ in leaves],
        "hot": redis_bytes(scene.memory),
    }
    return {place: found for place, lines in places.items() if (found := seen(scene.words.values(), lines))}


async def test_no_word_of_a_right_is_let_out(data: Path, tmp_path: Path) -> None:
    async with staged(data, tmp_path) as (scene, told, metrics):
        await scene.memory.tenants.register(scene.words["tenant"], allowed_agents=None)
        for act in ACTS:
            await act(scene)
            spoken = {value: key for key, value in scene.words.items()}
            found = await let_out(scene, told, metrics)
            named = {place: {spoken[one] for one in words} for place, words in found.items()}
            assert named == {}, act.__name__
            raw = {spoken[one] for one in seen(spoken, raw_bytes(data))}
            assert raw == set(), act.__name__
        assert len(scene.words) > 60
        assert len(scene.refusals) > 12
        assert told.lines
    # Below the encryption of the state store, its own entries are found by the names an operator gave them.
    assert {spoken[one] for one in seen(spoken, everything_at_rest(data))} <= {"hold", "notice"}
