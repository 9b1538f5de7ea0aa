"""`serve --demo`: a store worth looking at is lived up to now, served, and removed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cli_shell import shell_in
from support import until

pytest.importorskip("uvicorn", reason="needs the extra server")

import httpx2

from tiered_memory import Filter, TieredMemory, User
from tiered_memory.cli.demo.cast import INJECTION, JONAS, LINES, MAYA, PEOPLE, SPACE, SPACE_LINES, VIKTOR
from tiered_memory.cli.demo.exhibit import document, ground, lines
from tiered_memory.cli.demo.seeding import Seeded, seed
from tiered_memory.cli.demo.source import bundled
from tiered_memory.config import load_settings
from tiered_memory.errors import ConfigurationError
from tiered_memory.model import Subject
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
NOW = datetime(2027, 3, 4, 15, 30, tzinfo=UTC)
EVERYTHING = Filter(include_superseded=True)


class Store:
    """A seeded store, what was told of it, and the steps that were heard of."""

    def __init__(self, path: Path) -> None:
        self.settings = load_settings(data_dir=path, background=False, redis_url="local")
        self.steps: list[tuple[int, int, datetime]] = []
        self.told: Seeded = anyio.run(seed, self.settings, NOW, self._heard)

    def _heard(self, done: int, total: int, now: datetime) -> None:
        self.steps.append((done, total, now))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TieredMemory]:
        async with TieredMemory.open(self.settings, clock=ManualClock(NOW)) as memory:
            yield memory


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("demo") / "data")


def face(memory: TieredMemory, subject: Subject) -> User:
    return memory.user(subject.user, subject.tenant)


async def test_each_person_opens_and_the_numbers_are_as_told(store: Store) -> None:
    assert [one.person for one in store.told.people] == list(PEOPLE)
    async with store.open() as memory:
        for told in store.told.people:
            user = face(memory, told.person)
            assert len(await user.list(limit=10_000)) == told.memories > 5
            assert len(await user.forgotten()) == told.forgotten
            assert len(await user.quarantine.list()) == told.quarantined
            assert [one.action for one in await user.consent.history()] == ["given"]
            assert await user.damaged() == []


async def test_everything_said_was_said_and_it_ends_now(store: Store) -> None:
    spoken = len(bundled().turns) + sum(map(len, LINES.values())) + 1
    assert store.told.said == spoken
    assert 120 < store.told.days < 170
    numbers = [done for done, _, _ in store.steps]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {total for _, total, _ in store.steps} == {len(numbers)}
    moments = [moment for _, _, moment in store.steps]
    assert moments == sorted(moments)
    assert NOW - timedelta(days=7) < moments[-1] <= NOW


async def test_the_ledger_verifies_and_has_the_erasure(store: Store) -> None:
    async with store.open() as memory:
        verdict = await memory.ledger.verify()
        assert verdict.problems == ()
        assert verdict.checkpoints >= 1
        [erased] = await memory.requests.erasures()
        assert erased.finished_at < NOW - timedelta(days=60)
        assert erased.received_at is not None
        assert await face(memory, VIKTOR).list() == []


async def test_strengths_are_of_every_kind(store: Store) -> None:
    async with store.open() as memory:
        strengths = [one.explanation.strength for one in await face(memory, MAYA).lives(limit=1000, points=2)]
    assert sum(one < 0.3 for one in strengths) >= 5
    assert sum(0.3 <= one < 0.6 for one in strengths) >= 5
    assert sum(one >= 0.6 for one in strengths) >= 5


async def test_some_was_forgotten_and_some_of_it_can_be_restored(store: Store) -> None:
    assert store.told.faded > 20
    async with store.open() as memory:
        user = face(memory, MAYA)
        gone = await user.forgotten()
        assert gone
        assert all([(await user.explain(one.id)).deadline > NOW for one in gone])


async def test_maya_has_a_pinned_a_corrected_a_superseded_and_a_quarantined_memory(store: Store) -> None:
    async with store.open() as memory:
        user = face(memory, MAYA)
        held = await user.list(where=EVERYTHING, limit=10_000)
        lives = await user.lives(limit=1000, points=2)
        pinned = [one.explanation.memory.content for one in lives if one.pinned]
        assert len(pinned) == 1
        assert "hazelnut" in pinned[0]
        corrected = next(one for one in held if "Corrected: it came at 09:00" in one.content)
        assert len(await user.history(corrected.id)) == 2
        assert any(one.superseded_by and "PostgreSQL 14" in one.content for one in held)
        assert [one.content for one in await user.quarantine.list()] == [INJECTION.content]


async def test_jonas_has_a_hold_and_a_decision_to_look_at(store: Store) -> None:
    async with store.open() as memory:
        jonas = face(memory, JONAS)
        [decision] = await jonas.decisions.list()
        assert decision.needs_review
        assert len((await jonas.decisions.explain(decision.id)).used) == 1
        [hold] = await memory.holds.list()
        assert hold.scope.user == JONAS.user
        assert hold.review_at > NOW


async def test_a_request_is_due_and_a_memory_is_shared(store: Store) -> None:
    async with store.open() as memory:
        [due] = await memory.requests.due(within_days=31)
        assert due.subject == PEOPLE[2]
        assert due.request.due_at > NOW
        assert [one.version for one in await memory.notices.list()] == ["1", "2"]
        space = memory.shared(SPACE, user=JONAS.user)
        assert {one.content for one in await space.list()} == set(SPACE_LINES)


def test_what_is_told_names_every_person_and_the_page(store: Store) -> None:
    said = lines("http://127.0.0.1:1", store.told, temporary=True)
    assert said[0] == "Open http://127.0.0.1:1/ui/people"
    for told, line in zip(store.told.people, said[1:], strict=False):
        assert line.split()[:2] == [told.person.user, f"{told.memories}"]
    assert store.told.certificate in "".join(said)
    assert "removes everything" in said[-1]
    assert "the store stays" in lines("http://127.0.0.1:1", store.told, temporary=False)[-1]
    assert document("http://127.0.0.1:1", store.told)["inspector"] == "http://127.0.0.1:1/ui/people"


# --- where it plays ------------------------------------------------------------------------------------------


def test_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds something"), ground(tmp_path):
        pytest.fail("it was taken")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_given_directory_stays_and_a_temporary_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    with ground(None) as own:
        (own.directory / "file").write_text("a store")
        assert own.directory.parent == tmp_path
    assert not own.directory.exists()
    assert signal.getsignal(signal.SIGTERM) is before
    with ground(tmp_path / "new") as given:
        given.directory.mkdir()
        given.go_on()
    assert given.directory.is_dir()


def test_a_sigterm_while_it_is_filled_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), ground(None):
        signal.raise_signal(signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []


def test_a_sigterm_that_a_destructor_swallowed_still_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ground(None) as own:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            own.go_on()
    assert list(tmp_path.iterdir()) == []


def test_a_demo_takes_no_socket_and_not_the_store_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shell_in(tmp_path, monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TIERED_MEMORY_DATA_DIR", str(tmp_path / "in-use"))
    refused = shell.run("serve", "--demo", "--json", "--socket", str(tmp_path / "s"))
    assert refused.exit_code == 1
    assert "needs a port" in json.loads(refused.stderr)["message"]
    assert list(tmp_path.iterdir()) == []


# --- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    out = tmp_path / "out"
    (tmp_path / "tmp").mkdir()
    environ = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "TIERED_MEMORY_REDIS_URL": "local"}
    command = [sys.executable, "-m", "tiered_memory", "serve", "--demo", "--json", "--port", "0"]
    with out.open("wb") as stdout:
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, env=environ)
    try:
        yield process, out
    finally:
        process.kill()
        process.wait()


async def test_the_command_serves_its_people_and_leaves_nothing(
    served: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    process, out = served
    await until(lambda: process.poll() is not None or out.read_bytes().endswith(b"}\n"), 120)
    told: dict[str, Any] = json.loads(out.read_text())
    with httpx2.Client(base_url=told["listening"], timeout=60) as client:
        await until(lambda: '"ready"' in client.get("/readyz").text, 60)
        page = client.get("/ui/people").text
        assert {one.user for one in PEOPLE} <= set(re.findall(r"[a-z]+", page))
        # The demo's agent asks by itself.
        await until(lambda: 'op="context"' in client.get("/metrics").text, 60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert list((tmp_path / "tmp").iterdir()) == []
