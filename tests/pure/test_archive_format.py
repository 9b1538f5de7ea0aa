"""The archive's lines and manifest: what is written reads back, what is frozen stays readable, the page is pure."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import frozen

from tiered_memory.archive_lines import EPHEMERAL_THERE, FORGOTTEN_THERE, read_line
from tiered_memory.archive_page import SHOWN, PageFacts, memory_card, portable_card, render
from tiered_memory.crypto.signing import verifies
from tiered_memory.errors import ArchiveError
from tiered_memory.formats import archive as f
from tiered_memory.model import (
    Explanation,
    Kind,
    LawfulBasis,
    Memory,
    Provenance,
    Repeat,
    Role,
    Sensitivity,
    SourceKind,
    TierName,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MOST = 100_000
IDS = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20).filter(
    str.strip
)
MOMENTS = st.builds(
    lambda seconds, minutes: datetime.fromtimestamp(seconds, timezone(timedelta(minutes=minutes))),
    st.integers(0, 1_700_000_000),
    st.integers(-720, 720),
)
REPEATS = st.builds(Repeat, IDS, st.just(0), MOMENTS, st.none() | WORDS)
MEMORIES = st.builds(
    Memory,
    id=IDS,
    order=st.just(0),
    version=st.just(1),
    content=WORDS,
    role=st.sampled_from(Role),
    kind=st.sampled_from(Kind),
    importance=st.floats(0, 1),
    reasons=st.lists(WORDS, max_size=3).map(tuple),
    sensitivity=st.sampled_from(Sensitivity),
    purpose=WORDS,
    lawful_basis=st.none() | st.sampled_from(LawfulBasis),
    occurred_at=MOMENTS,
    ingested_at=MOMENTS,
    author=st.none() | WORDS,
    session=st.none() | WORDS,
    agent=st.none() | WORDS,
    language=st.none() | st.just("en"),
    valid_from=st.none() | MOMENTS,
    valid_to=st.none() | MOMENTS,
    superseded_by=st.none() | IDS,
    superseded_because=st.none() | WORDS,
    supersedes=st.lists(IDS, max_size=2).map(tuple),
    conflicts_with=st.lists(IDS, max_size=2).map(tuple),
    repeats=st.lists(REPEATS, max_size=3).map(tuple),
    metadata=st.dictionaries(WORDS, st.integers(-5, 5) | WORDS | st.none(), max_size=3),
    provenance=st.builds(
        Provenance,
        st.sampled_from(SourceKind),
        st.none() | WORDS,
        st.none() | WORDS,
        st.lists(IDS, max_size=2).map(tuple),
        st.lists(IDS, max_size=2).map(tuple),
    ),
    trust=st.floats(0, 1),
    quarantined=st.booleans(),
)


@given(MEMORIES)
def test_a_line_reads_back_as_the_memory_it_was(memory: Memory) -> None:
    read = read_line(f.line(f.memory_fields(memory, "active")), 1, NOW, MOST)
    assert read.memory == memory
    assert (read.unfit, read.scored, read.source) == (None, True, memory.provenance.source)


@given(MEMORIES)
def test_a_line_is_one_line_of_canonical_json(memory: Memory) -> None:
    line = f.line(f.memory_fields(memory, "active"))
    assert line.count(b"\n") == 1
    assert f.canonical(json.loads(line)) + b"\n" == line


@given(MEMORIES)
def test_nothing_inferred_is_in_a_portable_line(memory: Memory) -> None:
    there = json.loads(f.line(f.provided_fields(memory, "active")))
    assert not {"importance", "reasons", "trust", "quarantined", "superseded_by", "valid_to"} & there.keys()
    read = read_line(f.line(f.provided_fields(memory, "active")), 1, NOW, MOST)
    assert not read.scored
    assert (read.memory.content, read.memory.occurred_at) == (memory.content, memory.occurred_at)


@given(MEMORIES)
def test_a_card_shows_words_and_runs_nothing(memory: Memory) -> None:
    for card in (memory_card(memory, explained(memory)), portable_card(memory)):
        assert card.startswith("<article><p>")
        inner = card.replace("<article>", "").replace("</article>", "")
        inner = inner.replace('<p class="soft">', "").replace("<p>", "").replace("</p>", "")
        assert "<" not in inner
        assert ">" not in inner


@pytest.mark.parametrize(
    ("changes", "portable"),
    [
        ({}, True),
        ({"lawful_basis": LawfulBasis.CONTRACT}, True),
        ({"lawful_basis": LawfulBasis.LEGITIMATE_INTERESTS}, False),
        ({"lawful_basis": None}, False),
        ({"role": Role.ASSISTANT}, False),
        ({"provenance": Provenance(SourceKind.AGENT)}, False),
        ({"provenance": Provenance(derived_from=("0a" * 16,))}, False),
        ({"provenance": Provenance(SourceKind.IMPORT, origin_source=SourceKind.USER)}, True),
        ({"provenance": Provenance(SourceKind.IMPORT, origin_source=SourceKind.AGENT)}, False),
        ({"provenance": Provenance(SourceKind.IMPORT)}, False),
    ],
)
def test_what_article_20_covers(changes: dict[str, Any], portable: bool) -> None:
    own = replace(frozen.memory(), provenance=Provenance(), role=Role.USER)
    assert f.is_portable(replace(own, **changes)) is portable


def test_what_the_archive_says_of_origins_is_kept_over_several_moves() -> None:
    moved = Provenance(SourceKind.IMPORT, origin_id="0b" * 16, origin_source=SourceKind.TOOL)
    line = f.line(f.memory_fields(replace(frozen.memory(), provenance=moved), "active"))
    assert read_line(line, 1, NOW, MOST).source is SourceKind.TOOL


def test_as_of_takes_back_what_came_later() -> None:
    old, later = Repeat("0b" * 16, 5, NOW, None), Repeat("0c" * 16, 9, NOW, None)
    provenance = Provenance(merged_from=(old.id, later.id))
    memory = replace(
        frozen.memory(),
        repeats=(old, later),
        provenance=provenance,
        superseded_by="0d" * 16,
        superseded_because="an update",
        valid_to=NOW,
        conflicts_with=("0e" * 16, "0f" * 16),
    )
    then = f.as_of(memory, frozenset({"0d" * 16, "0e" * 16}), 7)
    assert (then.repeats, then.provenance.merged_from) == ((old,), (old.id,))
    assert (then.superseded_by, then.superseded_because, then.valid_to) == (None, None, None)
    assert then.conflicts_with == ("0f" * 16,)
    assert f.as_of(memory, frozenset(), 9) == memory


@pytest.mark.parametrize(("state", "why"), [("forgotten", FORGOTTEN_THERE), ("volatile", EPHEMERAL_THERE)])
def test_a_state_that_does_not_come_back(state: str, why: str) -> None:
    assert read_line(f.line(f.memory_fields(frozen.memory(), state)), 1, NOW, MOST).unfit == why


def test_what_was_held_since_tomorrow_is_held_since_now() -> None:
    memory = replace(frozen.memory(), ingested_at=NOW + timedelta(days=400))
    assert read_line(f.line(f.memory_fields(memory, "active")), 1, NOW, MOST).memory.ingested_at == NOW


def test_frozen_lines_and_their_manifest_read_back() -> None:
    golden = frozen.stored("archive_v1")
    now = frozen.NOW + timedelta(days=1)
    whole = read_line(golden["memory"].encode(), 1, now, MOST)
    assert whole.memory == replace(frozen.memory(), order=0, version=1)
    assert read_line(golden["provided"].encode(), 1, now, MOST).memory.content == frozen.memory().content
    manifest, signature = f.parse_manifest(golden["manifest"].encode())
    assert verifies(frozen.SIGNER.public_key, signature, manifest.signed_bytes())
    assert manifest.files["memories.jsonl"] == f.FileFacts("ef" * 32, 1234, 5)


def test_a_later_format_says_so() -> None:
    later = json.loads(frozen.stored("archive_v1")["manifest"]) | {"format": 2}
    with pytest.raises(ArchiveError, match="newer"):
        f.parse_manifest(json.dumps(later).encode())


def test_every_file_has_a_schema_that_closes_its_objects() -> None:
    folder = Path(f.__file__).parent / "schema"
    assert {one.name for one in folder.iterdir()} == {
        f.schema_name(one).split("/")[1] for one in f.ACCESS_FILES
    }
    for path in folder.iterdir():
        schema = json.loads(path.read_text())
        assert schema["$schema"].endswith("2020-12/schema")
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) <= schema["properties"].keys()


def test_a_long_list_is_shortened_on_the_page_and_says_so() -> None:
    manifest = f.parse_manifest(frozen.stored("archive_v1")["manifest"].encode())[0]
    cards = [portable_card(frozen.memory())] * SHOWN
    page = render(manifest, "today", PageFacts(memories=SHOWN + 7, shown=cards)).decode()
    assert "7 more are in memories.jsonl" in page
    assert "Left out: 2, not covered" in page
    assert "is damaged: 1" in page


def explained(memory: Memory) -> Explanation:
    return Explanation(
        memory=memory,
        strength=0.5,
        forget_at=NOW,
        deadline=None,
        deadline_rule="decay",
        half_life_days=1.0,
        spaced_uses=0.0,
        last_used_at=NOW,
        state="active",
        tiers=(TierName.COLD,),
        policy="p",
    )
