"""An export holds everything of one person as of one moment, says so in readable form, and nothing else gets out."""

from __future__ import annotations

import re
import stat
import zipfile
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import anyio
import pytest
from archive_tools import document, every_problem, lines, problems, text
from support import PURPOSE, TWO_PURPOSES, consenting, opened, parts_of

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.archive_files import verify_archive
from tiered_memory.errors import ConsentRequiredError, InvalidInputError, StorageError, SubjectErasedError
from tiered_memory.formats.archive import ACCESS_FILES, ArchiveKind, files_of
from tiered_memory.model import Provenance, Role, SourceKind
from tiered_memory.register import Entry, Register
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "code", "nav", "strong", "ol", "ul",
    "li", "a", "main", "div", "table", "thead", "tbody", "tr", "th", "td", "article",
}  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.names = set[str](), set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    @classmethod
    def of(cls, page: str) -> tuple[set[str], set[str]]:
        seen = cls()
        seen.feed(page)
        return seen.tags, seen.names


async def furnish(alice: User, clock: ManualClock) -> dict[str, str]:
    """Give alice one memory of each sort; return their ids."""
    faded = await alice.add("The old bike was green", importance=0.25)
    clock.advance(timedelta(days=120))
    await alice.forget(confirmed=True)
    old = await alice.add("I live in Leipzig", session="s1", importance=0.9)
    new = await alice.add("I moved to Hamburg, I live in Hamburg now", session="s1", importance=0.9)
    agent = await alice.add("You seem to like ports", role=Role.ASSISTANT, session="s1", importance=0.9)
    small = await alice.add("hello there", session="s2")
    return {"faded": faded.id, "old": old.id, "new": new.id, "agent": agent.id, "small": small.id}


async def test_access_holds_everything_and_each_line_keeps_to_its_schema(
    alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    ids = await furnish(alice, clock)
    made = await alice.export(tmp_path / "all.zip")
    assert every_problem(made.path) == []
    assert set(zipfile.ZipFile(made.path).namelist()) == {*files_of(ArchiveKind.ACCESS), "manifest.json"}
    states = {one["id"]: one["state"] for one in lines(made.path, "memories.jsonl")}
    assert states == {
        ids["faded"]: "forgotten",
        ids["old"]: "active",
        ids["new"]: "active",
        ids["agent"]: "active",
        ids["small"]: "volatile",
    }
    assert made.memories == 5
    assert (made.left_out, made.damaged) == ({}, ())


async def test_what_was_inferred_is_told_like_explain_tells_it(
    alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    ids = await furnish(alice, clock)
    made = await alice.export(tmp_path)
    inferred = {one["id"]: one for one in lines(made.path, "inferred.jsonl")}
    assert inferred.keys() == set(ids.values())
    for name in ("old", "new", "faded"):
        why, told = await alice.explain(ids[name]), inferred[ids[name]]
        assert told["strength"] == pytest.approx(why.strength)
        assert told["deadline"] == (why.deadline and why.deadline.isoformat())
        assert (told["state"], told["deadline_rule"], told["policy"]) == (
            why.state,
            why.deadline_rule,
            why.policy,
        )
        assert told["vector"]["dimensions"] == 256
    assert inferred[ids["old"]]["superseded_by"] == ids["new"]


async def test_consents_sessions_register_and_ledger_are_in_it(
    memory: TieredMemory, clock: ManualClock, tmp_path: Path
) -> None:
    alice = memory.user("alice", tenant="acme")
    details = {"recipients": ["Helpdesk Ltd"], "language": "de"}
    await alice.consent.grant(PURPOSE, notice="notice 7", details=details)
    await alice.add("hello", session="s1")
    async with alice._using("rights") as (_, active):
        entry = Entry(id="r1", kind="request", status="open", at_us=0, fields={"what": "access"}, due_us=5)
        await Register(parts_of(memory).core).put(active, entry)
    first = (await alice.export(tmp_path / "first.zip")).path
    assert [one["details"]["notice"] for one in lines(first, "consents.jsonl")] == ["notice 7"]
    assert [(one["session"], one["content"]) for one in lines(first, "sessions.jsonl")] == [("s1", "hello")]
    assert [(one["kind"], one["fields"]) for one in lines(first, "register.jsonl")] == [
        ("request", {"what": "access"})
    ]
    purposes = document(first, "recipients.json")["purposes"]
    assert [(one["purpose"], one["recipients"]) for one in purposes] == [(PURPOSE, ["Helpdesk Ltd"])]
    second = (await alice.export(tmp_path / "second.zip")).path
    events = [one["event"] for one in lines(second, "accesses.jsonl")]
    assert events == ["key_created", "consent_given", "exported"]
    assert document(second, "retention.json")["rules"]["restricted"]["ceiling_days"] == 30.0


async def test_portability_has_what_the_person_provided_and_nothing_inferred(
    alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    ids = await furnish(alice, clock)
    derived = Provenance(SourceKind.USER, derived_from=(ids["old"],))
    await alice.add("She moves often", importance=0.9, provenance=derived)
    made = await alice.export(tmp_path, kind="portability")
    found = lines(made.path, "memories.jsonl")
    assert {one["id"] for one in found} == {ids["faded"], ids["old"], ids["new"], ids["small"]}
    inferred = {"importance", "reasons", "trust", "superseded_by", "valid_to", "conflicts_with", "language"}
    assert not any(inferred & one.keys() for one in found)
    assert sum(made.left_out.values()) == 2
    names = set(zipfile.ZipFile(made.path).namelist())
    assert names & set(ACCESS_FILES) == {"memories.jsonl", "subject.json"}
    assert every_problem(made.path) == []


async def test_another_lawful_ground_is_no_matter_of_portability(data: Path, tmp_path: Path) -> None:
    rules = TWO_PURPOSES.replace('"contract"', '"legal_obligation"')
    (tmp_path / "two.toml").write_text(rules)
    settings = {"policy": str(tmp_path / "two.toml")}
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice")
        await alice.add("Invoice 7 is paid", purpose="service", importance=0.9)
        assert (await alice.export(tmp_path / "p.zip", kind="portability")).memories == 0
        assert (await alice.export(tmp_path / "a.zip")).memories == 1


async def test_the_page_loads_nothing_and_shows_no_ones_words_as_its_own(alice: User, tmp_path: Path) -> None:
    evil = "<script>fetch('//evil')</script><img src=x onerror=alert(1)>\"'&"
    await alice.add(evil, session="<b>s</b>", author="<i>me</i>", importance=0.9)
    for kind in ArchiveKind:
        page = text((await alice.export(tmp_path / f"{kind}.zip", kind=kind)).path, "README.html")
        tags, attributes = Elements.of(page)
        assert tags <= ELEMENTS
        assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "id", "class", "href"}
        assert not re.search(r"url\(|@import|https?:", page)
        assert "&lt;script&gt;" in page
        assert "prefers-color-scheme:dark" in page
        assert re.findall(r'href="([^"]*)"', page) == [f"#s{n}" for n in range(page.count("<h2"))]
        assert page.count("<article>") == page.count("</article>") == 1


async def test_the_page_says_why_since_when_and_until_when(
    alice: User, clock: ManualClock, tmp_path: Path
) -> None:
    await furnish(alice, clock)
    page = text((await alice.export(tmp_path)).path, "README.html")
    for words in (
        "notice 1",
        "personalization",
        "consent",
        "given by the caller",
        "Art. 17",
        "alice",
        "acme",
    ):
        assert words in page
    assert f"kept since {clock.now():%Y-%m-%d}" in page


async def test_the_file_is_private_whole_and_named_after_nobody(alice: User, tmp_path: Path) -> None:
    await alice.add("I prefer tea", importance=0.9)
    made = await alice.export(tmp_path)
    assert made.path.parent == tmp_path
    assert re.fullmatch(r"archive-[0-9a-f]{12}\.zip", made.path.name)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert made.bytes == made.path.stat().st_size
    assert verify_archive(made.path, bytes.fromhex(made.public_key)).notices == ()
    with zipfile.ZipFile(made.path) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert "alice" not in "".join(archive.namelist())


async def test_nothing_is_overwritten(alice: User, tmp_path: Path) -> None:
    target = tmp_path / "mine.zip"
    target.write_text("precious")
    with pytest.raises(InvalidInputError, match="already"):
        await alice.export(target)
    assert target.read_text() == "precious"
    with pytest.raises(InvalidInputError, match="directory"):
        await alice.export(tmp_path / "no" / "where.zip")
    with pytest.raises(InvalidInputError, match="kind"):
        await alice.export(tmp_path, kind="everything")
    assert exports_in(tmp_path) == [target]


async def test_a_file_that_came_meanwhile_stays(alice: User, tmp_path: Path) -> None:
    await alice.add("I prefer tea", importance=0.9)
    target = tmp_path / "mine.zip"
    with pytest.raises(InvalidInputError, match="already"):
        await alice.export(target, progress=lambda *_: target.write_text("precious") and None)
    assert target.read_text() == "precious"


async def test_who_is_erased_during_an_export_is_not_handed_out(
    memory: TieredMemory, alice: User, tmp_path: Path
) -> None:
    await alice.add_many([Interaction(content=f"fact {n}", importance=0.9) for n in range(450)])
    erased = anyio.Event()

    async def erase() -> None:
        await alice.erase(reason="request")
        erased.set()

    async with anyio.create_task_group() as tasks:
        begun = False

        def progress(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                begun = True
                tasks.start_soon(erase)

        with pytest.raises(SubjectErasedError):
            await alice.export(tmp_path / "gone.zip", progress=progress)
        await erased.wait()
    assert exports_in(tmp_path) == []


async def test_a_consent_withdrawn_during_an_export_ends_it(alice: User, tmp_path: Path) -> None:
    await alice.add_many([Interaction(content=f"fact {n}", importance=0.9) for n in range(450)])
    async with anyio.create_task_group() as tasks:

        def progress(done: int, total: int) -> None:
            if done == 200:
                tasks.start_soon(alice.consent.withdraw, PURPOSE)

        with pytest.raises(ConsentRequiredError, match="repeat"):
            await alice.export(tmp_path / "gone.zip", progress=progress)
    assert exports_in(tmp_path) == []


async def test_a_full_disk_leaves_no_file_and_no_leaf(
    alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.add("I prefer tea", importance=0.9)

    def full(*_: object) -> None:
        raise OSError(5, "input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        broken.setattr("tiered_memory.archive_files.os.link", full)
        with pytest.raises(StorageError, match="there is no file"):
            await alice.export(tmp_path / "gone.zip")
    assert exports_in(tmp_path) == []


async def test_writes_that_go_on_are_in_it_whole_or_not_at_all(alice: User, tmp_path: Path) -> None:
    await alice.add_many([Interaction(content=f"fact {n}", importance=0.9) for n in range(300)])

    async def write_on() -> None:
        for pair in range(40):
            both = [Interaction(content=f"pair {pair} {side}", importance=0.9) for side in ("left", "right")]
            await alice.add_many(both)

    for attempt in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_on)
            made = await alice.export(tmp_path / f"{attempt}.zip", progress=lambda *_: None)
        said = [one["content"] for one in lines(made.path, "memories.jsonl")]
        left = {one.removesuffix(" left") for one in said if one.endswith(" left")}
        assert left == {one.removesuffix(" right") for one in said if one.endswith(" right")}
        links = {one["id"] for one in lines(made.path, "memories.jsonl")}
        assert all(one.get("superseded_by") in links | {None} for one in lines(made.path, "memories.jsonl"))


async def test_a_user_of_whom_ram_holds_a_part_is_exported_whole(data: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        ids = await furnish(alice, clock)
        await alice.add_many([Interaction(content=f"fact {n}", importance=0.9) for n in range(450)])
    async with opened(data, clock=clock, settings={"indexed_above_memories": 5}) as memory:
        alice = memory.user("alice", tenant="acme")
        made = await alice.export(tmp_path)
        async with alice._using("rights") as (_, active):
            assert active.paged
    found = {one["id"]: one for one in lines(made.path, "memories.jsonl")}
    assert set(ids.values()) - {ids["small"]} <= found.keys()
    assert found[ids["faded"]]["state"] == "forgotten"
    assert found[ids["old"]]["superseded_by"] == ids["new"]
    assert sum(one["content"].startswith("fact ") for one in found.values()) == 450
    assert every_problem(made.path) == []


async def test_a_damaged_memory_is_named(data: Path, tmp_path: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        kept, lost = [(await alice.add(one, importance=0.9)).id for one in ("I like tea", "I own a kayak")]
        await memory.drain()
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        async with alice._using("rights") as (parts, active):
            await parts.core.cold.remove(active.ref, [lost])
    async with opened(data) as memory:
        made = await memory.user("alice", tenant="acme").export(tmp_path)
    assert made.damaged == (lost,)
    assert [one["id"] for one in lines(made.path, "memories.jsonl")] == [kept]
    assert document(made.path, "manifest.json")["damaged"] == [lost]
    assert "is damaged: 1" in text(made.path, "README.html")


async def test_somebody_without_anything_durable_gets_what_there_is(
    memory: TieredMemory, tmp_path: Path
) -> None:
    bob = memory.user("bob")
    await bob.add("hello", session="s1")
    made = await bob.export(tmp_path)
    assert [one["state"] for one in lines(made.path, "memories.jsonl")] == ["volatile"]
    assert every_problem(made.path) == []


async def test_the_export_counts_up_to_all(alice: User, tmp_path: Path) -> None:
    await alice.add_many([Interaction(content=f"fact {n}", importance=0.9) for n in range(450)])
    told: list[tuple[int, int]] = []
    await alice.export(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (450, 450)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def exports_in(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if one.is_file()]


@pytest.mark.parametrize(
    ("value", "schema", "wrong"),
    [
        ({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": False}, 1),
        ({}, {"type": "object", "required": ["a"]}, 1),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, 1),
        (True, {"type": "number"}, 1),
        (2, {"type": "number", "maximum": 1}, 1),
        ("2026-01-01T00:00:00", {"type": "string", "format": "date-time"}, 1),
        ("x", {"enum": ["y"]}, 1),
        ("2026-01-01T00:00:00+01:00", {"type": "string", "format": "date-time"}, 0),
    ],
)
def test_the_schema_checker_can_fail(value: object, schema: dict[str, object], wrong: int) -> None:
    assert len(problems(value, schema, "it")) == wrong
