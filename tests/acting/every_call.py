"""Every call of the public face, with words in it that must not come out again in a log line or a span."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_rights_in_clear import ACTS, REVIEW, Scene

import tiered_memory
from tiered_memory import Interaction, User
from tiered_memory.hold_model import HoldScope
from tiered_memory.model import Filter, Provenance
from tiered_memory.privacy.sharing import Member

PACKAGE = Path(tiered_memory.__file__).parent


def _faces() -> Iterator[type]:
    """Yield every class of the public face, found where such classes live: a new one is asked for by itself."""
    for path in sorted(PACKAGE.glob("*.py")):
        if path.stem in {"memory", "user", "user_rights", "auditing"} or path.stem.endswith("_face"):
            module = importlib.import_module(f"tiered_memory.{path.stem}")
            yield from (
                one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__
            )


FACES = tuple(one for one in _faces() if isinstance(one, type))
ELSEWHERE = {"TieredMemory.restore", "Keys.rotate_root"}
"""Those that need a store of their own."""


def noting(patch: pytest.MonkeyPatch) -> set[str]:
    """Return the calls of the public face that were not made yet; each leaves the set when it is made."""
    left: set[str] = set()
    for face in FACES:
        for name, call in list(vars(face).items()):
            if inspect.iscoroutinefunction(call) and not name.startswith("_"):
                left.add(f"{face.__name__}.{name}")
                patch.setattr(face, name, _noted(call, left, f"{face.__name__}.{name}"))
    left -= ELSEWHERE
    return left


def _noted(call: Callable[..., Any], left: set[str], name: str) -> Callable[..., Any]:
    @functools.wraps(call)
    async def noted(*args: Any, **given: Any) -> Any:
        left.discard(name)
        return await call(*args, **given)

    return noted


async def everyday(scene: Scene) -> None:
    memory, words, alice = scene.memory, scene.words, scene.user("anna")
    await alice.consent.grant("advice", notice=words["notice"], details={"said": words["details"]})
    first = await alice.add(
        f"I always prefer {words['drink']} in the morning", importance=0.9, session=words["session"],
        agent=words["agent"], author=words["author"], metadata={words["key"]: [words["value"]]},
        provenance=Provenance(channel=words["channel"], model=words["model"]), operation_id=words["operation"],
    )  # fmt: skip
    more = [
        Interaction(content=f"{words['food']} for lunch {n}", importance=0.8, session=words["session"])
        for n in range(3)
    ]
    added = await alice.add_many(more)
    await memory.drain()
    await alice.search(words["drink"], where=Filter(sessions=frozenset({words["session"]})))
    await alice.context(words["food"], session=words["session"])
    await alice.preview(words["food"], session=words["session"])
    await alice.get(first.id)
    await alice.list()
    await alice.lives()
    await alice.life(first.id)
    await alice.explain(first.id)
    await alice.used([first.id])
    await alice.pin(first.id)
    await alice.unpin(first.id)
    await alice.damaged()
    await alice.forecast()
    await alice.forget(dry_run=True)
    await alice.delete(added[0].id, reason=words["deleted"])
    await alice.consent.current()
    await alice.consent.history()
    await alice.objections()
    await alice.rights.restrictions()
    await alice.requests.list()
    await alice.quarantine.list()
    await alice.retention.event(words["event"])
    await alice.consent.withdraw("advice", reason=words["withdrawn"])


async def fading(scene: Scene) -> None:
    words, alice = scene.words, scene.user("agnes")
    await alice.consent.grant("advice", notice=words["notice"])
    await fade(scene, alice)
    [faded] = await alice.forgotten()
    await alice.restore(faded.id)
    await scene.refused(alice.restore("0" * 32))
    await scene.refused(alice.restore(words["no such memory"]))


async def fade(scene: Scene, user: User) -> None:
    """Let a memory of the user fade."""
    one = await user.add(f"I prefer {scene.words['faded']}", importance=0.6)
    deadline = (await user.explain(one.id)).deadline
    assert deadline is not None
    scene.clock.advance(deadline - scene.clock.now() + timedelta(hours=1))
    await scene.memory.forget(confirmed=True)


async def sharing(scene: Scene) -> None:
    memory, words, tenant = scene.memory, scene.words, scene.words["tenant"]
    await scene.user("aaron").consent.grant("advice", notice=words["notice"])
    await scene.user("bella").consent.grant("advice", notice=words["notice"])
    space = memory.shared(words["other space"], tenant=tenant, user=words["aaron"])
    await space.create(notice=words["notice"])
    said = await space.add(f"{words['shared']} is for all")
    await space.search(words["shared"])
    await space.context(words["shared"])
    await space.list()
    await space.get(said.id)
    await space.members()
    await space.changes()
    await space.grant_access(Member(words["bella"]), {"read"})
    await space.revoke_access(Member(words["bella"]))
    await space.erase(reason=words["space over"])


async def running(scene: Scene) -> None:
    memory, words, folder = scene.memory, scene.words, scene.folder
    scope = HoldScope(tenant=words["tenant"], user=words["anna"])
    await memory.holds.place(
        words["short hold"], scope=scope, owner=words["owner"], reason=words["claim"], review_at=REVIEW
    )
    await memory.holds.list()
    await memory.holds.due_for_review()
    await memory.holds.release(words["short hold"], words["over"])
    await memory.forecast()
    await memory.purge_runs()
    await memory.stats()
    await memory.requests.due()
    await memory.requests.overdue()
    await memory.requests.erasures()
    await memory.notices.list()
    await memory.keys.status()
    await memory.reports.compliance("gdpr")
    await memory.ledger.checkpoint()
    await memory.ledger.entries()
    await memory.ledger.verification_key()
    await memory.ledger.verify()
    await memory.ledger.export(folder / "ledger")
    await memory.backup(folder / "backup.tar")
    await memory.tenants.change(words["tenant"], quota_mib=50.0)
    await memory.tenants.list()
    await memory.tenants.get(words["tenant"])
    await memory.tenants.usage(words["tenant"], since=scene.clock.now() - timedelta(days=30))
    await scene.refused(memory.tenants.backup(words["tenant"], folder / "tenant.tar"))


async def keys(scene: Scene) -> None:
    memory, words = scene.memory, scene.words
    made = await memory.api_keys.create(
        words["key name"],
        grants=["memories:read"],
        tenant=words["tenant"],
        user=words["alice"],
        actor=words["actor"],
    )
    [listed] = await memory.api_keys.list()
    rotated = await memory.api_keys.rotate(listed.id)
    await memory.api_keys.revoke(listed.id, words["leaked"])
    scene.words["first secret"], scene.words["second secret"] = made.secret, rotated.secret
    await scene.refused(memory.api_keys.revoke(made.secret, words["by its text"]))
    await memory.health()


async def jobs(scene: Scene) -> None:
    memory, words = scene.memory, scene.words
    assert len(await memory.jobs.list()) > 1
    await memory.jobs.run("forget")
    await memory.jobs.pause("forget")
    await memory.jobs.resume("forget")
    await memory.jobs.get("forget")
    await scene.refused(memory.jobs.run(words["no such job"]))


async def closing(scene: Scene) -> None:
    words = scene.words
    await scene.memory.close()
    await scene.refused(scene.user("anna").search(words["too late"]))


EVERY_ACT = (*ACTS[:-1], everyday, fading, sharing, running, keys, jobs, *ACTS[-1:], closing)
